"""From a box and its 28x28 mask to a polygon: a rotated rectangle, or a band along curved text.

Free of torch. Points run clockwise from the start of the text.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

CURVED_FILL = 0.72
"""A mask that fills less than this of its rotated rectangle is read as a curved band."""
CURVE_POINTS = 7
"""Points on each long side of a curved polygon."""


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
    contour = max(cv2.findContours(blob, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
    rectangle = cv2.minAreaRect(contour)
    corners = order_rectangle(cv2.boxPoints(rectangle))
    sides = np.linalg.norm(np.diff(np.concatenate([corners, corners[:1]]), axis=0), axis=1)
    area = max(float(sides[0] * sides[1]), 1e-6)
    curved = sides[0] > 2.5 * sides[1] and blob.sum() < CURVED_FILL * area
    polygon = _band(blob, corners) if curved else grow(corners, 0.5)
    return np.asarray((polygon + 0.5) / scale + box[:2], dtype=np.float32)


def rectangle_of_box(box: NDArray[np.float32]) -> Points:
    """The four corners of an upright box."""
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=np.float32)


def order_rectangle(corners: NDArray[Any], tall: float = 1.5) -> Points:
    """Corners clockwise from the start of the text.

    Text runs along the long side, left to right; along an upright rectangle taller than `tall` times its
    width it is taken to run along the long side from the top down (text turned by 90 degrees).
    """
    corners = np.asarray(corners, dtype=np.float32)
    if _signed_area(corners) < 0:
        corners = corners[::-1]
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(sides, axis=1)
    directions = sides / np.maximum(lengths[:, None], 1e-6)
    rightmost = int(directions[:, 0].argmax())
    across = lengths[rightmost]
    if lengths[(rightmost + 1) % 4] > tall * across and abs(directions[rightmost, 0]) >= np.cos(np.pi / 4):
        rightmost = (rightmost + 1) % 4
    return np.roll(corners, -rightmost, axis=0)


def is_tall(polygon: Points) -> bool:
    """Whether a quadrilateral reads downwards (so that an upright reading should be tried as well)."""
    along = polygon[1] - polygon[0]
    return len(polygon) == 4 and abs(float(along[1])) > abs(float(along[0]))


def upright(polygon: Points) -> Points:
    """The same quadrilateral, read from left to right."""
    return np.roll(polygon, 1, axis=0)


def grow(corners: Points, by: float) -> Points:
    """A rectangle with every side moved outwards by so many pixels (contours run through pixel centres)."""
    along = corners[1] - corners[0]
    down = corners[3] - corners[0]
    along = along / max(float(np.linalg.norm(along)), 1e-6) * by
    down = down / max(float(np.linalg.norm(down)), 1e-6) * by
    moves = np.stack([-along - down, along - down, along + down, -along + down])
    return np.asarray(corners + moves, dtype=np.float32)


def _signed_area(points: Points) -> float:
    """Positive for clockwise order on a screen (y pointing down)."""
    x, y = points[:, 0], points[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


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


def _band(blob: NDArray[np.uint8], corners: Points) -> Points:
    """A polygon that follows the top and bottom edge of a blob along its rotated rectangle."""
    width = max(int(np.linalg.norm(corners[1] - corners[0])), 2)
    height = max(int(np.linalg.norm(corners[3] - corners[0])), 2)
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    to_frame = cv2.getPerspectiveTransform(corners, frame)
    flat = cv2.warpPerspective(blob, to_frame, (width + 1, height + 1), flags=cv2.INTER_NEAREST)
    columns = np.flatnonzero(flat.any(0))
    where = np.linspace(columns[0], columns[-1], CURVE_POINTS)
    top = flat.argmax(0)[columns]
    bottom = height - flat[::-1].argmax(0)[columns]
    upper = np.stack([where, np.interp(where, columns, _smooth(top))], 1)
    lower = np.stack([where, np.interp(where, columns, _smooth(bottom))], 1)[::-1]
    band = np.concatenate([upper, lower]).astype(np.float32)[None]
    return np.asarray(cv2.perspectiveTransform(band, np.linalg.inv(to_frame))[0], dtype=np.float32)


def _smooth(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Moving average over a ninth of the length, edges repeated."""
    span = max(len(values) // 9, 1)
    padded = np.pad(values.astype(float), (span // 2, span - 1 - span // 2), mode="edge")
    return np.convolve(padded, np.ones(span) / span, mode="valid")
