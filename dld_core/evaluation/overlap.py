"""Areas and intersections of the polygons of a whole data set at once.

Pairs that cannot reach a threshold are thrown out by their boxes; only the rest is measured. Outlines that do
not cross themselves go through `strips.py`; the others, and pairs so close to a threshold that rounding
decides, are cut, quadrilaterals by `quads.py` and the rest by shapely, each in one call. Area is the absolute
shoelace sum and the inside of a crossing outline follows the even-odd rule, because the Polygon library under
the challenge's script does so; for outlines that do not cross themselves these are the usual area and inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from dld_core.evaluation.quads import common_areas, convex_common_areas
from dld_core.evaluation.strips import Sides, simple_common_areas

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Pairs looked at in one go: bounds memory to some tens of megabytes however many words an image has.
_CHUNK = 1_000_000
# Shares closer than this to a threshold are measured again by cutting, which is exact on whole pixels.
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Regions:
    """N polygons.

    Attributes:
        points: [P, 2], polygon after polygon.
        counts: [N] points per polygon.
        areas: [N] absolute shoelace areas.
        boxes: [N, 4] x0, y0, x1, y1.
        convex: [N] True for convex quadrilaterals.
        simple: [N] True for outlines with an area that do not cross or touch themselves.
        sides: what lies under each side, for measuring simple outlines.
    """

    points: Floats
    counts: Indices
    areas: Floats
    boxes: Floats
    convex: NDArray[np.bool_]
    simple: NDArray[np.bool_]
    sides: Sides

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def build(cls, points: Floats, counts: Indices) -> Regions:
        """Areas and boxes of polygons that lie end to end."""
        starts = np.cumsum(counts) - counts
        following = np.arange(1, len(points) + 1)
        following[starts + counts - 1] = starts
        sides = Sides.build(points, points[following], counts)
        if not len(counts):
            nothing = np.zeros(0, bool)
            return cls(points, counts, np.zeros(0), np.zeros((0, 4)), nothing, nothing, sides)
        # Relative to each polygon's first point, so that far-away polygons lose no digits.
        local = points - np.repeat(points[starts], counts, axis=0)
        areas = np.abs(np.add.reduceat(_turns(local, following), starts)) / 2
        boxes = np.concatenate(
            [np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)], axis=1
        )
        convex = _convex_quads(points, counts, starts)
        simple = convex | _around_center(local, following, counts, starts, areas)
        doubtful = np.flatnonzero(~simple)
        simple[doubtful] = shapely.is_valid(_outlines(points, counts, doubtful))
        return cls(points, counts, areas, boxes, convex, simple, sides)

    def quads(self, chosen: Indices) -> Floats:
        """[M, 4, 2] corners of some polygons that have four."""
        starts = np.cumsum(self.counts) - self.counts
        corners: Floats = self.points[starts[chosen][:, None] + np.arange(4)]
        return corners

    def geometries(self, chosen: Indices) -> NDArray[np.object_]:
        """Valid shapely geometries; crossing outlines become what lies inside by the even-odd rule."""
        polygons = _outlines(self.points, self.counts, chosen)
        crossing = np.flatnonzero(~self.simple[chosen])
        polygons[crossing] = shapely.make_valid(polygons[crossing], method="linework")
        return polygons

    def crossing(self) -> Indices:
        """Which polygons cross themselves or have no area."""
        return np.flatnonzero(~self.simple)


def _outlines(points: Floats, counts: Indices, chosen: Indices) -> NDArray[np.object_]:
    """Shapely polygons of some outlines as they are, valid or not."""
    starts = (np.cumsum(counts) - counts)[chosen]
    sizes = counts[chosen]
    owner = np.repeat(np.arange(len(chosen)), sizes)
    rows = np.arange(len(owner)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return np.asarray(shapely.polygons(shapely.linearrings(points[rows], indices=owner)))


def _turns(points: Floats, following: Indices) -> Floats:
    """Twice the signed area between the origin and each side [P]."""
    x, y = points[:, 0], points[:, 1]
    turns: Floats = x * y[following] - x[following] * y
    return turns


def _around_center(
    local: Floats, following: Indices, counts: Indices, starts: Indices, areas: Floats
) -> NDArray[np.bool_]:
    """True for outlines that go round the mean of their corners once, always the same way: surely simple."""
    center = np.add.reduceat(local, starts) / counts[:, None]
    around = local - np.repeat(center, counts, axis=0)
    turns = _turns(around, following)
    margin = 1e-6 * areas
    onward = (np.minimum.reduceat(turns, starts) > margin) | (np.maximum.reduceat(turns, starts) < -margin)
    below = around[:, 1] <= 0
    rounds = np.add.reduceat((below & ~below[following]).astype(np.int64), starts)
    once: NDArray[np.bool_] = onward & (rounds == 1)
    return once


def _convex_quads(points: Floats, counts: Indices, starts: Indices) -> NDArray[np.bool_]:
    convex = np.zeros(len(counts), bool)
    quads = np.flatnonzero(counts == 4)
    corners = points[starts[quads][:, None] + np.arange(4)]
    edges = np.roll(corners, -1, axis=1) - corners
    turned = np.roll(edges, -1, axis=1)
    turns = edges[..., 0] * turned[..., 1] - edges[..., 1] * turned[..., 0]
    convex[quads] = (turns > 0).all(axis=1) | (turns < 0).all(axis=1)
    return convex


@dataclass(frozen=True, slots=True)
class Limits:
    """Which pairs of a word and a detection are worth measuring.

    Attributes:
        truth_per_image, found_per_image: [images] how many words and detections each image has.
        may_match: [words] True for those that some detection may match; these need an IoU above `iou`.
        may_hide: [words] True for those that can hide a detection; these need a share above `inside`.
    """

    truth_per_image: Indices
    found_per_image: Indices
    may_match: NDArray[np.bool_]
    may_hide: NDArray[np.bool_]
    iou: float
    inside: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a word and a detection of one image that matter, by word, then detection.

    Attributes:
        truth, found: [M] indices of the word and of the detection.
        iou: [M] intersection over union.
        inside: [M] share of the detection's own area that lies in the word.
    """

    truth: Indices
    found: Indices
    iou: Floats
    inside: Floats


def overlapping(truth: Regions, found: Regions, limits: Limits) -> Pairs:
    """All pairs within an image that can matter under `limits`, with their overlaps."""
    left, right = _box_pairs(truth, found, limits)
    area, other = found.areas[right], truth.areas[left]
    common = np.zeros(len(left))
    simple = truth.simple[left] & found.simple[right]
    base = truth.boxes[left, 1]
    common[simple] = simple_common_areas(truth.sides, found.sides, left[simple], right[simple], base[simple])
    close = np.abs(_ratio(common, other + area - common) - limits.iou) < _CLOSE
    close |= np.abs(_ratio(common, area) - limits.inside) < _CLOSE
    again = np.flatnonzero(~simple | close)
    common[again] = _cut(truth, found, left[again], right[again])
    return Pairs(left, right, _ratio(common, other + area - common), _ratio(common, area))


def _cut(truth: Regions, found: Regions, left: Indices, right: Indices) -> Floats:
    """Common areas [M] of pairs of any outlines."""
    common = np.zeros(len(left))
    quads = (truth.counts[left] == 4) & (found.counts[right] == 4)
    convex = truth.convex[left] & found.convex[right]
    for chosen, measure in (
        (convex, _by(convex_common_areas)),
        (quads & ~convex, _by(common_areas)),
        (~quads, _common_by_shapely),
    ):
        if chosen.any():
            common[chosen] = measure(truth, found, left[chosen], right[chosen])
    return common


def _by(
    measure: Callable[[Floats, Floats], Floats],
) -> Callable[[Regions, Regions, Indices, Indices], Floats]:
    return lambda truth, found, left, right: measure(truth.quads(left), found.quads(right))


def _common_by_shapely(truth: Regions, found: Regions, left: Indices, right: Indices) -> Floats:
    used_left, at_left = np.unique(left, return_inverse=True)
    used_right, at_right = np.unique(right, return_inverse=True)
    shapes = truth.geometries(used_left)[at_left], found.geometries(used_right)[at_right]
    return np.asarray(shapely.area(shapely.intersection(*shapes)), np.float64)


def _ratio(part: Floats, whole: Floats) -> Floats:
    # No area at all counts as no overlap, as in the challenge's script.
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


def _box_pairs(truth: Regions, found: Regions, limits: Limits) -> tuple[Indices, Indices]:
    """Index pairs whose boxes leave a chance, by word, then detection."""
    first_found = np.cumsum(limits.found_per_image) - limits.found_per_image
    # One row of candidates per word: all the detections of its image.
    rows = np.repeat(limits.found_per_image, limits.truth_per_image)
    row_start = np.repeat(first_found, limits.truth_per_image)
    kept = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for begin, end in _chunks(rows):
        sizes = rows[begin:end]
        left = np.repeat(np.arange(begin, end), sizes)
        step = np.arange(len(left)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        right = step + np.repeat(row_start[begin:end], sizes)
        kept.append(_worth_cutting(truth, found, left, right, limits))
    return np.concatenate([left for left, _ in kept]), np.concatenate([right for _, right in kept])


def _chunks(rows: Indices) -> list[tuple[int, int]]:
    """Cut words into ranges of at most about `_CHUNK` candidate pairs."""
    total = np.cumsum(rows)
    cuts = np.searchsorted(total, np.arange(_CHUNK, int(total[-1]) if len(total) else 0, _CHUNK)) + 1
    edges = [0, *dict.fromkeys(int(cut) for cut in cuts if cut < len(rows)), len(rows)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def _worth_cutting(
    truth: Regions, found: Regions, left: Indices, right: Indices, limits: Limits
) -> tuple[Indices, Indices]:
    """Drop pairs that an upper bound on the intersection (common box, smaller area) rules out."""
    for axis in (1, 0):  # words are flat: most pairs part in y
        (low, high), (other_low, other_high) = truth.boxes.T[axis::2], found.boxes.T[axis::2]
        meets = (low.take(left) < other_high.take(right)) & (other_low.take(right) < high.take(left))
        touching = np.flatnonzero(meets)
        left, right = left[touching], right[touching]
    box, other = truth.boxes[left], found.boxes[right]
    sizes = np.minimum(box[:, 2:], other[:, 2:]) - np.maximum(box[:, :2], other[:, :2])
    bound = sizes[:, 0] * sizes[:, 1] * (1 + 1e-9)
    area_a, area_b = truth.areas[left], found.areas[right]
    # Where outlines cross themselves the shoelace areas bound nothing, but the common box still does.
    smaller = np.minimum(bound, np.minimum(area_a, area_b) * (1 + 1e-9))
    bound = np.where(truth.simple[left] & found.simple[right], smaller, bound)
    keep = (bound > limits.iou * (area_a + area_b - bound)) & limits.may_match[left]
    keep |= (bound > limits.inside * area_b) & limits.may_hide[left]
    return left[keep], right[keep]
