"""Where on a page there is room for a group, and what is behind it."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth.sampling import chance, uniform
from dld_core.data.synth.warp import Geometry

_CELL = 4
_TRIES = 14
_ENOUGH = 3


def _footprint(border: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grid cells inside an outline whose corner is (0, 0), uint8 with 1 where covered."""
    scaled = border / _CELL
    columns, rows = np.ceil(scaled.max(0)).astype(int) + 1
    mask = np.zeros((int(rows), int(columns)), np.uint8)
    cv2.fillPoly(mask, [np.round(scaled).astype(np.int32)], 1)
    return mask


class Ground:
    """Keeps track of what is taken (a coarse grid) and how busy the background is.

    Args:
        image: the page before any text, RGB uint8 [h, w, 3].
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.size = (image.shape[0], image.shape[1])
        cells = (-(-image.shape[1] // _CELL), -(-image.shape[0] // _CELL))
        self._taken = np.zeros((cells[1], cells[0]), np.uint8)
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cells, interpolation=cv2.INTER_AREA)
        edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        self._busy = cv2.blur(edges, (9, 9))

    def fit(self, rng: Generator, geometry: Geometry) -> Geometry | None:
        """The geometry moved to a free place (shrunk if larger than the page), or None where none was found.

        Among a few free places the calmest background wins, as signs hang on walls; at times any will do, and
        at times the group may hang over the border of the page.
        """
        height, width = self.size
        border = geometry.outline()
        extent = border.max(0) - border.min(0)
        shrink = min(1.0, 0.94 * width / extent[0], 0.94 * height / extent[1])
        if shrink < 1.0:
            geometry = geometry.scaled(shrink)
            border = geometry.outline()
        low, high = border.min(0), border.max(0)
        mask = _footprint(border - low)
        spill = 0.3 * (high - low) if chance(rng, 0.04) else np.zeros(2)
        choosy = chance(rng, 0.7)
        best: tuple[float, Geometry] | None = None
        found = 0
        for _ in range(_TRIES):
            x = uniform(rng, -low[0] - spill[0], width - high[0] + spill[0])
            y = uniform(rng, -low[1] - spill[1], height - high[1] + spill[1])
            part, seen = self._under(low[0] + x, low[1] + y, mask)
            if not seen.size or cv2.countNonZero(cv2.bitwise_and(self._taken[part], seen)):
                continue
            unrest = cv2.mean(self._busy[part], seen)[0]
            found += 1
            if best is None or unrest < best[0]:
                best = (unrest, geometry.moved(x, y))
            if not choosy or found >= _ENOUGH:
                break
        if best is None:
            return None
        corner = best[1].outline().min(0)
        part, seen = self._under(corner[0], corner[1], mask)
        self._taken[part] |= seen
        return best[1]

    def _under(
        self, x: float, y: float, mask: NDArray[np.uint8]
    ) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
        """Grid cells that a footprint with its corner at (x, y) covers: where, and the mask on the page."""
        column, row = math.floor(x / _CELL), math.floor(y / _CELL)
        top, left = max(0, row), max(0, column)
        bottom, right = self._taken.shape[0] - row, self._taken.shape[1] - column
        seen = np.ascontiguousarray(mask[top - row : max(0, bottom), left - column : max(0, right)])
        return (slice(top, top + seen.shape[0]), slice(left, left + seen.shape[1])), seen
