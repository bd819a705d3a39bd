"""What the head should say about annotated words (arXiv 1911.08947, section 3.4). Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from dld_core.geometry.offsets import Points, offset, shrink_distance

Map = NDArray[np.float32]

LOW, HIGH = 0.3, 0.7
"""Threshold far from any outline, and on one."""
_SHIFT = 4  # fractional bits of cv2.fillPoly's fixed-point coordinates
_FINER = 4  # times as fine as the map is the drawing that tells the shares of positions
_DRAWN_BEYOND = 0.5 / _FINER  # cv2.fillPoly also fills what a side only touches


class Targets(NamedTuple):
    """Maps [H/s, W/s] of one image.

    Attributes:
        text: how much of a position lies inside a shrunken word, in [0, 1]. Regions are a few positions
            high at most, so that parts of one count: what is cut from such a map is measured sub-pixel.
        care: 0 where nobody knows (don't-care words), else 1.
        threshold: from HIGH on a word's outline down to LOW at the shrink distance from it.
        near: 1 where that is taught, within the shrink distance of a word or inside it.
    """

    text: Map
    care: Map
    threshold: Map
    near: Map


def draw_targets(
    polygons: Sequence[Points],
    ignore: Sequence[bool],
    size: tuple[int, int],
    stride: int,
    ratio: float,
    min_side: float,
) -> Targets:
    """The maps of one image.

    Args:
        polygons: of all words, [n, 2] in pixels.
        ignore: which of them are don't-care. So are those that cross themselves, that are narrower than
            `min_side` pixels or that shrink to nothing.
        size: height and width of the image, multiples of `stride`.
        stride: pixels per position of the maps.
        ratio: of shrinking.
    """
    shape = size[0] // stride, size[1] // stride
    maps = Targets(*(np.full(shape, fill, np.float32) for fill in (0.0, 1.0, LOW, 0.0)))
    for polygon, unknown in zip(polygons, ignore, strict=True):
        local = np.asarray(polygon / stride - 0.5, np.float32)  # whole numbers are centres of positions
        shrunken, distance = ([], 0.0) if unknown else _shrink(local, ratio, min_side / stride)
        for part in shrunken:
            _cover(maps.text, part)
        if shrunken:
            _raise_threshold(maps, local, distance)
        else:
            _fill(maps.care, local, 0.0)
    np.multiply(maps.near, maps.care, out=maps.near)
    np.maximum(maps.care, maps.text, out=maps.care)  # a readable word in a don't-care region is taught
    return maps


def _shrink(polygon: Points, ratio: float, min_side: float) -> tuple[list[Points], float]:
    """The parts of the shrunken polygon, and by how much; no parts where it cannot be taught."""
    if len(polygon) < 3 or not shapely.Polygon(polygon).is_valid:
        return [], 0.0
    area, perimeter = abs(cv2.contourArea(polygon)), cv2.arcLength(polygon, True)
    if 2 * area < min_side * perimeter:  # a strip's area is about its width times half of its perimeter
        return [], 0.0
    distance = float(shrink_distance(area, perimeter, ratio))
    return offset(polygon, -distance - _DRAWN_BEYOND), distance


def _cover(canvas: Map, polygon: Points) -> None:
    """Add the share of every position that lies inside a polygon, by drawing it larger."""
    low = np.floor(polygon.min(0)).astype(int).clip(0)
    high = np.minimum(np.ceil(polygon.max(0)).astype(int) + 1, canvas.shape[::-1])
    if (high <= low).any():
        return
    width, height = (int(side) for side in high - low)
    large = np.zeros((height * _FINER, width * _FINER), np.float32)
    _fill(large, (polygon - low + 0.5) * _FINER - 0.5, 1.0)
    window = canvas[low[1] : high[1], low[0] : high[0]]
    np.maximum(window, cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA), out=window)


def _raise_threshold(maps: Targets, polygon: Points, distance: float) -> None:
    """Draw the slopes on both sides of one outline."""
    low = np.floor(polygon.min(0) - distance).astype(int).clip(0)
    high = np.ceil(polygon.max(0) + distance).astype(int).clip(-1) + 1
    window = slice(low[1], high[1]), slice(low[0], high[0])
    threshold, near = maps.threshold[window], maps.near[window]
    if not threshold.size:
        return
    closeness = 1 - _distance_to_outline(polygon - low, threshold.shape) / distance
    inside = np.zeros(threshold.shape, np.float32)
    _fill(inside, polygon - low, 1.0)
    np.maximum(near, (closeness > 0) | (inside > 0), out=near)
    np.maximum(threshold, LOW + (HIGH - LOW) * closeness, out=threshold)


def _distance_to_outline(polygon: Points, shape: tuple[int, ...]) -> Map:
    """Distance of every position of a grid to the nearest side of the polygon, in positions."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    nearest = np.full(shape, np.inf, np.float32)
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        side = end - start
        along = ((x - start[0]) * side[0] + (y - start[1]) * side[1]) / max(float(side @ side), 1e-12)
        along = along.clip(0, 1)
        away = (x - start[0] - along * side[0]) ** 2 + (y - start[1] - along * side[1]) ** 2
        np.minimum(nearest, away, out=nearest)
    return np.asarray(np.sqrt(nearest), np.float32)


def _fill(canvas: Map, polygon: Points, value: float) -> None:
    """Fill a polygon given in positions, sub-pixel; what lies off the canvas is cut."""
    limit = 4 * max(canvas.shape)
    points = np.clip(polygon, -limit, 2 * limit) * (1 << _SHIFT)
    cv2.fillPoly(canvas, [np.round(points).astype(np.int32)], value, shift=_SHIFT)
