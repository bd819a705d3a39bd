"""From the detector's map of text to the boxes of lines, number for number as PP-OCR's engines do it.

What looks odd (whole pixels, the dilation to one side, sides of 3 and 5) is theirs: the recogniser was made
for the crops that come of it. Source: RapidOCR 3.10 (`ch_ppocr_det`; Apache-2.0), after PaddleOCR.

Two things are not theirs, and off in `ENGINES_OWN`. The map is enlarged before regions are cut from it
(`finer`), as whole positions are half a letter where the image is small. And growth allows for the blur of
the map (`edge`): it thickens every region by about as much, however high the text, so that a ratio that suits
large letters makes the boxes of small ones too large by half.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyclipper
from numpy.typing import NDArray

Map = NDArray[np.float32]
Box = NDArray[np.float32]  # [4, 2]: top left, top right, bottom right, bottom left

_CANDIDATES = 4000  # regions looked at; a dense page has 2,000 words
_LEAST = 3  # positions, of the shorter side of a region
_LEAST_GROWN = 5  # of the same after it has grown
_LEAST_LINE = 3  # pixels that both sides of a line exceed
_SAME_ROW = 10  # pixels between the tops of lines that stand beside each other
_NEIGHBOURS = np.ones((2, 2), np.uint8)


@dataclass(frozen=True, slots=True)
class RegionOptions:
    """See PPOCRConfig."""

    pixel_threshold: float = 0.3
    box_threshold: float = 0.5
    unclip_ratio: float = 1.3
    edge: float = 0.7
    finer: int = 3


ENGINES_OWN = RegionOptions(unclip_ratio=1.6, edge=0.0, finer=1)
"""Of PP-OCRv6 small."""


def find_lines(probability: Map, size: tuple[int, int], options: RegionOptions) -> list[Box]:
    """The boxes of the lines in a map, in reading order.

    Args:
        probability: [h, w] in [0, 1].
        size: height and width of the image that it shows, at whatever resolution, pixels.

    Returns:
        Boxes in whole pixels of the image.
    """
    if options.finer > 1:
        probability = np.asarray(
            cv2.resize(probability, None, fx=options.finer, fy=options.finer), np.float32
        )
    mask = cv2.dilate((probability > options.pixel_threshold).astype(np.uint8), _NEIGHBOURS)
    contours = cv2.findContours(mask * 255, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    found = [
        _in_image(box, probability.shape, size)
        for contour in contours[:_CANDIDATES]
        for box in _grown(probability, contour, options)
    ]
    return _in_reading_order([box for box in found if min(_sides(box)) > _LEAST_LINE])


def _grown(probability: Map, contour: NDArray[Any], options: RegionOptions) -> Iterator[Box]:
    """The box round one contour, grown, or none."""
    box, side = _box_round(contour)
    if side < _LEAST or _mean_inside(probability, box) < options.box_threshold:
        return
    # The engine's Polygon(box): the area in floating point, the corners that grow cut to whole numbers.
    x, y = box.astype(np.float64).T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    length = float(np.linalg.norm(box - np.roll(box, -1, 0), axis=1).sum())
    clipper = pyclipper.PyclipperOffset()
    try:
        clipper.AddPath(box, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    except pyclipper.ClipperException:  # no area is left of it in whole numbers
        return
    blur = options.edge * options.finer
    paths = clipper.Execute(area * options.unclip_ratio / max(length, 1e-9) - blur)
    if len(paths) == 1:
        box, side = _box_round(np.array(paths[0], np.int32).reshape(-1, 1, 2))
        if side >= _LEAST_GROWN:
            yield box


def _box_round(points: NDArray[np.int32]) -> tuple[Box, float]:
    """The smallest rectangle round points [n, 1, 2], and its shorter side."""
    rectangle = cv2.minAreaRect(points)
    return _ordered(np.asarray(cv2.boxPoints(rectangle), np.float32)), min(rectangle[1])


def _ordered(box: Box) -> Box:
    """Corners from the top left on, clockwise: of the two leftmost the upper one first, and so on."""
    by_x = box[np.argsort(box[:, 0], kind="stable")]
    left, right = (half[np.argsort(half[:, 1], kind="stable")] for half in (by_x[:2], by_x[2:]))
    return np.stack([left[0], right[0], right[1], left[1]])


def _mean_inside(probability: Map, box: Box) -> float:
    height, width = probability.shape
    low = np.floor(box.min(0)).astype(int).clip(0, (width - 1, height - 1))
    high = np.ceil(box.max(0)).astype(int).clip(0, (width - 1, height - 1))
    mask = np.zeros(high[::-1] - low[::-1] + 1, np.uint8)
    cv2.fillPoly(mask, [(box - low).astype(np.int32)], 1)
    window = probability[low[1] : high[1] + 1, low[0] : high[0] + 1]
    return float(cv2.mean(window, mask)[0])


def _in_image(box: Box, shape: tuple[int, ...], size: tuple[int, int]) -> Box:
    """The box of the map in whole pixels of the image."""
    limit = np.array(size[::-1], np.float32)
    scaled = np.round(box / np.array(shape[::-1], np.float32) * limit)
    return np.asarray(_ordered(np.clip(scaled, 0, limit)).clip(0, limit - 1), np.float32)


def _sides(box: Box) -> tuple[int, int]:
    """Width and height, cut to whole pixels."""
    return int(np.linalg.norm(box[0] - box[1])), int(np.linalg.norm(box[0] - box[3]))


def _in_reading_order(boxes: list[Box]) -> list[Box]:
    """From top to bottom, and from left to right where the next one begins but a little lower."""
    boxes = sorted(boxes, key=lambda box: float(box[0, 1]))
    tops = np.array([box[0, 1] for box in boxes])
    rows = np.concatenate([[0], np.cumsum(np.diff(tops) >= _SAME_ROW)])
    order = sorted(range(len(boxes)), key=lambda index: (rows[index], boxes[index][0, 0]))
    return [boxes[index] for index in order]
