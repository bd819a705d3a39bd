"""How far regions shrink for the probability map, and how far they grow back. Free of torch."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float32]

_MITER_LIMIT = 2.0  # how far a pointed corner may reach, in offsets; a right angle needs 1.41


def shrink_distance(area: ArrayLike, perimeter: ArrayLike, ratio: float) -> NDArray[np.float64]:
    """How far an outline moves inwards: A (1 - r^2) / L (equation 10 of arXiv 1911.08947)."""
    whole = np.asarray(area, np.float64) * (1 - ratio**2)
    return np.asarray(whole / np.maximum(np.asarray(perimeter, np.float64), 1e-9))


def unclip_distance(area: ArrayLike, perimeter: ArrayLike, ratio: float) -> NDArray[np.float64]:
    """How far a shrunken region must grow to be what it was, exactly so for rectangles.

    A rectangle that grows by D has the area A' + L' D + 4 D^2 and the perimeter L' + 8 D. That D is its
    shrink distance is a quadratic equation, solved here. (The paper multiplies A' / L' by a constant,
    which fits one aspect ratio alone.)

    Args:
        area, perimeter: A' and L' of shrunken regions.
        ratio: the r that they were shrunken with.
    """
    a_, l_ = np.asarray(area, np.float64), np.asarray(perimeter, np.float64)
    rest = 1 - ratio**2
    square, linear = 8 - 4 * rest, (1 - rest) * l_
    return np.asarray((np.sqrt(linear**2 + 4 * square * rest * a_) - linear) / (2 * square))


def offset(polygon: Points, distance: float, pointed: bool = False) -> list[Points]:
    """The outline [n, 2] moved outwards by so many pixels (inwards where negative): what is left of it.

    Args:
        pointed: keep corners pointed where it grows; else they are rounded.
    """
    shape, join = shapely.Polygon(polygon), "mitre" if pointed else "round"
    if shape.area == 0:
        return []
    moved = shapely.buffer(shape, distance, join_style=join, mitre_limit=_MITER_LIMIT)
    return [
        np.asarray(part.exterior.coords[:-1], np.float32) for part in shapely.get_parts(moved) if part.area
    ]
