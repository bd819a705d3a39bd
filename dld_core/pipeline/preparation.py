"""An image on its way to the spotter and back: prepared, batched with its like, and turned into a Page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dld_core.images import LoadedImage
from dld_core.images.tensors import as_tensor
from dld_core.results.page import Page
from dld_core.types import Word

if TYPE_CHECKING:
    from torch import Tensor

    from dld_core.selection import ScaleDecision

_BATCH_PIXELS = 2  # a batch holds no more pixels than this many images at the working cap
_DECIMALS = 2  # of polygon coordinates: a hundredth of a pixel


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image ready to be read, and what is to be known of the original.

    Attributes:
        pixels: RGB uint8 [h, w, 3], what the spotter gets: at the working size, or native if it wants that.
        size: the working (height, width).
        height, width: of the original as seen, pixels.
        scale: the fraction of the reference short side.
        timings: milliseconds so far.
        full: whether the teacher is to read it.
        chosen: the selector's choice, where it chose.
        loaded: the image as opened, where it may be read again.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    height: int
    width: int
    name: str | None
    scale: float
    notes: tuple[str, ...]
    timings: dict[str, float]
    full: bool
    chosen: ScaleDecision | None
    loaded: LoadedImage | None

    @classmethod
    def of(
        cls,
        loaded: LoadedImage,
        pixels: NDArray[np.uint8],
        size: tuple[int, int],
        scale: float,
        note: str | None,
        timings: dict[str, float],
        full: bool = True,
        chosen: ScaleDecision | None = None,
        keep: bool = False,
    ) -> Prepared:
        """From an opened image and the pixels that the spotter gets."""
        notes = loaded.notes if note is None else (*loaded.notes, note)
        native = loaded.height, loaded.width
        again = loaded if keep else None
        return cls(pixels, size, *native, loaded.name, scale, notes, timings, full, chosen, again)

    def tensor(self) -> Tensor:
        """The pixels as a uint8 tensor [3, h, w]; native ones are not copied."""
        return as_tensor(self.pixels, share=self.pixels.shape[:2] != self.size)


def batches(
    sizes: Mapping[int, tuple[int, int]], batch_size: int, max_pixels: int
) -> Iterator[tuple[int, ...]]:
    """Indices of images to be read together: of one size, at most `batch_size`, of bounded area.

    Args:
        sizes: working (height, width) by index.
        max_pixels: the working cap of one image; a batch stays within twice that.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, size in sizes.items():
        groups.setdefault(size, []).append(index)
    for (height, width), indices in groups.items():
        count = max(1, min(batch_size, _BATCH_PIXELS * max_pixels // (height * width)))
        for start in range(0, len(indices), count):
            yield tuple(indices[start : start + count])


def to_page(
    image: Prepared, words: Sequence[Word], spot_ms: float, backend: str, device: str, weights: str | None
) -> Page:
    """The page of words found in the pixels given, polygons moved to the original."""
    timings = {**image.timings, "spot": spot_ms}
    timings["total"] = sum(timings.values())
    return Page(
        words=[_to_original(word, image) for word in words],
        width=image.width,
        height=image.height,
        image=image.name,
        backend=backend,
        scale=image.scale,
        working_size=(image.size[1], image.size[0]),
        timings_ms={stage: round(value, 3) for stage, value in timings.items()},
        device=device,
        weights=weights,
        notes=list(image.notes),
    )


def _to_original(word: Word, image: Prepared) -> Word:
    """The word with its polygon in pixels of the original, inside it, to a hundredth of a pixel."""
    original = np.array([image.width, image.height], np.float64)
    factor = original / (image.pixels.shape[1], image.pixels.shape[0])
    points = np.clip(np.asarray(word.polygon, np.float64) * factor, 0, original).round(_DECIMALS)
    return Word(word.text, float(word.score), tuple((float(x), float(y)) for x, y in points))


def failed_page(
    source: Any, error: Exception, backend: str, device: str, image: Prepared | None = None
) -> Page:
    """A page without words that says why. `image` where the picture was opened and the reading failed."""
    name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    reason = str(error) if image is None else f"{type(error).__name__}: {error}"
    page = Page([], 0, 0, name if isinstance(name, str) else None, backend, device=device, error=reason)
    if image is not None:
        page.width, page.height, page.scale = image.width, image.height, image.scale
        page.working_size = (image.size[1], image.size[0])
    return page
