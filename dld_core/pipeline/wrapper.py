"""DLDWrapper: a spotter, what chooses its scale, and everything between a file and a Page."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from dld_core.errors import ConfigError, DLDError, ImageError
from dld_core.images import (
    ImageLimits,
    ImageSource,
    LoadedImage,
    WorkingLimits,
    load_image,
    resize,
    scale_to,
)
from dld_core.interfaces import ResolutionSelector, Spotter
from dld_core.pipeline import persistence
from dld_core.pipeline.parts import BUNDLED, MODEL, Readers, Source, make_readers
from dld_core.pipeline.preparation import Prepared, batches, failed_page, to_page
from dld_core.pipeline.request import MAX_SCALE, Request, Scale, checked_scale, is_unsure
from dld_core.plugins.hooks import hooks
from dld_core.results.page import Page
from dld_core.runtimes.devices import resolve_device
from dld_core.types import Word

if TYPE_CHECKING:
    from dld_core.selection import DynamicResolution, ScaleDecision
    from dld_core.training.distill.adaptation import Data

_WINDOW = 4  # batches that a list is read ahead by, to find images of one size


class DLDWrapper:
    """Reads each image at the smallest scale that still reads it right.

        with DLDWrapper("maskrcnn") as dld:
            page = dld.spot("street.jpg")

    It keeps no state between calls, so threads may share one; a spotter that is not thread-safe is
    called by one thread at a time.

    Attributes:
        backend: the name of the spotter.
        weights: what it was loaded from ("bundled", a file name), or None.
        device: what really computes.
        given_weights: the same as it was given ("bundled", a path), or None.
        scale: the scale of calls that name none.
    """

    def __init__(
        self,
        backend: str | Spotter = "maskrcnn",
        weights: str | Path | None = "bundled",
        device: object = "auto",
        *,
        scale: Scale | None = None,
        selector: str | Path | ResolutionSelector | None = "bundled",
        gamma: float | None = None,
        budget: float | None = None,
        max_latency_ms: float | None = None,
        escalate: bool = False,
        max_pixels: int = WorkingLimits().max_pixels,
        batch_size: int = 4,
        limits: ImageLimits | None = None,
        **options: Any,
    ) -> None:
        """Load a spotter.

        Args:
            backend: a registered name (`dld backends` lists them), or a spotter that is ready.
            weights: "bundled", a file or folder, or None for none.
            device: "auto", "cpu", "cuda:0", "mps".
            scale: "full" resizes the short side to the spotter's reference, and the teacher reads; a number
                in (0, 1.5] resizes it to that fraction, and the student reads (they are one where no student
                ships with the weights); "auto" leaves the fraction to the selector. By default "auto" where
                there is a selector, else "full".
            selector: "bundled" for the one that ships with the weights or lies in their folder, if there is
                one; a file that `dld distill` wrote; a selector that is ready; None for none.
            gamma: words one is willing to lose to save the whole cost of an image; the dial between
                accuracy (0) and speed.
            budget: the most GFLOPs (a multiply-add counted as 2) that reading one image may cost.
            max_latency_ms: the most milliseconds that it may take, by a measurement on this machine.
            escalate: read an image again at the largest scale that the limits leave room for, where its words
                came out unsure, or none was found where the selector expected some.
            max_pixels: the most pixels ever fed to the spotter per image; larger sizes are capped, and
                the page's notes say so.
            batch_size: the most images of a list read at once.
            limits: which files may be opened.
            options: the spotter's own (fields of its `config_type`).

        Raises:
            UnknownPartError, MissingExtraError, BrokenPluginError: the backend cannot be had.
            ConfigError: an option is wrong. DeviceError, WeightsError: so is the device, the weights.
        """
        self.batch_size = _positive("batch_size", batch_size)
        self.working = WorkingLimits(max_pixels=_positive("max_pixels", max_pixels))
        self.limits = limits or ImageLimits()
        self.options = options
        self.given_weights = weights
        if isinstance(backend, str):
            resolved = resolve_device(device)
            readers = make_readers(Source(backend, weights, resolved, options))
            self.backend, self.weights = backend, None if weights is None else Path(weights).name
        else:
            resolved, readers = "cpu", Readers(backend)
            self.backend, self.weights = type(backend).__name__, None
        self.device = persistence.device_of(readers.student) or resolved
        self._readers: Readers | None = readers
        self._one_at_a_time: AbstractContextManager[Any] = (
            nullcontext() if readers.student.thread_safe else threading.Lock()
        )
        ready = not isinstance(backend, str)
        asked = None if ready and selector == BUNDLED else selector  # what is ready came without companions
        self._drs = self._make_drs(asked, None if ready else weights)
        self._selector = selector
        policy = {"gamma": gamma, "budget": budget, "max_latency_ms": max_latency_ms}
        default: Scale = "full" if self._drs is None else "auto"
        self._request = Request.of(checked_scale(default if scale is None else scale), policy, escalate)
        if self._request.scale != "auto":
            self._checked(self._request)

    def _make_drs(
        self, selector: str | Path | ResolutionSelector | None, weights: str | Path | None
    ) -> DynamicResolution | None:
        if selector is None:
            return None
        from dld_core.selection import DynamicResolution, find_selector

        found = find_selector(selector, self.spotter, weights, self.device)
        if found is None:
            return None

        return DynamicResolution(found, self.spotter, self.working, self._one_at_a_time)

    @property
    def scale(self) -> Scale:
        """The scale of calls that name none."""
        return self._request.scale

    @property
    def spotter(self) -> Spotter:
        """What reads at fractions of the reference size. Raises DLDError after `close`."""
        return self._open().student

    @property
    def teacher(self) -> Spotter:
        """What reads at full scale; the same object where no student ships with the weights."""
        return self._open().teacher

    @property
    def selector(self) -> ResolutionSelector | None:
        """What chooses the scale under "auto", or None."""
        return None if self._drs is None else self._drs.selector

    def _open(self) -> Readers:
        if self._readers is None:
            raise DLDError("this DLDWrapper is closed; make a new one")
        return self._readers

    @overload
    def spot(
        self,
        images: list[ImageSource] | tuple[ImageSource, ...],
        *,
        scale: Scale | None = None,
        **options: Any,
    ) -> list[Page]: ...

    @overload
    def spot(self, images: ImageSource, *, scale: Scale | None = None, **options: Any) -> Page: ...

    def spot(self, images: Any, *, scale: Scale | None = None, **options: Any) -> Page | list[Page]:
        """Read one image (path, bytes, file, array, Pillow picture, tensor), or a list of them.

        Args:
            scale: overrides the wrapper's own.
            options: `gamma`, `budget`, `max_latency_ms` and `escalate` likewise; they act under "auto".

        Returns:
            One Page; for a list or tuple one Page each, in order. An image of a list that cannot be read
            gives a page with `error` set and no words, and the others go on.

        Raises:
            ImageError: a single image cannot be read.
            ConfigError: the scale or a dial is out of range.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images, scale=scale, **options))
        request = self._asked(scale, options)
        prepared = self._prepare(images, request)
        start = time.perf_counter()
        words = self._predict([prepared])[0]
        return self._finish(prepared, words, _ms_since(start), request)

    def stream(
        self, images: Iterable[ImageSource], *, scale: Scale | None = None, **options: Any
    ) -> Iterator[Page]:
        """Read any number of images in bounded memory: pages in order, errors as in a list of `spot`.

        Images of equal working size near each other are read together, up to `batch_size`.
        """
        request = self._asked(scale, options)
        sources = iter(images)
        while window := list(islice(sources, self.batch_size * _WINDOW if self.batch_size > 1 else 1)):
            yield from self._read_window(window, request)

    def _asked(self, scale: Scale | None, options: dict[str, Any]) -> Request:
        self._open()
        return self._checked(self._request.changed(scale, options))

    def _checked(self, request: Request) -> Request:
        """The request, or ConfigError where it needs a selector and there is none."""
        if self._drs is None and (request.scale == "auto" or request.options or request.escalate):
            dial = next(iter(request.options), "escalate")
            what = "scale 'auto'" if request.scale == "auto" else f"'{dial}'"
            raise ConfigError(
                f"{what} needs a resolution selector, and this wrapper has none; use scale 'full' or a "
                f"number above 0 and up to {MAX_SCALE}, or give selector=FILE, made by `dld distill`"
            )
        return request

    def _read_window(self, sources: Sequence[ImageSource], request: Request) -> list[Page]:
        pages: dict[int, Page] = {}
        prepared: dict[int, Prepared] = {}
        for index, source in enumerate(sources):
            try:
                prepared[index] = self._prepare(source, request)
            except ImageError as error:
                pages[index] = failed_page(source, error, self.backend, self.device)
        for indices in batches(
            {i: p.size for i, p in prepared.items()}, self.batch_size, self.working.max_pixels
        ):
            results = self._predict_each([prepared[i] for i in indices], request)
            pages.update(zip(indices, results, strict=True))
        return [pages[index] for index in range(len(sources))]

    def _predict_each(self, batch: Sequence[Prepared], request: Request) -> list[Page]:
        """A page for every image of a batch; where reading it whole fails, the images one by one."""
        start = time.perf_counter()
        try:
            found = self._predict(batch)
        except Exception as error:  # whatever one image did to an engine, the others still count
            if len(batch) > 1:
                return [self._predict_each([one], request)[0] for one in batch]
            return [failed_page(batch[0].name, error, self.backend, self.device, batch[0])]
        each = _ms_since(start) / len(batch)
        return [self._finish(image, words, each, request) for image, words in zip(batch, found, strict=True)]

    def _prepare(self, source: ImageSource, request: Request) -> Prepared:
        start = time.perf_counter()
        loaded = load_image(source, limits=self.limits)
        timings = {"decode": _ms_since(start)}
        scale, chosen = request.scale, None
        if scale == "auto":
            assert self._drs is not None
            chosen = self._drs(loaded.pixels, request.policy)
            scale, timings["select"] = chosen.scale, chosen.milliseconds
        return self._resized(loaded, scale, timings, chosen, request.escalate)

    def _resized(
        self,
        loaded: LoadedImage,
        scale: Scale,
        timings: dict[str, float],
        chosen: ScaleDecision | None = None,
        keep: bool = False,
    ) -> Prepared:
        start = time.perf_counter()
        full = scale == "full"
        reader = self.teacher if full else self.spotter
        fraction = 1.0 if full else float(scale)
        fit = scale_to(loaded.height, loaded.width, reader.reference_short_side, self.working, fraction)
        size = fit.height, fit.width
        pixels = loaded.pixels if reader.reads_native else resize(loaded.pixels, size=size)
        timings["resize"] = _ms_since(start)
        used = fraction if fit.note is None else min(fit.height, fit.width) / reader.reference_short_side
        hooks.scale_chosen(loaded.name or "", used, {} if chosen is None else chosen.scores)
        return Prepared.of(loaded, pixels, size, round(used, 4), fit.note, timings, full, chosen, keep)

    def _predict(self, batch: Sequence[Prepared]) -> list[list[Word]]:
        import torch

        from dld_core.runtimes.norms import use_scale

        spotter = self.teacher if batch[0].full else self.spotter
        # Not inference_mode: what a spotter caches there could never enter a later training step.
        with self._one_at_a_time, torch.no_grad(), use_scale(batch[0].scale):
            found = spotter.predict_at([image.tensor() for image in batch], [image.size for image in batch])
        if len(found) != len(batch):
            raise DLDError(
                f"the backend {self.backend} gave {len(found)} results for {len(batch)} images; "
                "predict must return one list of words per image"
            )
        return found

    def _finish(self, image: Prepared, words: Sequence[Word], spot_ms: float, request: Request) -> Page:
        page = to_page(image, words, spot_ms, self.backend, self.device, self.weights)
        page.gflops = self._gflops(image, len(words))
        page.gflops_full = self._gflops_full(image, len(words))
        if image.chosen is not None:
            if image.chosen.note is not None:
                page.notes.append(image.chosen.note)
            if request.escalate and is_unsure(words, image.chosen.words):
                page = self._escalated(image, page, request)
            _tell_excess(page, request)
        hooks.page_spotted(page)
        return page

    def _escalated(self, image: Prepared, unsure: Page, request: Request) -> Page:
        """The page read again at the largest scale that the limits leave room for; both readings count."""
        assert self._drs is not None
        assert image.loaded is not None
        assert image.chosen is not None
        native = image.loaded.height, image.loaded.width
        spent = unsure.gflops or 0.0, sum(unsure.timings_ms[stage] for stage in ("select", "resize", "spot"))
        count = max(len(unsure.words), round(image.chosen.words or 0))
        largest = self._drs.larger(image.scale, *native, request.policy, count, spent)
        if largest <= image.scale:
            if self._drs.larger(image.scale, *native) > image.scale:
                unsure.notes.append("unsure, but the limit leaves no room for a larger reading")
            return unsure
        again = self._resized(image.loaded, largest, {})
        if again.size <= image.size:
            return unsure
        start = time.perf_counter()
        try:
            words = self._predict([again])[0]
        except Exception as error:  # whatever a larger image did to an engine, there is a reading
            unsure.notes.append(f"read once more at scale {again.scale:g}, which failed: {error}")
            return unsure
        page = to_page(again, words, _ms_since(start), self.backend, self.device, self.weights)
        own = self._gflops(again, len(words))
        page.gflops = None if own is None or unsure.gflops is None else round(own + unsure.gflops, 4)
        page.gflops_full = self._gflops_full(again, len(words))
        page.escalated_from = image.scale
        page.timings_ms["first_reading"] = unsure.timings_ms["total"]
        page.timings_ms["total"] = round(page.timings_ms["total"] + unsure.timings_ms["total"], 3)
        return page

    def _gflops(self, image: Prepared, words: int) -> float | None:
        """Of reading the image at its working size, choosing included."""
        own = _gflops_at(self.teacher if image.full else self.spotter, image.size, words)
        return own if own is None or image.chosen is None else round(own + image.chosen.gflops, 4)

    def _gflops_full(self, image: Prepared, words: int) -> float | None:
        full = scale_to(image.height, image.width, self.spotter.reference_short_side, self.working)
        return _gflops_at(self.spotter, (full.height, full.width), words)

    def distill(
        self,
        data: Data,
        out: str | Path,
        *,
        minutes: float = 30.0,
        student: bool | None = None,
        say: Callable[[str], None] = lambda _: None,
        **settings: Any,
    ) -> Self:
        """Fit student and selector to one's own photos; an engine that only predicts gets a selector alone.

        Args:
            data: a folder of photos, or a list of paths (the teacher's own reading at full scale stands in
                for labels), or sources as in the configs of `dld distill`: {"kind": "icdar", "images": ...,
                "gt": ...}.
            out: folder of the run; one that was stopped goes on.
            minutes: about how long all of it may take. Where there are no labels, at most a fifth of it goes
                to reading photos at full scale; those that were not reached are left out.
            student: False makes a selector for the spotter as it is; None makes a student where one can be.
            say: is told what is going on, as `print` would.
            settings: further keys of DistillConfig (or, without a student, of SelectorTrainingConfig). The
                student learns on from the one in use.

        Returns:
            A new wrapper with what was learned; this one stays as it is.

        Raises:
            ConfigError, DataError, TrainingError: the data or the settings do not do.
            KeyboardInterrupt: it was interrupted; call it again to go on.
        """
        from dld_core.pipeline.parts import SELECTOR_FILE
        from dld_core.training.distill.adaptation import adapt

        folder = adapt(self, data, out, minutes, student, settings, say)
        options = {name: value for name, value in self._request.settings().items() if name != "scale"}
        has_student = (folder / MODEL).is_file()
        selector = folder / SELECTOR_FILE
        return type(self)(
            self.backend,
            folder if has_student else self.given_weights,
            self.device,
            selector=selector if selector.is_file() else None,
            max_pixels=self.working.max_pixels,
            batch_size=self.batch_size,
            limits=self.limits,
            **(options if selector.is_file() else {}),
            **self.options,
        )

    def save(self, folder: str | Path) -> Path:
        """Write the wrapper to a folder: config.json, model.safetensors if the spotter can be trained,
        teacher.safetensors where another one reads at full scale, and the selector.

        Returns the folder. Raises ConfigError where the spotter was not given by name.
        """
        config = {
            "backend": self.backend,
            **self._request.settings(),
            "max_pixels": self.working.max_pixels,
            "batch_size": self.batch_size,
        }
        selector = None if self._drs is None else self._drs.selector
        teacher = None if self.teacher is self.spotter else self.teacher
        return persistence.save(
            Path(folder), config, self.spotter, self.options, self.given_weights, selector, teacher
        )

    @classmethod
    def load(cls, folder: str | Path, device: object = "auto", **changes: Any) -> Self:
        """A wrapper as `save` wrote it; keywords override what was saved.

        Raises:
            WeightsError: there is no such folder, or its files are damaged.
        """
        return cls(**{**persistence.load(Path(folder)), "device": device, **changes})

    def close(self) -> None:
        """Let go of the spotter and give its memory back. Calling it twice does no harm."""
        on_gpu = self.device.startswith("cuda")
        self._readers = self._drs = None
        gc.collect()
        if on_gpu:
            import torch

            torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tell_excess(page: Page, request: Request) -> None:
    """A forecast may err: an image can hold more words than it seemed to."""
    budget = request.options.get("budget")
    if budget is not None and page.gflops is not None and page.gflops > budget + 1e-3:
        page.notes.append(
            f"took {page.gflops:.3f} GFLOPs, more than the budget of {budget:.3f}, with "
            f"{len(page.words)} words"
        )


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


def _gflops_at(spotter: Spotter, size: tuple[int, int], words: int) -> float | None:
    flops = spotter.flops(size[0], size[1], words)
    return None if flops is None else round(flops / 1e9, 4)


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value
