"""Areas common to pairs of convex quadrilaterals, all pairs at once.

Sutherland and Hodgman's clipping ("Reentrant polygon clipping", 1974), vectorised over the pairs: most words
and detections are convex quadrilaterals, and this is several times faster on them than a polygon library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A quadrilateral cut by four lines has at most eight corners; one slot more repeats the first.
_SLOTS = 9


def common_areas(subject: Floats, window: Floats) -> Floats:
    """Areas [M] of the intersections of convex quadrilaterals [M, 4, 2], in any orientation."""
    origin = subject[:, :1]
    subject, window = subject - origin, window - origin
    window = np.where(_signed_area(window)[:, None, None] < 0, window[:, ::-1], window)
    ring = np.concatenate([subject, np.repeat(subject[:, :1], _SLOTS - 4, axis=1)], axis=1)
    corners = np.full(len(ring), 4)
    for side in range(4):
        ring, corners = _cut(ring, corners, window[:, side], window[:, (side + 1) % 4])
    return np.abs(_signed_area(ring))


def _signed_area(ring: Floats) -> Floats:
    x, y = ring[..., 0], ring[..., 1]
    area: Floats = np.sum(x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y, axis=1) / 2
    return area


def _cut(
    ring: Floats, corners: NDArray[np.int64], start: Floats, end: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Keep what lies left of the lines start -> end; unused slots repeat each ring's first corner."""
    along = end - start
    side = along[:, :1] * (ring[..., 1] - start[:, 1:]) - along[:, 1:] * (ring[..., 0] - start[:, :1])
    here, following = ring[:, :-1], ring[:, 1:]
    side_here, side_following = side[:, :-1], side[:, 1:]
    real = np.arange(_SLOTS - 1) < corners[:, None]
    inside = side_here >= 0
    keep = real & inside
    crosses = real & (inside != (side_following >= 0))
    share = np.divide(side_here, side_here - side_following, out=np.zeros_like(side_here), where=crosses)
    crossing = here + share[..., None] * (following - here)
    return _gather(here, keep, crossing, crosses)


def _gather(
    here: Floats, keep: NDArray[np.bool_], crossing: Floats, crosses: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.int64]]:
    """Put kept corners and crossings, in turn, into the first slots of new rings."""
    emitted = np.stack([keep, crosses], axis=2).reshape(len(keep), -1)
    points = np.stack([here, crossing], axis=2).reshape(len(keep), -1, 2)
    corners = emitted.sum(axis=1)
    row, slot = np.nonzero(emitted)
    place = np.arange(len(row)) - np.repeat(np.cumsum(corners) - corners, corners)
    ring = np.zeros((len(keep), _SLOTS, 2))
    first = np.zeros((len(keep), 2))
    starts = place == 0
    first[row[starts]] = points[row[starts], slot[starts]]
    ring += first[:, None]
    ring[row, place] = points[row, slot]
    return ring, corners
