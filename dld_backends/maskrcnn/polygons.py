"""From a box and its 28x28 mask to a polygon: a rotated rectangle, or a band along curved text.

Points run clockwise from the start of the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from dld_backends.recognition.words import Points
from dld_core.geometry.polygons import min_area_rectangle
from dld_core.geometry.ribbon import ribbon

CURVED_SOLIDITY = 0.85
"""A mask that fills less than this of its convex hull is bent: it is read as a ribbon."""
CURVE_POINTS = 7
"""Points on each long side of a curved polygon."""
TALL = 1.5
"""An upright rectangle this many times as high as wide is taken for text turned by 90 degrees."""


def mask_polygon(probability: NDArray[np.float32], box: NDArray[np.float32]) -> Points:
    """The polygon of one word.

    Args:
        probability: [28, 28] text probability inside the box.
        box: x1, y1, x2, y2 in pixels.

    Returns:
        [n, 2] float32, 4 points, or 2 * CURVE_POINTS for curved text; the box itself where the mask is empty.
    """
    blob, scale = _largest_blob(probability, box)
    if blob is None:
        return rectangle_of_box(box)
    contour = max(cv2.findContours(blob, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)[:, 0]
    polygon = None
    hull = cv2.contourArea(cv2.convexHull(contour))
    if hull > 0 and cv2.contourArea(contour) < CURVED_SOLIDITY * hull:
        polygon = ribbon(contour, CURVE_POINTS, TALL)
    if polygon is None or not shapely.Polygon(polygon).is_valid:
        polygon = grow(min_area_rectangle(contour, TALL), 0.5)
    return np.asarray((polygon + 0.5) / scale + box[:2], dtype=np.float32)


def rectangle_of_box(box: NDArray[np.float32]) -> Points:
    """The four corners of an upright box."""
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=np.float32)


def without_fragments(polygons: Sequence[Points], scores: Sequence[float], limit: float) -> list[int]:
    """Indices of the polygons to keep, best first.

    Boxes of a part of a word, or of two words, overlap the word's own box too little for the usual
    suppression; here the weaker of two goes when more than `limit` of the smaller one's area is shared.
    """
    if not polygons:
        return []
    shapes = [shapely.make_valid(shapely.Polygon(p)) for p in polygons]
    areas = shapely.area(shapes)
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(np.take(shapes, first), np.take(shapes, second)))
    rivals = shared > limit * np.minimum(areas[first], areas[second])
    overlaps = set(zip(first[rivals].tolist(), second[rivals].tolist(), strict=True))
    kept: list[int] = []
    for index in sorted(range(len(shapes)), key=lambda i: -scores[i]):
        if areas[index] > 0 and not any((index, other) in overlaps for other in kept):
            kept.append(index)
    return kept


def grow(corners: Points, by: float) -> Points:
    """A rectangle with every side moved outwards by so many pixels (contours run through pixel centres)."""
    along = corners[1] - corners[0]
    down = corners[3] - corners[0]
    along = along / max(float(np.linalg.norm(along)), 1e-6) * by
    down = down / max(float(np.linalg.norm(down)), 1e-6) * by
    moves = np.stack([-along - down, along - down, along + down, -along + down])
    return np.asarray(corners + moves, dtype=np.float32)


def _largest_blob(
    probability: NDArray[np.float32], box: NDArray[np.float32]
) -> tuple[NDArray[np.uint8] | None, NDArray[np.float32]]:
    """The mask at (bounded) pixel resolution, its largest connected part, and mask pixels per image pixel."""
    size = np.maximum(box[2:] - box[:2], 1.0)
    pixels = np.clip(np.round(size), 28, 256).astype(int)
    scale = (pixels / size).astype(np.float32)
    scale = np.full(2, scale.min() if size.min() >= 28 else scale.max(), np.float32)  # keep angles true
    pixels = np.maximum(np.round(size * scale), 2).astype(int)
    large = cv2.resize(probability, (int(pixels[0]), int(pixels[1])), interpolation=cv2.INTER_LINEAR)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((large > 0.5).astype(np.uint8), connectivity=8)
    if count < 2 or stats[1:, cv2.CC_STAT_AREA].max() < 4:
        return None, scale
    best = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return (labels == best).astype(np.uint8), scale
