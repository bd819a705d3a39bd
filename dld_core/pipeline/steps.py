"""The five steps in a row: load, plan, read, place, report, for one image or for several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dld_core.errors import ImageError
from dld_core.images import ImageLimits, ImageSource
from dld_core.pipeline.load import load
from dld_core.pipeline.models import Models
from dld_core.pipeline.place import place
from dld_core.pipeline.plan import Plan, Planner, batches
from dld_core.pipeline.read import Reader, Reading
from dld_core.pipeline.report import Reporter
from dld_core.pipeline.request import Request, is_unsure
from dld_core.plugins.hooks import hooks
from dld_core.results.page import Page


@dataclass(frozen=True, slots=True)
class Steps:
    """What a wrapper puts together.

    Attributes:
        models: who can read.
        planner, reader, reporter: the steps that need to know the wrapper.
        limits: which files may be opened.
        batch_size: the most images read at once.
    """

    models: Models
    planner: Planner
    reader: Reader
    reporter: Reporter
    limits: ImageLimits
    batch_size: int

    def one(self, source: ImageSource, request: Request) -> Page:
        """The page of an image. Raises ImageError where it cannot be read."""
        plan = self.planner.plan(load(source, self.limits), request)
        return self._page(plan, self.reader.read([plan])[0], request)

    def many(self, sources: Sequence[ImageSource], request: Request) -> list[Page]:
        """A page for each image, in order; images of one size, model and scale are read together. What fails
        gives a page with its error.
        """
        pages: dict[int, Page] = {}
        plans: dict[int, Plan] = {}
        for index, source in enumerate(sources):
            try:
                plans[index] = self.planner.plan(load(source, self.limits), request)
            except ImageError as error:
                pages[index] = self.reporter.failed(source, error)
        alike: dict[tuple[str, float], dict[int, tuple[int, int]]] = {}
        for index, plan in plans.items():
            alike.setdefault((plan.model, plan.scale), {})[index] = plan.size
        for sizes in alike.values():
            for indices in batches(sizes, self.batch_size, self.planner.costs.limits.max_pixels):
                readings = self.reader.read_each([plans[i] for i in indices])
                for index, reading in zip(indices, readings, strict=True):
                    pages[index] = self._page_or_error(sources[index], plans[index], reading, request)
        return [pages[index] for index in range(len(sources))]

    def _page_or_error(
        self, source: ImageSource, plan: Plan, reading: Reading | Exception, request: Request
    ) -> Page:
        if isinstance(reading, Exception):
            return self.reporter.failed(source, reading, plan)
        return self._page(plan, reading, request)

    def _page(self, plan: Plan, reading: Reading, request: Request) -> Page:
        page = self.reporter.page(plan, place(reading[0], plan), reading[1], request)
        if request.escalate and plan.decision is not None and is_unsure(page.words, plan.decision.words):
            page = self._escalated(plan, page, request)
        hooks.page_spotted(page)
        return page

    def _escalated(self, plan: Plan, unsure: Page, request: Request) -> Page:
        """The page read again, larger, where the limits leave room; the unsure one with a note where they do
        not.
        """
        assert plan.decision is not None
        spent = unsure.gflops or 0.0, unsure.timings_ms["total"] - unsure.timings_ms["decode"]
        count = max(len(unsure.words), round(plan.decision.words or 0))
        again = self.planner.escalated(plan, request, spent, count)
        if not isinstance(again, Plan):
            unsure.notes.extend([] if again is None else [again])
            return unsure
        reading = self.reader.read_each([again])[0]
        if isinstance(reading, Exception):  # whatever a larger image did to an engine, there is a reading
            unsure.notes.append(f"read once more at scale {again.scale:g}, which failed: {reading}")
            return unsure
        second = self.reporter.page(again, place(reading[0], again), reading[1], request)
        return self.reporter.merged(unsure, second)
