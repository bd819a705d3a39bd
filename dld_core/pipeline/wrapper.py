"""DLDWrapper: load, plan, read, place, report, for one image or for any number of them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import torch

from dld_core.errors import ConfigError, DLDError
from dld_core.images import ImageLimits, ImageSource, WorkingLimits
from dld_core.interfaces import ResolutionSelector, Spotter
from dld_core.pipeline import folder as folders
from dld_core.pipeline.models import AUTO, BUNDLED, Models, Source, find_selector, resolve
from dld_core.pipeline.plan import Planner
from dld_core.pipeline.read import Reader
from dld_core.pipeline.report import Reporter
from dld_core.pipeline.request import Model, Request, Scale
from dld_core.pipeline.steps import Steps
from dld_core.results.page import Page
from dld_core.runtimes.devices import resolve_device
from dld_core.selection import CostModel, DynamicResolution

if TYPE_CHECKING:
    from dld_core.training.distill.adaptation import Data


_WINDOW = 4  # batches that a list is read ahead by, to find images of one size


class DLDWrapper(AbstractContextManager["DLDWrapper"]):
    """Reads each image at the smallest scale that still reads it right.

        with DLDWrapper("maskrcnn") as dld:
            page = dld.spot("street.jpg")

    It keeps no state between calls, so threads may share one; a spotter that is not thread-safe is called by
    one thread at a time. A forked process must make its own; pickling and copying make a new one from the
    arguments.

    Attributes:
        backend: the name of the spotter.
        weights: what it was loaded from ("bundled", a file name), or None.
        device: what really computes.
        given_weights: the same as it was given ("bundled", a path), or None.
    """

    def __init__(
        self,
        backend: str | Spotter = AUTO,
        weights: str | Path | None = BUNDLED,
        device: object = "auto",
        *,
        model: Model = "auto",
        scale: Scale | None = None,
        selector: str | Path | ResolutionSelector | None = BUNDLED,
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
            backend: a registered name (`dld backends` lists them), a spotter that is ready, or "auto": that
                of the folder that `weights` names, else the best reader that is installed.
            weights: "bundled", a file or folder, or None for none.
            device: "auto", "cpu", "cuda:0", "mps".
            model: who reads: "teacher", "student", or "auto": the teacher at full scale, the student below
                (they are one where the weights hold no student).
            scale: a fraction of the full size in (0, 1.5]; "auto" leaves the fraction to the selector; "full"
                is short for the teacher at 1. The full size is the image's own, enlarged where it is smaller
                than the spotter's reference. By default "auto" where there is a selector, else "full".
            selector: "bundled" for the one that ships with the weights or lies in their folder, if there is
                one; a registered name; a file; a selector that is ready; None for none.
            gamma: words one is willing to lose to save the whole cost of an image; trades accuracy (0) for
                speed.
            budget: the most GFLOPs (a multiply-add counted as 2) that reading one image may cost.
            max_latency_ms: the most milliseconds that it may take, by a measurement on this machine.
            escalate: read an image again at the largest scale that the limits leave room for, where its words
                came out unsure, or none was found where the selector expected some.
            max_pixels: the most pixels ever fed to the spotter per image; larger sizes are capped, and a note
                says so.
            batch_size: the most images of a list read at once.
            limits: which files may be opened.
            options: the spotter's own (fields of its `config_type`).

        Raises:
            UnknownPartError, MissingExtraError, BrokenPluginError: the backend cannot be had.
            ConfigError: an option is wrong. DeviceError, WeightsError: so is the device, the weights.
        """
        named = {
            name: value for name, value in locals().items() if name not in ("self", "options", "__class__")
        }
        self._arguments = {**named, **options}
        self.batch_size = _positive("batch_size", batch_size)
        self.working = WorkingLimits(max_pixels=_positive("max_pixels", max_pixels))
        self.limits = limits or ImageLimits()
        if backend == AUTO:
            backend, options = resolve(weights, options)
        self.options = options
        self.given_weights = weights
        ready = not isinstance(backend, str)
        if isinstance(backend, str):
            self.device = resolve_device(device)
            models = Models.of(Source(backend, weights, self.device, options))
            self.backend, self.weights = backend, None if weights is None else Path(weights).name
        else:
            self.device, models = "cpu", Models(backend)
            self.backend, self.weights = type(backend).__name__, None
        self.device = models.device or self.device
        reader = Reader(models, self.backend)
        costs = CostModel(models.student, self.working, reader.turn)
        # A spotter that is ready came without bundled parts.
        wanted = None if ready and selector == BUNDLED else selector
        found = find_selector(wanted, models.student, None if ready else weights, self.device)
        planner = Planner(models, costs, None if found is None else DynamicResolution(found, costs))
        reporter = Reporter(self.backend, self.weights, self.device, costs)
        self._steps: Steps | None = Steps(models, planner, reader, reporter, self.limits, self.batch_size)
        policy = {"gamma": gamma, "budget": budget, "max_latency_ms": max_latency_ms}
        default: Scale = "full" if found is None else "auto"
        self._request = Request.of(model, default if scale is None else scale, policy, escalate)
        if self._request.scale != "auto":
            planner.check(self._request)

    @property
    def scale(self) -> Scale:
        """The scale of calls that name none."""
        return self._request.scale

    def settings(self) -> dict[str, Any]:
        """`model`, `scale`, the policy's options and `escalate` of calls that name none."""
        return self._request.settings()

    @property
    def spotter(self) -> Spotter:
        """The student. Raises DLDError after `close`."""
        return self._open().models.student

    @property
    def teacher(self) -> Spotter:
        """The teacher; the same object where the weights hold no student."""
        return self._open().models.teacher

    @property
    def selector(self) -> ResolutionSelector | None:
        """What decides the scale under "auto", or None."""
        drs = self._open().planner.drs
        return None if drs is None else drs.selector

    def _open(self) -> Steps:
        if self._steps is None:
            raise DLDError("this DLDWrapper is closed; make a new one")
        return self._steps

    @overload
    def spot(self, images: list[ImageSource] | tuple[ImageSource, ...], **how: Any) -> list[Page]: ...

    @overload
    def spot(self, images: ImageSource, **how: Any) -> Page: ...

    def spot(self, images: Any, **how: Any) -> Page | list[Page]:
        """Read one image (path, bytes, file, array, Pillow picture, tensor), or a list of them.

        Args:
            how: `model`, `scale`, `gamma`, `budget`, `max_latency_ms` and `escalate`, where they are to
                differ from the wrapper's own.

        Returns:
            One Page; for a list or tuple one Page each, in order. An image of a list that cannot be read
            gives a page with `error` set and no words, and the others go on.

        Raises:
            ImageError: a single image cannot be read.
            ConfigError: an option is out of range.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images, **how))
        request = self._requested(**how)
        return self._open().one(images, request)

    def stream(self, images: Iterable[ImageSource], **how: Any) -> Iterator[Page]:
        """Read any number of images in bounded memory: pages in order, errors as in a list of `spot`.

        Images of equal working size near each other are read together, up to `batch_size`.
        """
        request = self._requested(**how)
        sources = iter(images)
        while window := list(islice(sources, self.batch_size * _WINDOW if self.batch_size > 1 else 1)):
            yield from self._open().many(window, request)

    def _requested(self, model: Model | None = None, scale: Scale | None = None, **options: Any) -> Request:
        return self._open().planner.check(self._request.changed(model, scale, options))

    def distill(
        self,
        data: Data,
        out: str | Path,
        *,
        minutes: float = 30.0,
        student: bool | None = None,
        log: Callable[[str], None] = lambda _: None,
        **settings: Any,
    ) -> Self:
        """A new wrapper fitted to one's own photos: see `dld_core.training.distill.adaptation.adapted`."""
        from dld_core.training.distill.adaptation import adapted  # training's packages are many and optional

        wrapper: Self = adapted(self, data, out, minutes=minutes, student=student, log=log, settings=settings)
        return wrapper

    def save(self, folder: str | Path) -> Path:
        """Write the wrapper to a folder (see `dld_core.pipeline.folder.save`); returns the folder."""
        limits = {"max_pixels": self.working.max_pixels, "batch_size": self.batch_size}
        wrapper = {**self.settings(), **limits}
        models = self._open().models
        given = self.backend, self.options, self.given_weights
        return folders.save(Path(folder), models.teacher, models.student, self.selector, wrapper, *given)

    @classmethod
    def load(cls, folder: str | Path, device: object = "auto", **changes: Any) -> Self:
        """A wrapper as `save` wrote it; keyword arguments override what was saved. Raises WeightsError."""
        return cls(**{**folders.Saved.load(Path(folder)).arguments(), "device": device, **changes})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickling and copying make a new wrapper from the arguments of this one."""
        if not isinstance(self._arguments["backend"], str):
            raise DLDError(
                "a DLDWrapper of a spotter that was given ready cannot be pickled or copied; make one in "
                "each worker"
            )
        return _rebuilt, (type(self), self._arguments)

    def close(self) -> None:
        """Let go of the spotter and give its memory back. Calling it twice does no harm."""
        self._steps = None
        gc.collect()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def __exit__(self, *of_error: object) -> None:
        self.close()


def _rebuilt(cls: type[DLDWrapper], arguments: dict[str, Any]) -> DLDWrapper:
    return cls(**arguments)


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value
