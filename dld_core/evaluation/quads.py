"""Areas common to pairs of quadrilaterals, all pairs at once.

Sutherland and Hodgman's clipping ("Reentrant polygon clipping", 1974), vectorised over the pairs: most words
and detections are convex quadrilaterals, and this is several times faster on them than a polygon library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def common_areas(first: Floats, second: Floats) -> Floats:
    """Areas [M] common to quadrilaterals [M, 4, 2] of any shape, their insides by the even-odd rule."""
    # Both triangles of the one with both of the other, in one go.
    halves = np.repeat(triangles(first), 2, axis=1).reshape(-1, 4, 2)
    others = np.tile(triangles(second), (1, 2, 1, 1)).reshape(-1, 4, 2)
    areas: Floats = convex_common_areas(halves, others).reshape(-1, 4).sum(axis=1)
    return areas


def triangles(quads: Floats) -> Floats:
    """The insides of quadrilaterals [M, 4, 2] as two triangles each [M, 2, 4, 2], last corner repeated."""
    fan, other = _fan(quads, 0), _fan(quads, 1)
    halves = np.where(_one_way(fan)[:, None, None, None], fan, other)
    # Where neither diagonal lies inside, two sides cross.
    crossing = ~_one_way(halves)
    halves[crossing] = _bow_tie(quads[crossing])
    return halves


def _fan(quads: Floats, start: int) -> Floats:
    """The two triangles at one diagonal."""
    corner = np.roll(quads, -start, axis=1)
    return np.stack([corner[:, [0, 1, 2, 2]], corner[:, [0, 2, 3, 3]]], axis=1)


def _one_way(halves: Floats) -> NDArray[np.bool_]:
    areas = _signed_area(halves)
    return areas[:, 0] * areas[:, 1] >= 0


def _bow_tie(quads: Floats) -> Floats:
    """The two triangles of quadrilaterals of which two opposite sides cross."""
    lengthwise = _crossing(quads)
    sidewise = _crossing(np.roll(quads, -1, axis=1))
    crosses = np.isfinite(lengthwise[:, 0])
    center = np.where(crosses[:, None], lengthwise, np.nan_to_num(sidewise))[:, None]
    corner = np.where(crosses[:, None, None], quads, np.roll(quads, -1, axis=1))
    first = np.concatenate([corner[:, [1, 2]], center, center], axis=1)
    second = np.concatenate([corner[:, [3, 0]], center, center], axis=1)
    return np.stack([first, second], axis=1)


def _crossing(quads: Floats) -> Floats:
    """Where the first side crosses the third [M, 2]; NaN where it does not."""
    along, across = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 2]
    between = quads[:, 2] - quads[:, 0]
    turn = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (between[:, 0] * across[:, 1] - between[:, 1] * across[:, 0]) / turn
        u = (between[:, 0] * along[:, 1] - between[:, 1] * along[:, 0]) / turn
    meets = (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    return quads[:, 0] + np.where(meets, t, np.nan)[:, None] * along


def convex_common_areas(subject: Floats, window: Floats) -> Floats:
    """Areas [M] of the intersections of convex quadrilaterals [M, 4, 2], in any orientation."""
    origin = subject[:, :1]
    subject, window = subject - origin, window - origin
    turn = _signed_area(window)
    window = np.where(turn[:, None, None] < 0, window[:, ::-1], window)
    ring = np.concatenate([subject, subject[:, :1]], axis=1)
    corners = np.full(len(ring), 4)
    for side in range(4):
        ring, corners = _cut(ring, corners, window[:, side], window[:, (side + 1) % 4])
    # A window without area cuts nothing to size.
    return np.where(turn == 0, 0.0, np.abs(_signed_area(ring)))


def _signed_area(ring: Floats) -> Floats:
    x, y = ring[..., 0], ring[..., 1]
    area: Floats = np.sum(x * np.roll(y, -1, axis=-1) - np.roll(x, -1, axis=-1) * y, axis=-1) / 2
    return area


def _cut(
    ring: Floats, corners: NDArray[np.int64], start: Floats, end: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Keep of rings [M, n + 1, 2] what lies left of the lines start -> end; the result has one slot more.

    A ring has up to n corners, and every slot behind them repeats its first: a line can add one corner.
    """
    along = end - start
    side = along[:, :1] * (ring[..., 1] - start[:, 1:]) - along[:, 1:] * (ring[..., 0] - start[:, :1])
    inside = side >= 0
    real = np.arange(ring.shape[1] - 1) < corners[:, None]
    keep = real & inside[:, :-1]
    crosses = real & (inside[:, :-1] != inside[:, 1:])
    row, slot = np.nonzero(crosses)
    before, after = side[row, slot], side[row, slot + 1]
    share = (before / (before - after))[:, None]
    crossing = np.zeros((*keep.shape, 2))
    # Not a weighted mean: where both ends share a coordinate, the crossing has exactly that one.
    crossing[row, slot] = ring[row, slot] + share * (ring[row, slot + 1] - ring[row, slot])
    return _gather(ring[:, :-1], keep, crossing, crosses)


def _gather(
    here: Floats, keep: NDArray[np.bool_], crossing: Floats, crosses: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.int64]]:
    """Put kept corners and crossings, in turn, into the first slots of new rings."""
    number, slots = keep.shape
    emitted = np.stack([keep, crosses], axis=2).reshape(number, 2 * slots)
    points = np.stack([here, crossing], axis=2).reshape(number, 2 * slots, 2)
    corners = emitted.sum(axis=1)
    row, slot = np.nonzero(emitted)
    place = np.arange(len(row)) - np.repeat(np.cumsum(corners) - corners, corners)
    first = np.zeros((number, 2))
    starts = place == 0
    first[row[starts]] = points[row[starts], slot[starts]]
    ring = np.repeat(first[:, None], slots + 2, axis=1)
    ring[row, place] = points[row, slot]
    return ring, corners
