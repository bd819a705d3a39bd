"""Regions of an image, cut out and turned upright."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

_BEYOND = 0.25  # of the image's longer side: how far a corner may lie outside
_LARGEST = 4.0  # pixels of a crop, as a multiple of the image's


def crop_quad(pixels: NDArray[np.uint8], quad: ArrayLike) -> NDArray[np.uint8]:
    """The region of four points as a picture of its own, as wide and high as its longer sides.

    Time and memory are bounded wherever the points lie: a point further outside than a quarter of the
    image's longer side is moved in, and a crop never has more pixels than four images.

    Args:
        pixels: RGB uint8 [H, W, 3].
        quad: [4, 2], clockwise from the start of the text; what lies outside of the image is black.
    """
    height, width = pixels.shape[:2]
    margin = _BEYOND * max(height, width)
    corners = np.clip(np.asarray(quad, np.float64), -margin, np.array([width, height]) + margin)
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    across, down = max(sides[0], sides[2], 1.0), max(sides[1], sides[3], 1.0)
    shrink = min(1.0, math.sqrt(_LARGEST * height * width / (across * down)))
    size = max(1, round(across * shrink)), max(1, round(down * shrink))
    data = corners[[0, 3, 2, 1]].ravel().tolist()
    picture = Image.fromarray(pixels)
    return np.asarray(picture.transform(size, Image.Transform.QUAD, data, Image.Resampling.BICUBIC), np.uint8)
