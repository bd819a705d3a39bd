"""The one way images change size, in training as at inference.

Shrinking without a low-pass filter turns small text into noise, so every resize is antialiased, from the
native image. The filter is the bicubic of `torch.nn.functional.interpolate(antialias=True)`: on uint8
pixels stored channels-last it is vectorised, which makes it the quickest of the good ones (1280x720 -> 0.7
of it in 2 ms on one core, against 9 ms for OpenCV's INTER_AREA and 16 ms for Pillow's BICUBIC, whose
arithmetic it follows), it keeps more of the strokes than area or bilinear averaging, and it is one formula
on both sides of scale 1.

Its time grows with the native pixels, which at 12 megapixels is as much as a small spotter takes. So what
shrinks to a quarter and less is first averaged over whole blocks of pixels, to twice the size asked for or
more (Pillow's `reducing_gap=2`): the filter then sees a quarter of the pixels or less, and the result differs
by a grey level or so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dld_core.images.opencv import import_cv2
from dld_core.images.tensors import as_tensor

Image = NDArray[np.uint8]

_NO_LESS = 1 + 1e-9  # so that rounding of a factor never takes a pixel off
_GAP = 2
"""How many times the size asked for is left to the filter, at least, after averaging over blocks."""


def resize(
    image: Image, scale: float | None = None, size: tuple[int, int] | None = None, antialias: bool = True
) -> Image:
    """Resize RGB uint8 [H, W, C] to `size` (height, width), or by the factor `scale`.

    Returns the image itself where the size stays. Never returns a side of zero pixels.

    Raises:
        ValueError: not exactly one of scale and size is given, or it is not positive.
    """
    if (scale is None) == (size is None):
        raise ValueError("give either scale or size to resize, not both and not neither")
    if scale is not None:
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale must be a positive number, not {scale}")
        size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    assert size is not None
    if min(size) < 1:
        raise ValueError(f"size must be at least 1x1 pixel, not {size[0]}x{size[1]}")
    return image if size == image.shape[:2] else _interpolate(image, size, antialias)


def _interpolate(image: Image, size: tuple[int, int], antialias: bool) -> Image:
    from torch.nn.functional import interpolate  # slow to load

    how = partial(interpolate, mode="bicubic", antialias=antialias, align_corners=False)
    factors = size[0] / image.shape[0], size[1] / image.shape[1]
    block = int(1 / max(factors) / _GAP) if antialias else 1
    if block > 1:
        # The last blocks reach beyond the image, so it is the factors that are given, and not the size.
        exact = [factor * block * _NO_LESS for factor in factors]
        resized = how(as_tensor(_averaged(image, block), share=True)[None], scale_factor=exact)
    else:
        resized = how(as_tensor(np.require(image, requirements=["C", "W"]), share=True)[None], size=size)
    return np.ascontiguousarray(resized[0, :, : size[0], : size[1]].permute(1, 2, 0).numpy())


def _averaged(image: Image, block: int) -> Image:
    """The means of square blocks; the last of a row or column are of what is left."""
    cv2 = import_cv2()
    rows, columns = image.shape[0] // block, image.shape[1] // block
    height, width = rows * block, columns * block
    means = np.empty((-(-image.shape[0] // block), -(-image.shape[1] // block), image.shape[2]), np.uint8)
    parts = [
        (means[:rows, :columns], image[:height, :width]),
        (means[:rows, columns:], image[:height, width:]),
        (means[rows:], image[height:]),
    ]
    for target, source in parts:
        if target.size:
            target[:] = cv2.resize(source, target.shape[1::-1], interpolation=cv2.INTER_AREA)
    return means


@dataclass(frozen=True, slots=True)
class Fit:
    """A working size and, where a limit was met, the sentence that says so."""

    height: int
    width: int
    note: str | None = None


@dataclass(frozen=True, slots=True)
class WorkingLimits:
    """Limits of a working size, so that memory is bounded whatever the image.

    Attributes:
        max_pixels: height times width.
        max_side: of the longer side, in pixels.
        max_enlargement: of the full size over the native one; more only enlarges noise.
    """

    max_pixels: int = 4_194_304
    max_side: int = 16_384
    max_enlargement: float = 2.0


def full_factor(height: float, width: float, short_side: float, limits: WorkingLimits | None = None) -> float:
    """How many times the native size the full size (scale 1) is, before the pixel limits.

    Letters decide, not sides: the full size never gives up native pixels, so the factor is at least 1. An
    image smaller than the spotter's reference is enlarged until its short side is `short_side` pixels, or
    until its area is that of an image of that short side and an aspect of 2 (strips would grow without end),
    or by `limits.max_enlargement`.
    """
    limits = limits or WorkingLimits()
    by_area = math.sqrt(2 * short_side**2 / (height * width))
    return max(1.0, min(short_side / min(height, width), by_area, limits.max_enlargement))


def scale_to(
    height: int, width: int, short_side: float, limits: WorkingLimits | None = None, fraction: float = 1.0
) -> Fit:
    """The working size at `fraction` of the full size (see `full_factor`), aspect kept, within the limits.

    Sides are rounded to whole pixels, not to multiples of anything (that would distort; spotters pad).
    """
    limits = limits or WorkingLimits()
    full = full_factor(height, width, short_side, limits)
    caps = {
        f"{limits.max_pixels} pixels": math.sqrt(limits.max_pixels / (height * width)),
        f"a long side of {limits.max_side}": limits.max_side / max(height, width),
    }
    cap = min(caps, key=lambda name: caps[name])
    if full <= caps[cap]:
        wanted = min(full * fraction, caps[cap])
        return Fit(*_rounded(height, width, wanted, limits.max_pixels))
    before = _rounded(height, width, full, math.inf)
    after = _rounded(height, width, caps[cap], limits.max_pixels)
    note = None
    if fraction >= 1:
        note = f"working size capped from {before[1]}x{before[0]} to {after[1]}x{after[0]} ({cap})"
    return Fit(*_rounded(height, width, caps[cap] * min(fraction, 1.0), limits.max_pixels), note)


def _rounded(height: int, width: int, factor: float, max_pixels: float) -> tuple[int, int]:
    """Both sides times factor in whole pixels; rounding never leads above max_pixels."""
    sides = max(1, round(height * factor)), max(1, round(width * factor))
    if sides[0] * sides[1] > max_pixels:
        sides = max(1, int(height * factor)), max(1, int(width * factor))
    return sides
