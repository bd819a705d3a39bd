"""How words and detections of the same images overlap, and which of them belong together.

Area is the absolute shoelace sum and the inside of a crossing outline follows the even-odd rule, because the
polygon library under the challenge's script does so; for outlines that do not cross themselves these are the
usual area and inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from dld_core.errors import DataError
from dld_core.evaluation.words import ImageWords

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MAX_PAIRS = (
    1_000_000  # of words and detections of one image whose boxes touch; real pages have some thousands
)
_CHUNK = 4_000_000  # pairs looked at in one go, touching or not
_MOST_CROSSING = 32  # points of a crossing outline that is mended by the even-odd rule, which takes n^3


@dataclass(frozen=True, slots=True)
class Outlines:
    """The outlines of N words of several images.

    Attributes:
        shapes: [N] shapely geometries; crossing outlines as what lies inside them.
        areas: [N] absolute shoelace areas.
        crossing: [N] True for outlines that cross or touch themselves or have no area.
        starts: [images + 1] where the words of each image begin, and the end of the last.
    """

    shapes: NDArray[np.object_]
    areas: Floats
    crossing: NDArray[np.bool_]
    starts: Indices

    @classmethod
    def of(cls, images: Sequence[ImageWords], whole_pixels: bool) -> Outlines:
        """From the words of images, coordinates cut to whole pixels towards zero if asked."""
        starts = np.cumsum([0, *map(len, images)])
        rings = [np.concatenate((polygon, polygon[:1])) for image in images for polygon in image.polygons]
        if not rings:
            return cls(np.zeros(0, object), np.zeros(0), np.zeros(0, bool), starts)
        points, counts = np.concatenate(rings), np.array([len(ring) for ring in rings])
        points = np.trunc(points) if whole_pixels else points
        firsts = np.cumsum(counts) - counts
        # Relative to each outline's first point, so that far-away ones lose no digits.
        x, y = (points - np.repeat(points[firsts], counts, axis=0)).T
        turns = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0)  # 0 from the end of a ring to the next
        shapes = shapely.polygons(
            shapely.linearrings(points, indices=np.repeat(np.arange(len(rings)), counts))
        )
        crossing = ~shapely.is_valid(shapes)
        _mend(shapes, crossing & (counts <= _MOST_CROSSING + 1), crossing)
        return cls(shapes, np.abs(np.add.reduceat(turns, firsts)) / 2, crossing, starts)


def _mend(shapes: NDArray[np.object_], few: NDArray[np.bool_], crossing: NDArray[np.bool_]) -> None:
    """Turn crossing outlines into what lies inside: by the even-odd rule where they have `few` points."""
    shapes[few] = shapely.make_valid(shapes[few], method="linework")
    mixed = shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION
    rest = (crossing & ~few) | mixed
    shapes[rest] = shapely.buffer(shapes[rest], 0)  # of a collection: without its lines and points


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a word and a detection of one image, by word, then detection.

    Attributes:
        truth, found: [M] indices of the word and of the detection.
        iou: [M] intersection over union.
        inside: [M] share of the detection's own area that lies in the word.
    """

    truth: Indices
    found: Indices
    iou: Floats
    inside: Floats


def overlapping(truth: Outlines, found: Outlines, least: float = 0.0) -> Pairs:
    """All pairs within an image of which more than `least` of the detection's area may lie in the word.

    Raises:
        DataError: in one image the boxes of over a million pairs touch.
    """
    parts = [np.zeros((2, 0), np.int64)]
    for image in range(len(truth.starts) - 1):
        begin, end = truth.starts[image : image + 2]
        first, last = found.starts[image : image + 2]
        if begin < end and first < last:
            touching = _touching(truth.shapes[begin:end], found.shapes[first:last])
            parts.append(touching + np.array([[begin], [first]]))
    left, right = np.concatenate(parts, axis=1)
    box, other = shapely.bounds(truth.shapes)[left].T, shapely.bounds(found.shapes)[right].T
    width = np.minimum(box[2], other[2]) - np.maximum(box[0], other[0])
    height = np.minimum(box[3], other[3]) - np.maximum(box[1], other[1])
    able = width * height * (1 + 1e-9) >= least * found.areas[right]
    able |= truth.crossing[left] | found.crossing[right]  # whose area is another than that of their inside
    left, right = left[able], right[able]
    common = shapely.area(shapely.intersection(truth.shapes[left], found.shapes[right]))
    area = found.areas[right]
    return Pairs(left, right, _ratio(common, truth.areas[left] + area - common), _ratio(common, area))


def _touching(words: NDArray[np.object_], detections: NDArray[np.object_]) -> Indices:
    """[2, M] pairs whose boxes touch, in order."""
    tree, step = shapely.STRtree(detections), max(_CHUNK // len(detections), 1)
    parts, total = [], 0
    for begin in range(0, len(words), step):
        pairs = tree.query(words[begin : begin + step])
        total += pairs.shape[1]
        if total > MAX_PAIRS:
            raise DataError(
                f"over {MAX_PAIRS} pairs of words and detections of one image overlap; are they all of it?"
            )
        parts.append(pairs[:, np.lexsort(pairs[::-1])] + np.array([[begin], [0]]))
    return np.concatenate(parts, axis=1)


def _ratio(part: Floats, whole: Floats) -> Floats:
    # No area at all counts as no overlap, as in the challenge's script.
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)


@dataclass(frozen=True, slots=True)
class Matching:
    """Which words and detections belong together.

    Attributes:
        truth, found: [M] indices of matched words and detections, in the order in which they were matched.
        found_counts: [K] which detections count (not lying in an ignore region).
    """

    truth: Indices
    found: Indices
    found_counts: NDArray[np.bool_]


def match(pairs: Pairs, ignore: NDArray[np.bool_], detections: int, iou: float, inside: float) -> Matching:
    """Greedy, ground truth by ground truth: each takes its first free detection with IoU above `iou`.

    Detections with more than `inside` of their own area in one ignore region take no part.
    """
    found_counts = np.ones(detections, bool)
    found_counts[pairs.found[ignore[pairs.truth] & (pairs.inside > inside)]] = False
    able = (pairs.iou > iou) & ~ignore[pairs.truth] & found_counts[pairs.found]
    # Pairs come ordered by word, then detection, so that one pass is the challenge's double loop.
    matches: dict[int, int] = {}
    taken: set[int] = set()
    for truth, found in zip(pairs.truth[able].tolist(), pairs.found[able].tolist(), strict=True):
        if truth not in matches and found not in taken:
            matches[truth] = found
            taken.add(found)
    matched = np.array([*matches.keys(), *matches.values()], np.int64).reshape(2, -1)
    return Matching(matched[0], matched[1], found_counts)
