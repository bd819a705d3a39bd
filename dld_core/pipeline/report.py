"""Step 5, report: the Page of an image, with who read it, at which scale, what it took, and what to be warned
of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dld_core.pipeline.load import name_of
from dld_core.pipeline.plan import Plan
from dld_core.pipeline.request import Request
from dld_core.results.page import Page
from dld_core.selection import CostModel
from dld_core.types import Word


@dataclass(frozen=True, slots=True)
class Reporter:
    """Writes the pages of one wrapper.

    Attributes:
        backend, weights, device: of the wrapper.
        costs: of its spotter.
    """

    backend: str
    weights: str | None
    device: str
    costs: CostModel

    def page(self, plan: Plan, words: Sequence[Word], milliseconds: float, request: Request) -> Page:
        """The page of words in pixels of the original."""
        timings = {**plan.timings, "spot": milliseconds}
        timings["total"] = sum(timings.values())
        loaded, count = plan.loaded, len(words)
        page = Page(
            words=list(words),
            width=loaded.width,
            height=loaded.height,
            image=loaded.name,
            page=loaded.page,
            backend=self.backend,
            model=plan.model,
            scale=plan.scale,
            working_size=(plan.size[1], plan.size[0]),
            gflops=self._gflops(plan, count),
            gflops_full=_rounded(self.costs.gflops(self.costs.size(loaded.size, 1.0), count)),
            timings_ms={step: round(value, 3) for step, value in timings.items()},
            device=self.device,
            weights=self.weights,
            notes=list(plan.notes),
        )
        self._warn_of_excess(page, request)
        return page

    def merged(self, first: Page, second: Page) -> Page:
        """The second reading of an image that came out unsure; both count."""
        known = first.gflops is not None and second.gflops is not None
        second.gflops = _rounded((first.gflops or 0) + (second.gflops or 0)) if known else None
        second.escalated_from = first.scale
        second.timings_ms = {**first.timings_ms, **second.timings_ms}
        second.timings_ms["first_reading"] = first.timings_ms["total"]
        second.timings_ms["total"] = round(second.timings_ms["total"] + first.timings_ms["total"], 3)
        return second

    def failed(self, source: Any, error: Exception, plan: Plan | None = None) -> Page:
        """A page without words that says why; with `plan` where the image was opened and the reading
        failed.
        """
        reason = str(error) if plan is None else f"{type(error).__name__}: {error}"
        page = Page([], 0, 0, name_of(source), self.backend, device=self.device, error=reason)
        if plan is not None:
            page.image, page.width, page.height = plan.loaded.name, plan.loaded.width, plan.loaded.height
            page.model, page.scale, page.working_size = plan.model, plan.scale, (plan.size[1], plan.size[0])
        return page

    def _gflops(self, plan: Plan, words: int) -> float | None:
        """Of reading at the working size, selection included."""
        own = self.costs.gflops(plan.size, words)
        return _rounded(own if own is None or plan.decision is None else own + plan.decision.gflops)

    def _warn_of_excess(self, page: Page, request: Request) -> None:
        """A forecast may err: an image can hold more words than it seemed to."""
        budget = request.options.get("budget")
        if budget is not None and page.gflops is not None and page.gflops > budget + 1e-3:
            page.notes.append(
                f"took {page.gflops:.3f} GFLOPs, more than the budget of {budget:.3f}, with "
                f"{len(page.words)} words"
            )


def _rounded(gflops: float | None) -> float | None:
    return None if gflops is None else round(gflops, 4)
