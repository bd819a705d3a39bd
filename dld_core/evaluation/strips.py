"""Areas common to pairs of polygons that do not cross themselves, all pairs and all their sides at once.

A polygon is the signed sum of the strips under its sides (Green's theorem along x), so that the area common
to two is the signed sum, over every side of the one and every side of the other, of what lies under both: the
integral of the lower of two straight lines, which has a closed form. Nothing is cut or sorted, hence corners
that touch and sides that coincide need no care.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Pairs of sides measured in one go: what they take fits into a processor's cache.
_CHUNK = 60_000


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides of N outlines, end to end, without the vertical ones, which have nothing under them.

    Attributes:
        begin, end: [S] the x at which each side starts and ends, begin < end.
        height, slope: [S] its y at `begin`, and how y grows with x.
        sign: [S] 1 where the outline goes to the right, -1 to the left.
        counts, starts: [N] how many sides each outline has, and where its first one is.
    """

    begin: Floats
    end: Floats
    height: Floats
    slope: Floats
    sign: Floats
    counts: Indices
    starts: Indices

    @classmethod
    def build(cls, points: Floats, following: Floats, counts: Indices) -> Sides:
        """From the corners [P, 2] of outlines of `counts` corners, and the corner that follows each."""
        owner = np.repeat(np.arange(len(counts)), counts)
        slanted = np.flatnonzero(points[:, 0] != following[:, 0])
        (x, y), (next_x, next_y) = points[slanted].T, following[slanted].T
        right = next_x > x
        kept = np.bincount(owner[slanted], minlength=len(counts))
        return cls(
            begin=np.where(right, x, next_x),
            end=np.where(right, next_x, x),
            height=np.where(right, y, next_y),
            slope=(next_y - y) / (next_x - x),
            sign=np.where(right, 1.0, -1.0),
            counts=kept,
            starts=np.cumsum(kept) - kept,
        )


def simple_common_areas(first: Sides, second: Sides, left: Indices, right: Indices, base: Floats) -> Floats:
    """Areas [M] common to outlines `left` of `first` and `right` of `second`, of any orientation.

    Args:
        first, second: the sides of outlines that do not cross themselves.
        left, right: [M] which of them to pair.
        base: [M] a y close to the pair, from which heights are taken so that no digits are lost.
    """
    common = np.zeros(len(left))
    total = np.cumsum(first.counts[left] * second.counts[right])
    last = int(total[-1]) if len(total) else 0
    cuts = np.unique(np.append(np.searchsorted(total, np.arange(_CHUNK, last, _CHUNK)) + 1, len(left)))
    begin = 0
    for end in cuts.tolist():
        part = slice(begin, end)
        common[part] = _measure(first, second, left[part], right[part], base[part])
        begin = end
    return common


def _measure(first: Sides, second: Sides, left: Indices, right: Indices, base: Floats) -> Floats:
    pair, a, b = _side_pairs(first, second, left, right)
    start = np.maximum(first.begin[a], second.begin[b])
    width = np.minimum(first.end[a], second.end[b]) - start
    above = np.flatnonzero(width > 0)
    pair, a, b, start, width = pair[above], a[above], b[above], start[above], width[above]
    # Heights of both sides at the two ends of the stretch that they share.
    slope, other_slope = first.slope[a], second.slope[b]
    height = first.height[a] - base[pair] + (start - first.begin[a]) * slope
    low = second.height[b] - base[pair] + (start - second.begin[b]) * other_slope
    rise = (slope - other_slope) * width
    before = height - low
    after = before + rise
    below_before, below_after = np.minimum(before, 0), np.minimum(after, 0)
    below = below_before + below_after
    crosses = np.flatnonzero(before * after < 0)
    below[crosses] *= below[crosses] / -np.abs(rise[crosses])
    area = (2 * low + other_slope * width + below) * (width / 2)
    area *= first.sign[a] * second.sign[b]
    return np.abs(np.bincount(pair, area, minlength=len(left)))


def _side_pairs(
    first: Sides, second: Sides, left: Indices, right: Indices
) -> tuple[Indices, Indices, Indices]:
    """Every side of the one outline with every side of the other: which pair, which side, which side."""
    rows, columns = first.counts[left], second.counts[right]
    owner = np.repeat(np.arange(len(left)), rows)
    side = np.arange(len(owner)) + np.repeat(first.starts[left] - (np.cumsum(rows) - rows), rows)
    sizes = columns[owner]
    shift = second.starts[right][owner] - (np.cumsum(sizes) - sizes)
    step = np.arange(int(sizes.sum())) + np.repeat(shift, sizes)
    return np.repeat(owner, sizes), np.repeat(side, sizes), step
