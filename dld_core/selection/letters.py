"""Small letters on plain paper, counted in the image itself: what a thumbnail cannot show."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_PLAIN = 0.55  # of the pixels lie near one grey where the image is a page or a screenshot, not a photo
_NEAR = 12  # levels of grey
_INK = 40  # levels of grey between ink and paper, at least
_HEIGHTS = 4, 30  # pixels of a small letter
_SIDE = 4000  # pixels; of a longer image only the middle is looked at


def small_letters(image: NDArray[np.uint8]) -> int:
    """How many small letters (4 to 30 native pixels high) stand on paper of one colour; 0 in a photo.

    Args:
        image: RGB [H, W, 3].
    """
    top, left = (max(side - _SIDE, 0) // 2 for side in image.shape[:2])
    grey = cv2.cvtColor(image[top : top + _SIDE, left : left + _SIDE], cv2.COLOR_RGB2GRAY)
    counts = np.bincount(grey.ravel(), minlength=256)
    near = np.convolve(counts, np.ones(2 * _NEAR + 1, np.int64), "same")
    paper = int(near.argmax())
    if near[paper] < _PLAIN * grey.size:
        return 0
    ink = cv2.bitwise_not(cv2.inRange(grey, paper - _INK, paper + _INK))
    stats = cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:]
    width, height, area = stats[:, 2], stats[:, 3], stats[:, 4]
    letters = (height >= _HEIGHTS[0]) & (height <= _HEIGHTS[1]) & (width <= 3 * height) & (area >= height)
    return int(letters.sum())
