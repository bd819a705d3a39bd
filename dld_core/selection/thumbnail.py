"""The thumbnail that a selector sees.

The authors run their selector on the padded image at full resolution, which costs 9% of their cheapest row.
A thumbnail and the native size say how large the text is, at a hundredth of that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dld_core.images.resizing import resize

STEP = 16
"""Sides of a thumbnail are multiples of this (the network's coarsest stride)."""
SHORTEST = 2 * STEP


def thumbnail_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """(height, width) of the thumbnail of an image of that size: sides are multiples of 16, at least 32.

    The aspect ratio moves by what rounding takes, so that photos of like shape share one size.
    """
    factor = long_side / max(height, width)
    sides = (max(SHORTEST, round(side * factor / STEP) * STEP) for side in (height, width))
    first, second = sides
    return first, second


def thumbnail(image: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] of any size to its thumbnail, antialiased."""
    return resize(image, size=thumbnail_size(image.shape[0], image.shape[1], long_side))
