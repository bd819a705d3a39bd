"""From the outline of a word, as a mask gives it, to an ordered polygon that follows curved text."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dld_core.geometry.polygons import TALL, Polygon, area, clockwise, order_ends, rectangle_sides

_SAMPLES = 1024  # of a contour; positions on it are rounded to these
_STARTS = 96  # places on a contour where the text may begin, at first
_RIBS = 12  # compared for each


def ribbon(contour: ArrayLike, count: int = 7, tall: float = TALL) -> Polygon:
    """A word's outline as an ordered polygon of 2 * count points, clockwise from the start of the text.

    The contour is taken for a ribbon, bent or straight. Its area (length * height) and its perimeter
    (twice length + height) give both, so what is left is where on the contour the text begins and by how
    much the outer side is longer than the inner one: where the ribs across come closest to the height.
    Regions less than `tall` times as long as high become their smallest rectangle. Takes about 1 ms.

    Args:
        contour: [n, 2] points of a simple outline, either way round.
        count: points of each side, at least 2.
    """
    points = clockwise(contour).astype(np.float64)
    ring, perimeter = _evenly_spaced(points)
    half = perimeter / 2
    height = (half - np.sqrt(max(half**2 - 4 * area(points), 0.0))) / 2
    if height <= 0 or half - height < tall * height:
        return rectangle_sides(points, count, tall)
    place = _fit(ring, perimeter, height)
    top, bottom = _sides(ring, perimeter, height, np.array(place), count)
    outline = np.concatenate([top, bottom[::-1]])
    return order_ends(np.stack([outline.real, outline.imag], axis=1))


def _evenly_spaced(points: NDArray[np.float64]) -> tuple[NDArray[np.complex128], float]:
    """The closed outline as _SAMPLES complex numbers x + iy at equal distances, and its length."""
    line = np.append(points, points[:1], axis=0) @ np.array([1, 1j])
    steps = np.append(0.0, np.cumsum(np.abs(np.diff(line))))
    return np.interp(np.linspace(0, steps[-1], _SAMPLES, endpoint=False), steps, line), float(steps[-1])


def _sides(
    ring: NDArray[np.complex128], perimeter: float, height: float, place: NDArray[np.float64], count: int
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Both sides [..., count] of ribbons whose top side has the start and length `place` [2, ...]."""
    start, length = place[0, ..., None], place[1, ..., None]
    along = np.linspace(0.0, 1.0, count)
    per_pixel = _SAMPLES / perimeter
    top = (start + along * length) * per_pixel
    bottom = (start - height - along * (perimeter - 2 * height - length)) * per_pixel
    return ring[_on_ring(top)], ring[_on_ring(bottom)]


def _on_ring(positions: NDArray[np.float64]) -> NDArray[np.int32]:
    """The nearest of the _SAMPLES places, whose number is a power of two: a mask takes the remainder."""
    return np.rint(positions).astype(np.int32) & (_SAMPLES - 1)


def _fit(ring: NDArray[np.complex128], perimeter: float, height: float) -> tuple[float, float]:
    """Start and length of the longer side: a coarse search over the whole contour, then a fine one.

    Read from the other end, a ribbon has the same ribs, so that the longer side may be taken for the top.
    """
    mean = perimeter / 2 - height
    start, length = np.arange(_STARTS) * perimeter / _STARTS, mean * np.linspace(1.0, 1.45, 7)
    for _ in range(2):
        places = np.stack(np.meshgrid(start, length))
        top, bottom = _sides(ring, perimeter, height, places, _RIBS)
        across = top - bottom
        # not np.abs, which guards against overflow at thrice the price
        misfit = ((np.sqrt(across.real**2 + across.imag**2) - height) ** 2).mean(axis=-1)
        found = places.reshape(2, -1)[:, int(np.argmin(misfit))]
        near = np.linspace(-1.0, 1.0, 9)
        start, length = found[0] + near * perimeter / _STARTS, found[1] + near * mean * 0.075
    return float(found[0]), float(found[1])
