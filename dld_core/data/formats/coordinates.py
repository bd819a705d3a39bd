"""Turning what annotation files hold for coordinates into polygons, and polygons into text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_core.data.formats.problems import Problems

Polygon = NDArray[np.float64]
MAX_COORDINATE = 1e7  # no image is this wide; beyond float32's whole numbers besides
_NUMBER = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*", re.ASCII)
_NON_FINITE = re.compile(r"\s*[-+]?(?:nan|inf|infinity)\s*", re.IGNORECASE)


def is_number(token: str) -> bool:
    """Whether a token is a plain decimal number (so not nan, inf, 1_000 or other scripts' digits)."""
    return _NUMBER.fullmatch(token) is not None


def is_numeric(token: str) -> bool:
    """Whether a token is meant as a number, be it not a finite one."""
    return is_number(token) or _NON_FINITE.fullmatch(token) is not None


def parse_numbers(
    tokens: Sequence[Any], file: Path | str, where: str, problems: Problems
) -> list[float] | None:
    """Strings or JSON values to finite floats; None and one reported problem where any is not."""
    values = []
    for index, token in enumerate(tokens, start=1):
        value = _to_float(token)
        if value is None:
            message = f"coordinate {index} is {token!r}, which is not a number"
            problems.error("non-numeric", file, where, message, "write a decimal number, in pixels")
            return None
        if not math.isfinite(value) or abs(value) > MAX_COORDINATE:
            message = f"coordinate {index} is {token}, which is no place in an image"
            problems.error("non-finite", file, where, message, "write a finite number, in pixels")
            return None
        values.append(value)
    return values


def _to_float(token: Any) -> float | None:
    if isinstance(token, bool) or not isinstance(token, str | int | float):
        return None
    if isinstance(token, str) and not is_numeric(token):
        return None
    try:
        return float(token)
    except OverflowError:  # a JSON integer of hundreds of digits
        return math.inf


def to_polygon(values: Sequence[float]) -> Polygon:
    """x1, y1, x2, y2, ... -> float64 [n, 2]."""
    return np.asarray(values, dtype=np.float64).reshape(-1, 2)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Polygon:
    """Clockwise corners from the top left, whichever two opposite corners are given."""
    left, right = sorted((x1, x2))
    top, bottom = sorted((y1, y2))
    return to_polygon([left, top, right, top, right, bottom, left, bottom])


def bounds(polygon: Polygon) -> tuple[float, float, float, float]:
    """(left, top, right, bottom)."""
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


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
