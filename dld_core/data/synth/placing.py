"""Where on a page there is room for a group, and painting it there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from dld_core.data.photometric import Image
from dld_core.data.synth.group import Group
from dld_core.data.synth.labels import Placed, word_polygon
from dld_core.data.synth.style import Style, blend, colourise, plate_canvas, plate_colour
from dld_core.data.synth.warp import Geometry, Points

_CELL = 4  # pixels of the grid that holds what is taken
_TRIES, _ENOUGH = 14, 3
_BOARD_UNREST = 4.0
_COVERED, _SEEN, _MOST_LOST = 140, 26, 0.2


class Ground:
    """Keeps track of what is taken (a coarse grid) and how busy the background is.

    Args:
        image: the page before any text, RGB uint8 [h, w, 3].
    """

    def __init__(self, image: Image) -> None:
        self.size = (image.shape[0], image.shape[1])
        cells = (-(-image.shape[1] // _CELL), -(-image.shape[0] // _CELL))
        self._taken = np.zeros(cells[::-1], np.uint8)
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cells, interpolation=cv2.INTER_AREA)
        edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        self._busy = cv2.blur(edges, (9, 9))

    def fit(self, rng: Generator, geometry: Geometry) -> Geometry | None:
        """The geometry moved to a free place (shrunk if larger than the page), or None where none was found.

        Among a few free places the calmest background wins, as signs hang on walls; at times any will do, and
        at times the group may hang over the border of the page.
        """
        page = np.array(self.size[::-1])
        geometry = geometry.scaled(min(1.0, *(0.94 * page / np.ptp(geometry.outline(), axis=0))))
        border = geometry.outline()
        low, high = border.min(0), border.max(0)
        spill = 0.3 * (high - low) * (rng.random() < 0.04)
        footprint = _footprint(border - low)
        enough = _ENOUGH if rng.random() < 0.7 else 1
        free: list[tuple[float, Points]] = []
        for corner in rng.uniform(-spill, page - (high - low) + spill, (_TRIES, 2)):
            part, mask = self._under(corner, footprint)
            if mask.size and not cv2.countNonZero(cv2.bitwise_and(self._taken[part], mask)):
                free.append((cv2.mean(self._busy[part], mask)[0], corner))
            if len(free) == enough:
                break
        if not free:
            return None
        _, calmest = min(free, key=lambda one: one[0])
        part, mask = self._under(calmest, footprint)
        self._taken[part] |= mask
        return geometry.moved(*(calmest - low))

    def _under(self, corner: Points, footprint: Image) -> tuple[tuple[slice, slice], Image]:
        """Cells that a footprint with its corner there covers: where, and the mask on the page."""
        left, top = np.floor(corner / _CELL).astype(int).tolist()
        rows, columns = self._taken.shape
        mask = footprint[max(0, -top) : max(0, rows - top), max(0, -left) : max(0, columns - left)]
        top, left = max(0, top), max(0, left)
        part = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        return part, np.ascontiguousarray(mask)


def _footprint(border: Points) -> Image:
    """Cells of the grid inside an outline whose corner is (0, 0), 1 where covered."""
    cells = np.round(border / _CELL).astype(np.int32)
    columns, rows = (cells.max(0) + 1).tolist()
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [cells], 1)
    return mask


def paint(rng: Generator, image: Image, group: Group, geometry: Geometry) -> list[Placed]:
    """Paint a group at a place, in place; returns its words (none where it lies outside the page)."""
    window = geometry.window((image.shape[0], image.shape[1]))
    if window is None or not group.ink.texts:
        return []
    left, top, right, bottom = window
    part = image[top:bottom, left:right]
    mean, spread = cv2.meanStdDev(part[::2, ::2])
    behind, busy, plate = mean[:, 0].astype(np.float32), float(spread.mean()), None
    if group.plate:
        behind, busy = plate_colour(rng, behind), _BOARD_UNREST
        plate = plate_canvas(rng, group.ink.mask.shape, behind, group.ink.margin())
    style = Style.sample(rng, behind, busy, group.height)
    colour, cover = geometry.warp(*colourise(rng, group.ink.mask, style, plate), window)
    before = part.copy()
    blend(part, colour, cover)
    shown = _shown(before, part, cover)
    clear = style.legibility(behind, busy)
    words = []
    for text, box in zip(group.ink.texts, group.ink.boxes, strict=True):
        polygon = word_polygon(rng, geometry, box)
        lost = plate is None and _lost(shown, polygon - (left, top)) > _MOST_LOST
        words.append(Placed(text, polygon, clear, group.ignore or lost))
    return words


def _shown(before: Image, after: Image, cover: Image) -> Image:
    """1 where the page is covered but hardly changed, 2 where the cover shows, else 0; [h, w]."""
    change = cv2.transform(cv2.absdiff(before, after), np.full((1, 3), 0.5, np.float32))
    covered = cover > _COVERED
    return covered.astype(np.uint8) + (covered & (change > _SEEN))


def _lost(shown: Image, polygon: Points) -> float:
    """Share of a word's ink that has the colour of what is behind it."""
    left, top = np.maximum(polygon.min(0).astype(int), 0)
    right, bottom = np.maximum(polygon.max(0).astype(int) + 1, 0)
    faint, clear = np.bincount(shown[top:bottom, left:right].ravel(), minlength=3)[1:]
    return float(faint / max(faint + clear, 1))
