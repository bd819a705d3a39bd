"""Colour a group for what is behind it, paint it onto the page, and note its words."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth.group import Group
from dld_core.data.synth.labels import Placed, word_polygon
from dld_core.data.synth.style import colourise, draw_style, legibility, plate_canvas, plate_colour
from dld_core.data.synth.textures import Colour
from dld_core.data.synth.warp import Geometry, Points

Image = NDArray[np.uint8]
Window = tuple[int, int, int, int]
_BOARD_UNREST = 4.0
_COVERED, _SEEN, _MOST_LOST = 140, 26, 0.2


def surroundings(image: Image, window: Window) -> tuple[Colour, float]:
    """Mean colour of a part of the page, and the standard deviation there."""
    left, top, right, bottom = window
    mean, spread = cv2.meanStdDev(image[top:bottom:2, left:right:2])
    return np.asarray(mean[:, 0], np.float32), float(spread.mean())


def blend(image: Image, window: Window, colour: Image, cover: Image) -> NDArray[np.uint8]:
    """Put colour [h, w, 3] with alpha [h, w] onto a part of the page, in place.

    Returns:
        uint8 [h, w]: 1 where the page is covered but hardly changed, 2 where the cover shows, else 0.
    """
    left, top, right, bottom = window
    part = image[top:bottom, left:right]
    weight = cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB)
    behind = cv2.multiply(part, cv2.bitwise_not(weight), scale=1 / 255)
    after = cv2.add(behind, cv2.multiply(colour, weight, scale=1 / 255))
    change = cv2.transform(cv2.absdiff(part, after), np.full((1, 3), 0.5, np.float32))
    shown = (cover > _COVERED).astype(np.uint8)
    shown[(change > _SEEN) & (shown > 0)] = 2
    part[:] = after
    return shown


def paint(rng: Generator, image: Image, group: Group, geometry: Geometry) -> list[Placed]:
    """Paint a group at a place, in place; returns its words (none where it lies outside the page)."""
    window = geometry.window((image.shape[0], image.shape[1]))
    if window is None or not group.ink.boxes:
        return []
    behind, busy = surroundings(image, window)
    plate = None
    if group.plate:
        behind, busy = plate_colour(rng, behind), _BOARD_UNREST
        plate = plate_canvas(rng, (geometry.size[1], geometry.size[0]), behind, _margin(group))
    style = draw_style(rng, behind, busy, group.height)
    rgb, alpha = colourise(rng, group.ink.mask, style, plate)
    shown = blend(image, window, *geometry.warp(rgb, alpha, window))
    clear = legibility(style, behind, busy)
    words = []
    for text, box in zip(group.ink.texts, group.ink.boxes, strict=True):
        polygon = word_polygon(rng, geometry, box)
        lost = plate is None and _lost(shown, polygon - window[:2]) > _MOST_LOST
        words.append(Placed(text, polygon, clear, group.ignore or lost))
    return words


def _margin(group: Group) -> int:
    """Free pixels between the words and the border of the canvas."""
    boxes = np.asarray(group.ink.boxes)
    height, width = group.ink.mask.shape
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return int(min(low[0], low[1], width - high[0], height - high[1]))


def _lost(shown: NDArray[np.uint8], polygon: Points) -> float:
    """Share of a word's ink that has the colour of what is behind it."""
    left, top = np.maximum(polygon.min(0).astype(int), 0)
    right, bottom = np.maximum(polygon.max(0).astype(int) + 1, 0)
    faint, clear = (int(np.count_nonzero(shown[top:bottom, left:right] == level)) for level in (1, 2))
    return faint / max(faint + clear, 1)
