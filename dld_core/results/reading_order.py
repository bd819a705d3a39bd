"""Reading order: words in lines from top to bottom, each from left to right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dld_core.types import Word

_SAME_LINE = 0.5  # of the lower height: how far apart the middles of words of one line may lie
_MOST_SKEW = 30.0  # degrees: what is steeper is no skew of the page


def in_reading_order(words: Sequence[Word]) -> list[Word]:
    """The words, line by line."""
    return [word for line in lines(words) for word in line]


def lines(words: Sequence[Word]) -> list[list[Word]]:
    """Words by line, top to bottom, each line left to right; a skew of the page is taken out first.

    Args:
        words: with polygons clockwise from the start of the text, pixels of one image.
    """
    if not words:
        return []
    quads = np.stack([_ends(word) for word in words])  # [N, 4, 2]: top left, top right, bottom right, left
    along = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    heights = np.linalg.norm(quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1], axis=1) / 2
    skew = _skew(along)
    cosine, sine = np.cos(skew), np.sin(skew)
    middles = quads.mean(1) @ np.array([[cosine, -sine], [sine, cosine]])
    found: list[list[int]] = []
    bands: list[tuple[float, float]] = []  # middle and height of each line's last word
    for index in np.argsort(middles[:, 1], kind="stable"):
        y, height = float(middles[index, 1]), float(heights[index])
        for line in range(len(found) - 1, max(-1, len(found) - 4), -1):
            middle, other = bands[line]
            if abs(y - middle) <= _SAME_LINE * min(height, other):
                found[line].append(int(index))
                bands[line] = y, height
                break
        else:
            found.append([int(index)])
            bands.append((y, height))
    return [[words[i] for i in sorted(line, key=lambda i: float(middles[i, 0]))] for line in found]


def _ends(word: Word) -> NDArray[np.float64]:
    """The four corners of a polygon of any even number of points: both ends of its top and bottom sides."""
    points = np.asarray(word.polygon, np.float64)
    half = len(points) // 2
    return points[[0, half - 1, half, -1]] if len(points) >= 4 else points[[0, 1, 2, 2]]


def _skew(along: NDArray[np.float64]) -> float:
    """The median direction of the wide words, radians; 0 where the page has no common one."""
    angles = np.arctan2(along[:, 1], along[:, 0])
    level = np.abs(angles) < np.radians(_MOST_SKEW)
    return float(np.median(angles[level])) if level.sum() > len(angles) / 2 else 0.0
