"""Coordinates as annotation files hold them, turned into polygons, and polygons into plain numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from dld_core.data.formats.problems import At, short
from dld_core.geometry import signed_area

Polygon = NDArray[np.float64]
MAX_COORDINATE = 1_000_000  # pixels; no image is this wide
MAX_POINTS = 500  # of one polygon; outlines drawn by hand have some dozens
NUMBER = r"[-+]?(?:[0-9]{1,40}+(?:\.[0-9]{0,40}+)?|\.[0-9]{1,40}+)(?:[eE][-+]?[0-9]{1,3}+)?"
"""A decimal number of bounded length, as a pattern; not nan, inf, 1_000 or the digits of other scripts."""
_NUMBER = re.compile(rf"[ \t]{{0,40}}+{NUMBER}[ \t]{{0,40}}+")
_NOT_FINITE = re.compile(r"[ \t]{0,40}[-+]?(?:nan|inf|infinity)[ \t]{0,40}", re.IGNORECASE)


def is_number(token: str) -> bool:
    """Whether a token is a plain decimal number."""
    return _NUMBER.fullmatch(token) is not None


def numbers(tokens: Sequence[Any], at: At) -> list[float]:
    """Strings or JSON values as finite floats. Raises MalformedError where any is not."""
    values = []
    for index, token in enumerate(tokens, start=1):
        value = _to_float(token)
        if value is None:
            message = f"coordinate {index} is {short(token)}, which is not a number"
            raise at.malformed("non-numeric", message, "write a decimal number, in pixels")
        if not abs(value) <= MAX_COORDINATE:
            message = f"coordinate {index} is {short(token)}, which is no place in an image"
            raise at.malformed("non-finite", message, f"write a number of pixels, up to {MAX_COORDINATE}")
        values.append(value)
    return values


def _to_float(token: Any) -> float | None:
    if isinstance(token, str):
        known = is_number(token) or _NOT_FINITE.fullmatch(token) is not None
        return float(token) if known else None
    if isinstance(token, bool) or not isinstance(token, int | float):
        return None
    return float(token) if abs(token) <= MAX_COORDINATE else math.inf  # float() overflows at huge integers


def to_polygon(values: Sequence[float]) -> Polygon:
    """x1, y1, x2, y2, ... -> float64 [n, 2]."""
    return np.asarray(values, dtype=np.float64).reshape(-1, 2)


def polygon_of(value: Any, at: At) -> Polygon:
    """JSON [x1, y1, x2, y2, ...] or [[x1, y1], ...] as float64 [n, 2]; two points are a rectangle.

    Raises MalformedError where it is neither, has other counts, or holds what is no number.
    """
    values = at.sequence(value)
    if values and all(isinstance(point, list) for point in values):
        wrong = next((i for i, point in enumerate(values) if len(point) != 2), None)
        if wrong is not None:
            message = f"the point has {len(values[wrong])} coordinates, not 2"
            raise (at / wrong).malformed("wrong-count", message, "write [x, y]")
        values = [number for point in values for number in point]
    if len(values) % 2 or not 4 <= len(values) <= 2 * MAX_POINTS:
        message = f"the polygon has {len(values)} coordinates, not x and y of 3 to {MAX_POINTS} points"
        raise at.malformed("wrong-count", message, "write [x1, y1, x2, y2, x3, y3, ...]")
    found = numbers(values, at)
    return rectangle(*found) if len(found) == 4 else to_polygon(found)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Polygon:
    """Clockwise corners from the top left, whichever two opposite corners are given."""
    left, right = sorted((x1, x2))
    top, bottom = sorted((y1, y2))
    return to_polygon([left, top, right, top, right, bottom, left, bottom])


def bounds(polygon: Polygon) -> list[int | float]:
    """Left, top, right, bottom as plain numbers."""
    return [plain(value) for value in (*polygon.min(axis=0), *polygon.max(axis=0))]


def is_rectangle(polygon: Polygon) -> bool:
    """Whether it is exactly the upright rectangle of its bounds, clockwise from the top left."""
    return polygon.shape == (4, 2) and bool(np.array_equal(polygon, rectangle(*bounds(polygon))))


def plain(value: float) -> int | float:
    """A whole number as int, so that files written hold 12 and not 12.0."""
    return int(value) if float(value).is_integer() else float(value)


def flat(polygon: Polygon) -> list[int | float]:
    """[n, 2] -> x1, y1, x2, y2, ... as plain numbers."""
    return [plain(value) for value in polygon.ravel()]


def pairs(polygon: Polygon) -> list[list[int | float]]:
    """[n, 2] -> [[x, y], ...] as plain numbers."""
    return [[plain(x), plain(y)] for x, y in polygon]


def four_points(polygon: Polygon) -> Polygon:
    """The smallest rectangle of any angle around a polygon that has not four points, [4, 2].

    The corners go round as the polygon does and begin at the one nearest to its first point.
    """
    if len(polygon) == 4:
        return polygon
    envelope = shapely.MultiPoint(polygon).minimum_rotated_rectangle
    corners = rectangle(*bounds(polygon))
    if envelope.geom_type == "Polygon":  # else all points lie on one line
        corners = np.asarray(envelope.exterior.coords[:4], dtype=np.float64)
    if (signed_area(corners) < 0) != (signed_area(polygon) < 0):
        corners = corners[::-1]
    first = int(np.argmin(((corners - polygon[0]) ** 2).sum(axis=1)))
    return np.roll(corners, -first, axis=0)
