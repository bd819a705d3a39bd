"""A spotter at fixed scales: from decoded pixels to words, nothing chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dld_core.errors import ConfigError
from dld_core.images.resizing import WorkingLimits, resize, scale_to
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import DEFAULT_SCALES as DEFAULT_SCALES
from dld_core.interfaces import Spotter
from dld_core.runtimes.norms import use_scale
from dld_core.types import Word

if TYPE_CHECKING:
    from torch import Tensor

Base = Literal["native", "reference"]


def parse_scales(text: str) -> tuple[float, ...]:
    """Scales from text such as "0.3,0.5,1.0", rising and each once.

    Raises:
        ConfigError: something is no number, or not in (0, 4].
    """
    try:
        scales = sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise ConfigError(
            f"--scales takes numbers with commas between, as 0.3,0.5,1.0, not {text!r}"
        ) from None
    if not all(0 < scale <= 4 for scale in scales):
        raise ConfigError(f"--scales must each be above 0 and up to 4, not {text!r}")
    return tuple(scales)


class View(NamedTuple):
    """What a spotter gets of an image.

    Attributes:
        image: uint8 [3, H, W], resized to the working size, or native where the spotter wants that.
        size: the working (height, width).
    """

    image: Tensor
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FixedScale:
    """Reads images shrunk to a fixed fraction.

    Attributes:
        spotter: what reads.
        scale: the fraction.
        base: of what: the image's own size ("native"), or the size at which its short side is the spotter's
            reference ("reference", the meaning of `dld spot --scale`). Native never enlarges, so that no
            saving comes from undoing an enlargement.
    """

    spotter: Spotter
    scale: float
    base: Base = "native"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The working (height, width) of an image."""
        short = min(height, width) if self.base == "native" else self.spotter.reference_short_side
        fit = scale_to(height, width, short, WorkingLimits(), self.scale)
        return fit.height, fit.width

    def prepare(self, pixels: NDArray[np.uint8]) -> View:
        """The image as the spotter gets it."""
        size = self.size(*pixels.shape[:2])
        if self.spotter.reads_native:
            return View(as_tensor(pixels, share=True), size)
        return View(as_tensor(resize(pixels, size=size)), size)

    def spot(self, view: View) -> list[Word]:
        """What the spotter finds, in pixels of the prepared image."""
        return spot(self.spotter, view)

    def read(self, pixels: NDArray[np.uint8]) -> list[Word]:
        """Resize, read, and bring the polygons back to the image's own pixels."""
        view = self.prepare(pixels)
        return to_native(self.spot(view), view.image, pixels)

    def declared(self, height: int, width: int, words: int) -> float | None:
        """FLOPs that the spotter declares for an image of this native size."""
        return self.spotter.flops(*self.size(height, width), words)


def spot(spotter: Spotter, view: View) -> list[Word]:
    """What a spotter finds in one image, in pixels of the prepared image."""
    with torch.no_grad(), use_scale(min(view.size) / spotter.reference_short_side):
        return spotter.predict_at([view.image], [view.size])[0]


def to_native(words: Sequence[Word], image: Tensor, pixels: NDArray[np.uint8]) -> list[Word]:
    """Words of a prepared image [3, h, w] in pixels of the original [H, W, 3]."""
    x, y = pixels.shape[1] / image.shape[2], pixels.shape[0] / image.shape[1]
    return [Word(w.text, w.score, tuple((px * x, py * y) for px, py in w.polygon)) for w in words]
