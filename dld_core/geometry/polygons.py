"""Polygons of words, as float arrays [n, 2] of (x, y) in pixels, x to the right and y down.

A word's polygon goes clockwise (as seen) from the start of the text: along the top side, then back along
the bottom side. Where the direction of reading is not known it is taken to be the likely one: rightwards,
or downwards for what is clearly taller than wide.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

Polygon = NDArray[np.float32]

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


def iou(first: ArrayLike, second: ArrayLike) -> float:
    """Intersection over union, in [0, 1], of two polygons of three points or more."""
    a, b = shapely.make_valid([shapely.Polygon(as_polygon(polygon)) for polygon in (first, second)])
    union = shapely.union(a, b).area
    return float(shapely.intersection(a, b).area / union) if union > 0 else 0.0


def min_area_rectangle(points: ArrayLike, tall: float = TALL) -> Polygon:
    """The smallest rectangle, at any angle, round the points: [4, 2] in reading order (`order_polygon`)."""
    cloud = shapely.multipoints(as_polygon(points).astype(np.float64))
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(cloud))
    return order_polygon(corners[:4] if len(corners) == 5 else corners[[0, -1, -1, 0]], tall)


def rectangle_sides(points: ArrayLike, count: int, tall: float = TALL) -> Polygon:
    """The smallest rectangle round the points, with `count` points on each long side: [2 * count, 2]."""
    start, end, below, back = min_area_rectangle(points, tall)
    return np.concatenate([np.linspace(start, end, count), np.linspace(below, back, count)])


def order_polygon(polygon: ArrayLike, tall: float = TALL) -> Polygon:
    """The same points, clockwise from the start of the text; only quadrilaterals get another start.

    Text runs along the longer sides where they are `tall` times the shorter or more, else along the more
    level ones (at 45 degrees the longer).
    """
    quad = clockwise(polygon)
    if len(quad) != 4:
        return quad
    edges = np.roll(quad, -1, axis=0) - quad
    pairs = edges[:2] - edges[2:]  # opposite sides run in opposite directions
    length = np.linalg.norm(pairs, axis=1)
    level = np.abs(pairs[:, 0]) / np.maximum(length, 1e-9)
    longer = length.max() >= tall * length.min() or np.ptp(level) < SAME_LEVEL
    return order_ends(np.roll(quad, -int(np.argmax(length if longer else level)), axis=0))


def order_ends(polygon: ArrayLike) -> Polygon:
    """An even polygon whose first half is one side of the text, begun at its likelier end.

    Text runs right, or else down.
    """
    points = as_polygon(polygon)
    half = len(points) // 2
    way = points[half - 1] + points[half] - points[0] - points[-1]
    return points if way[0] + 0.2 * way[1] >= 0 else np.roll(points, half, axis=0)
