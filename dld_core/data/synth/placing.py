"""Where on a page there is room for a group, and what is behind it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth.dice import chance, uniform
from dld_core.data.synth.textures import Colour
from dld_core.data.synth.warp import Geometry

_CELL = 4
_TRIES = 14
_ENOUGH = 3


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
        """The geometry moved to a free place (shrunk when larger than the page), or None where none was found.

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
        spill = 0.3 * (high - low) if chance(rng, 0.04) else np.zeros(2)
        choosy = chance(rng, 0.7)
        best: tuple[float, Geometry] | None = None
        found = 0
        for _ in range(_TRIES):
            x = uniform(rng, -low[0] - spill[0], width - high[0] + spill[0])
            y = uniform(rng, -low[1] - spill[1], height - high[1] + spill[1])
            mask, part = self._cells(border + (x, y))
            if not mask.any() or np.any(self._taken[part] & mask):
                continue
            unrest = float(self._busy[part][mask > 0].mean())
            found += 1
            if best is None or unrest < best[0]:
                best = (unrest, geometry.moved(x, y))
            if not choosy or found >= _ENOUGH:
                break
        if best is None:
            return None
        mask, part = self._cells(best[1].outline())
        self._taken[part] |= mask
        return best[1]

    def _cells(self, border: NDArray[np.float64]) -> tuple[NDArray[np.uint8], tuple[slice, slice]]:
        """Grid cells that an outline covers: a mask, and where it lies in the grid."""
        scaled = border / _CELL
        left, top = np.maximum(np.floor(scaled.min(0)).astype(int), 0)
        right, bottom = np.ceil(scaled.max(0)).astype(int) + 1
        part = (slice(int(top), max(int(bottom), 0)), slice(int(left), max(int(right), 0)))
        mask = np.zeros(self._taken[part].shape, np.uint8)
        if mask.size:
            cv2.fillPoly(mask, [np.round(scaled - (left, top)).astype(np.int32)], 1)
        return mask, part

    def look(self, image: NDArray[np.uint8], geometry: Geometry) -> tuple[Colour, float]:
        """Mean colour behind a canvas and the standard deviation of brightness there."""
        window = geometry.window(self.size)
        if window is None:
            return np.full(3, 128, np.float32), 0.0
        left, top, right, bottom = window
        part = image[top:bottom:2, left:right:2]
        mean, spread = cv2.meanStdDev(part)
        return np.asarray(mean[:, 0], np.float32), float(spread.mean())
