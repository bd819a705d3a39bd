"""Polygons of words, as float arrays [n, 2] of (x, y) in pixels, x to the right and y down.

A word's polygon goes clockwise (as seen) from the start of the text: along the top side, then back along
the bottom side. Where the direction of reading is not known it is taken to be the likely one: rightwards,
or downwards for what is clearly taller than wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

Polygon = NDArray[np.float32]
Box = tuple[float, float, float, float]

SAME_LEVEL = 1e-3  # difference of cosines below which two sides are as level as each other
TALL = 2.0  # how many times longer than wide a region must be for text to run along its steep side


def as_polygon(points: ArrayLike) -> Polygon:
    """Points as float32 [n, 2]. Raises ValueError for another shape or values that are not finite."""
    polygon = np.asarray(points, dtype=np.float32)
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) == 0:
        raise ValueError(f"a polygon is [n, 2] points, not {list(polygon.shape)}")
    if not np.isfinite(polygon).all():
        raise ValueError("a polygon has NaN or infinite coordinates")
    return polygon


def scale(polygon: ArrayLike, x: float, y: float | None = None) -> Polygon:
    """The polygon with its x times `x` and its y times `y` (`x` if left out)."""
    return as_polygon(polygon) * np.array([x, x if y is None else y], np.float32)


def clip_to_image(polygon: ArrayLike, width: float, height: float) -> Polygon:
    """Every point moved into [0, width] x [0, height]; number and order of the points stay."""
    return np.clip(as_polygon(polygon), 0, np.array([width, height], np.float32))


def signed_area(polygon: ArrayLike) -> float:
    """Area in square pixels, positive where the points go clockwise as seen."""
    points = np.asarray(polygon, dtype=np.float64)
    x, y = (points - points[0]).T  # exact for whole pixels, so that points on one line have no area at all
    return float(np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:])) / 2


def area(polygon: ArrayLike) -> float:
    """Area in square pixels, whatever the orientation (shoelace: overlaps of a crossing one cancel)."""
    return abs(signed_area(polygon))


def is_clockwise(polygon: ArrayLike) -> bool:
    """Whether the points go clockwise as seen (y down)."""
    return signed_area(polygon) > 0


def clockwise(polygon: ArrayLike) -> Polygon:
    """The polygon, turned round if it goes anticlockwise; its first point stays first."""
    points = as_polygon(polygon)
    return points if signed_area(points) >= 0 else np.roll(points[::-1], 1, axis=0)


def box_of(polygon: ArrayLike) -> Box:
    """The upright box (left, top, right, bottom)."""
    points = as_polygon(polygon)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def iou(first: ArrayLike, second: ArrayLike) -> float:
    """Intersection over union of two polygons, in [0, 1]; self-crossing ones are mended first."""
    a, b = _shape(first), _shape(second)
    shared = float(a.intersection(b).area)
    union = float(a.area + b.area - shared)
    return shared / union if union > 0 else 0.0


def _shape(polygon: ArrayLike) -> Any:
    points = as_polygon(polygon).astype(np.float64)
    if len(points) < 3:
        return shapely.Polygon()
    shape = shapely.Polygon(points)
    return shape if shape.is_valid else shapely.make_valid(shape)


def min_area_rectangle(points: ArrayLike, tall: float = TALL) -> Polygon:
    """The smallest rectangle, at any angle, round the points: [4, 2] in reading order (`order_polygon`)."""
    cloud = as_polygon(points).astype(np.float64)
    hull = shapely.get_coordinates(shapely.convex_hull(shapely.multipoints(cloud)))
    edges = np.diff(hull, axis=0)
    edges = edges[np.linalg.norm(edges, axis=1) > 0]
    if len(edges) == 0:
        edges = np.array([[1.0, 0.0]])
    # One side of the smallest rectangle lies on a side of the convex hull (Freeman and Shapira, 1975).
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    axes = np.stack([along, along @ np.array([[0, 1], [-1, 0]])], axis=1)  # [E, 2, 2], rows: along, across
    spread = np.einsum("eij,nj->ein", axes, hull)
    low, high = spread.min(axis=2), spread.max(axis=2)
    best = int(np.argmin((high - low).prod(axis=1)))
    (u0, v0), (u1, v1) = low[best], high[best]
    corners = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]]) @ axes[best]
    return order_polygon(corners, tall)


def order_polygon(polygon: ArrayLike, tall: float = TALL) -> Polygon:
    """The same points, clockwise from the start of the text.

    Four points: the text runs along the longer sides where they are `tall` times the shorter or more,
    else along the more level ones (at 45 degrees the longer). More points: the text runs between the two
    ends that make of the polygon the narrowest strip. Three or fewer only get their orientation.
    """
    points = clockwise(polygon)
    if len(points) < 4:
        return points
    starts = _quad_starts(points, tall) if len(points) == 4 else _strip_starts(points)
    return max((np.roll(points, -start, axis=0) for start in starts), key=_readability)


def _quad_starts(quad: Polygon, tall: float) -> tuple[int, int]:
    """The two corners of a quadrilateral where a side along the text may begin."""
    edges = np.roll(quad, -1, axis=0) - quad
    pairs = edges[:2] - edges[2:]  # opposite sides run in opposite directions
    length = np.linalg.norm(pairs, axis=1)
    level = np.abs(pairs[:, 0]) / np.maximum(length, 1e-9)
    longer = length.max() >= tall * length.min() or np.ptp(level) < SAME_LEVEL
    first = int(np.argmax(length if longer else level))
    return first, first + 2


def _strip_starts(points: Polygon) -> tuple[int, int]:
    """The two points where the long sides of a curved strip begin: its ribs are then shortest on average."""
    count, best = len(points), (np.inf, 0, 0)
    for start in range(count - 3):
        for end in range(start + 2, min(start + count - 1, count)):
            turned = np.roll(points, -start, axis=0)
            ribs = _rib_length(*_sides(turned, end - start, 8))
            best = min(best, (ribs, start, end))
    return best[1], best[2]


def order_ends(polygon: ArrayLike) -> Polygon:
    """An even polygon whose first half is one side of the text, begun at its likelier end."""
    points = as_polygon(polygon)
    return max((points, np.roll(points, len(points) // 2, axis=0)), key=_readability)


def _readability(polygon: Polygon) -> float:
    """How likely text runs from the polygon's first end to the other: right is good, down a little too."""
    top, bottom = _sides(polygon, _far_end(polygon), 2)
    way = top[1] + bottom[1] - top[0] - bottom[0]
    return float(way[0] + 0.2 * way[1])


def _far_end(polygon: Polygon) -> int:
    """Index of the first point of the bottom side (at the text's end).

    Half the points make each side, as data sets write it; of an odd number, the split that makes the
    sides most equally long.
    """
    count = len(polygon)
    if count % 2 == 0:
        return count // 2
    steps = np.linalg.norm(np.diff(polygon, axis=0), axis=1)
    middle = (count // 2, count // 2 + 1)
    return min(middle, key=lambda k: abs(steps[: k - 1].sum() - steps[k:].sum()))


def resample_sides(polygon: ArrayLike, count: int) -> NDArray[np.float32]:
    """Top and bottom side of an ordered polygon as `count` points each, evenly spaced: [2, count, 2].

    Both sides run in the direction of reading, so row pairs are ribs across the text: a grid between
    them straightens curved words.
    """
    points = as_polygon(polygon)
    if len(points) < 3 or count < 2:
        raise ValueError(f"cannot take {count} points of the sides of a polygon with {len(points)}")
    return np.stack(_sides(points, _far_end(points), count)).astype(np.float32)


def rectangle_sides(points: ArrayLike, count: int, tall: float = TALL) -> Polygon:
    """The smallest rectangle round the points, with `count` points on each long side: [2 * count, 2]."""
    top, bottom = _sides(min_area_rectangle(points, tall), 2, count)
    return np.concatenate([top, bottom[::-1]]).astype(np.float32)


def _sides(points: Polygon, far: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """points[:far] and points[far:] reversed, each as `count` evenly spaced points."""
    return _evenly(points[:far], count), _evenly(points[far:][::-1], count)


def _evenly(line: NDArray[Any], count: int) -> NDArray[np.float64]:
    """`count` points at equal distances along an open line, its ends included."""
    line = np.asarray(line, dtype=np.float64)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], count)
    return np.stack([np.interp(at, lengths, line[:, axis]) for axis in (0, 1)], axis=1)


def _rib_length(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(top - bottom, axis=1).mean())
