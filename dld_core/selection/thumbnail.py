"""The thumbnail that a selector sees.

The authors run their selector on the padded image at full resolution, which costs 9% of their cheapest row.
A thumbnail and the native size say how large the text is, at a hundredth of that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dld_core.images.resizing import resize

STEP = 16
"""Sides of a thumbnail are multiples of this (the network's coarsest stride)."""
SHORTEST = 2 * STEP
MOST_TILES = 6
"""Of an image; a larger one has larger tiles."""


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


def tile_grid(height: int, width: int, longest: int) -> tuple[int, int]:
    """Rows and columns of tiles whose sides are at most `longest` pixels, or MOST_TILES of them."""
    longest = max(longest, math.ceil(math.sqrt(height * width / MOST_TILES)))
    return math.ceil(height / longest), math.ceil(width / longest)


def tiles(image: NDArray[np.uint8], longest: int) -> list[NDArray[np.uint8]]:
    """Views [h, w, 3] of the tiles of an image: a thumbnail of all of it would show nothing of small
    letters.
    """
    rows, columns = tile_grid(image.shape[0], image.shape[1], longest)
    return [part for row in np.array_split(image, rows) for part in np.array_split(row, columns, axis=1)]
