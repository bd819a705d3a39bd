"""What the bundled selector's maps should show: words and their outcomes, drawn onto cells of a thumbnail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
CELL = 8
"""Thumbnail pixels per cell of the maps."""
_FINER = 4  # shapes are drawn at this many times the thumbnail's resolution, for words of a pixel or two
_EMPTY = 1e-6
_FAR = 2.0**20  # pixels off which a polygon is cut, so that what is drawn fits 32 bits


class CellTargets(NamedTuple):
    """Targets of one image.

    Attributes:
        density: [h, w] words per cell; sums to the number of words that count.
        log_height: [h, w] log2 of the height of text in thumbnail pixels, 0 where there is none.
        covered: [h, w] share of the cell that is text, ignore regions included.
        lost: [K, h, w] mean chance of loss of the words in a cell; 0 where there are none.
    """

    density: Floats
    log_height: Floats
    covered: Floats
    lost: Floats


def cell_targets(
    polygons: Sequence[Floats], cares: NDArray[np.bool_], lost: Floats, size: tuple[int, int]
) -> CellTargets:
    """Draw the words of one image; arguments as of `ResolutionSelector.targets`."""
    height, width = size[0] // CELL, size[1] // CELL
    density, covered, heights = (np.zeros((height, width), np.float32) for _ in range(3))
    drawn = np.zeros((lost.shape[1], height, width), np.float32)
    for polygon, counts, outcome in zip(polygons, cares.tolist(), lost, strict=True):
        share = coverage(polygon, size)
        covered += share
        heights += share * np.float32(np.log2(max(letter_height(polygon), 0.25)))
        if counts and share.sum() > _EMPTY:
            words = share / share.sum()
            density += words
            drawn += outcome[:, None, None] * words
    known = covered > _EMPTY
    heights[known] /= covered[known]
    present = density > _EMPTY
    drawn[:, present] /= density[present]
    return CellTargets(density, heights, covered.clip(0, 1), drawn)


def coverage(polygon: Floats, size: tuple[int, int]) -> Floats:
    """Share of every cell inside a polygon, [h, w]; a word that is too thin to draw marks its centre."""
    canvas = np.zeros((size[0] * _FINER, size[1] * _FINER), np.uint8)
    points = np.round(polygon.clip(-_FAR, _FAR) * _FINER * 256 - 128).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, shift=8)
    cells = (size[1] // CELL, size[0] // CELL)
    share: Floats = np.float32(1 / 255) * cv2.resize(canvas, cells, interpolation=cv2.INTER_AREA)
    if not share.any():
        column, row = np.clip(polygon.mean(0) // CELL, 0, np.array(cells) - 1).astype(int)
        share[row, column] = 1 / 255
    return share


def letter_height(polygon: Floats) -> float:
    """Mean distance between the two long sides of a word outline [n, 2], in its own pixels."""
    split = (len(polygon) + 1) // 2
    top, bottom = polygon[:split], polygon[split:][::-1]
    points = min(len(top), len(bottom))
    return float(np.linalg.norm(top[:points] - bottom[:points], axis=1).mean())
