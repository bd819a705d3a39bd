"""DLDWrapper: a spotter, the scale it reads at, and everything between a file and a Page."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, overload

from dld_core import persistence
from dld_core.devices import resolve_device
from dld_core.errors import ConfigError, DLDError, ImageError
from dld_core.hooks import hooks
from dld_core.imaging import ImageLimits, ImageSource, WorkingLimits, load_image, resize, scale_to
from dld_core.interfaces import Spotter
from dld_core.preparation import Prepared, batches, failed_page, to_page
from dld_core.registry import backends
from dld_core.types import Page, Word

Scale = Literal["full", "auto"] | float

MAX_SCALE = 1.5
_NEEDS_SELECTOR = (
    "scale 'auto' needs a resolution selector, and this wrapper has none; "
    f"use 'full' or a number above 0 and up to {MAX_SCALE}"
)
_WINDOW = 4  # batches that a list is read ahead by, to find images of one size


class DLDWrapper:
    """Reads images with a spotter at a chosen scale.

        with DLDWrapper("maskrcnn") as dld:
            page = dld.spot("street.jpg")

    It keeps no state between calls, so threads may share one; a spotter that is not thread-safe is
    called by one thread at a time.

    Attributes:
        backend: the name of the spotter.
        weights: what it was loaded from ("bundled", a file name), or None.
        device: what really computes.
        scale: the scale of calls that name none.
    """

    def __init__(
        self,
        backend: str | Spotter = "maskrcnn",
        weights: str | Path | None = "bundled",
        device: object = "auto",
        *,
        scale: Scale = "full",
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
            scale: "full" resizes the short side to the spotter's reference; a number in (0, 1.5] to that
                fraction of it; "auto" leaves it to a selector.
            max_pixels: the most pixels ever fed to the spotter per image; larger sizes are capped, and
                the page's notes say so.
            batch_size: the most images of a list read at once.
            limits: which files may be opened.
            options: the spotter's own (fields of its `config_type`).

        Raises:
            UnknownPartError, MissingExtraError, BrokenPluginError: the backend cannot be had.
            ConfigError: an option is wrong. DeviceError, WeightsError: so is the device, the weights.
        """
        self.scale = _checked_scale(scale)
        self.batch_size = _positive("batch_size", batch_size)
        self.working = WorkingLimits(max_pixels=_positive("max_pixels", max_pixels))
        self.limits = limits or ImageLimits()
        self.options = options
        self._given = weights
        if isinstance(backend, str):
            resolved = resolve_device(device)
            spotter = backends.get(backend).create(weights=weights, device=resolved, **options)
            self.backend, self.weights = backend, None if weights is None else Path(weights).name
        else:
            resolved, spotter = "cpu", backend
            self.backend, self.weights = type(backend).__name__, None
        self.device = persistence.device_of(spotter) or resolved
        self._spotter: Spotter | None = spotter
        self._one_at_a_time: AbstractContextManager[Any] = (
            nullcontext() if spotter.thread_safe else threading.Lock()
        )

    @property
    def spotter(self) -> Spotter:
        """The spotter itself. Raises DLDError after `close`."""
        if self._spotter is None:
            raise DLDError("this DLDWrapper is closed; make a new one")
        return self._spotter

    @overload
    def spot(
        self, images: list[ImageSource] | tuple[ImageSource, ...], *, scale: Scale | None = None
    ) -> list[Page]: ...

    @overload
    def spot(self, images: ImageSource, *, scale: Scale | None = None) -> Page: ...

    def spot(self, images: Any, *, scale: Scale | None = None) -> Page | list[Page]:
        """Read one image (path, bytes, file, array, Pillow picture, tensor), or a list of them.

        Args:
            scale: overrides the wrapper's own.

        Returns:
            One Page; for a list or tuple one Page each, in order. An image of a list that cannot be read
            gives a page with `error` set and no words, and the others go on.

        Raises:
            ImageError: a single image cannot be read.
            ConfigError: the scale is out of range.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images, scale=scale))
        fraction = self._fraction(scale)
        prepared = self._prepare(images, fraction)
        start = time.perf_counter()
        words = self._predict([prepared])[0]
        return self._finish(prepared, words, _ms_since(start))

    def stream(self, images: Iterable[ImageSource], *, scale: Scale | None = None) -> Iterator[Page]:
        """Read any number of images in bounded memory: pages in order, errors as in a list of `spot`.

        Images of equal working size near each other are read together, up to `batch_size`.
        """
        fraction = self._fraction(scale)
        sources = iter(images)
        while window := list(islice(sources, self.batch_size * _WINDOW if self.batch_size > 1 else 1)):
            yield from self._read_window(window, fraction)

    def _read_window(self, sources: Sequence[ImageSource], fraction: float) -> list[Page]:
        pages: dict[int, Page] = {}
        prepared: dict[int, Prepared] = {}
        for index, source in enumerate(sources):
            try:
                prepared[index] = self._prepare(source, fraction)
            except ImageError as error:
                pages[index] = failed_page(source, error, self.backend, self.device)
        for indices in batches(
            {i: p.size for i, p in prepared.items()}, self.batch_size, self.working.max_pixels
        ):
            results = self._predict_each([prepared[i] for i in indices])
            pages.update(zip(indices, results, strict=True))
        return [pages[index] for index in range(len(sources))]

    def _predict_each(self, batch: Sequence[Prepared]) -> list[Page]:
        """A page for every image of a batch; where reading it whole fails, the images one by one."""
        start = time.perf_counter()
        try:
            found = self._predict(batch)
        except Exception as error:  # whatever one image did to an engine, the others still count
            if len(batch) > 1:
                return [self._predict_each([one])[0] for one in batch]
            return [failed_page(batch[0].name, error, self.backend, self.device, batch[0])]
        each = _ms_since(start) / len(batch)
        return [self._finish(image, words, each) for image, words in zip(batch, found, strict=True)]

    def _prepare(self, source: ImageSource, fraction: float) -> Prepared:
        start = time.perf_counter()
        loaded = load_image(source, limits=self.limits)
        decoded = time.perf_counter()
        fit = scale_to(loaded.height, loaded.width, self.spotter.reference_short_side, self.working, fraction)
        pixels = resize(loaded.pixels, size=(fit.height, fit.width))
        timings = {"decode": (decoded - start) * 1e3, "resize": _ms_since(decoded)}
        used = (
            fraction if fit.note is None else min(fit.height, fit.width) / self.spotter.reference_short_side
        )
        hooks.scale_chosen(loaded.name or "", used, {})
        return Prepared.of(loaded, pixels, round(used, 4), fit.note, timings)

    def _predict(self, batch: Sequence[Prepared]) -> list[list[Word]]:
        import torch

        spotter = self.spotter
        # Not inference_mode: what a spotter caches there could never enter a later training step.
        with self._one_at_a_time, torch.no_grad():
            found = spotter.predict([image.tensor() for image in batch])
        if len(found) != len(batch):
            raise DLDError(
                f"the backend {self.backend} gave {len(found)} results for {len(batch)} images; "
                "predict must return one list of words per image"
            )
        return found

    def _finish(self, image: Prepared, words: Sequence[Word], spot_ms: float) -> Page:
        page = to_page(image, words, spot_ms, self.backend, self.device, self.weights)
        page.gflops = self._gflops(image.size, len(words))
        full = scale_to(image.height, image.width, self.spotter.reference_short_side, self.working)
        page.gflops_full = self._gflops((full.height, full.width), len(words))
        hooks.page_spotted(page)
        return page

    def _gflops(self, size: tuple[int, int], words: int) -> float | None:
        flops = self.spotter.flops(size[0], size[1], words)
        return None if flops is None else round(flops / 1e9, 4)

    def _fraction(self, scale: Scale | None) -> float:
        chosen = self.scale if scale is None else _checked_scale(scale)
        if chosen == "auto":
            raise ConfigError(_NEEDS_SELECTOR)
        return 1.0 if chosen == "full" else float(chosen)

    def save(self, folder: str | Path) -> Path:
        """Write the wrapper to a folder: config.json, and model.safetensors if the spotter can be trained.

        Returns the folder. Raises ConfigError where the spotter was not given by name.
        """
        config = {
            "backend": self.backend,
            "scale": self.scale,
            "max_pixels": self.working.max_pixels,
            "batch_size": self.batch_size,
        }
        return persistence.save(Path(folder), config, self.spotter, self.options, self._given)

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
        self._spotter = None
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


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value


def _checked_scale(scale: Any) -> Scale:
    """The scale, or ConfigError. "auto" is checked when an image is read."""
    if scale in ("full", "auto"):
        return scale  # type: ignore[no-any-return]
    if not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 < scale <= MAX_SCALE:
        raise ConfigError(
            f"scale must be 'full', 'auto' or a number above 0 and up to {MAX_SCALE}, not {scale!r}"
        )
    return float(scale)
