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
from dld_core.data.synth.warp import Geometry

Image = NDArray[np.uint8]
_BOARD_UNREST = 4.0


def surroundings(image: Image, geometry: Geometry) -> tuple[Colour, float]:
    """Mean colour where a canvas will lie, and the standard deviation of brightness there."""
    window = geometry.window((image.shape[0], image.shape[1]))
    if window is None:
        return np.full(3, 128, np.float32), 0.0
    left, top, right, bottom = window
    mean, spread = cv2.meanStdDev(image[top:bottom:2, left:right:2])
    return np.asarray(mean[:, 0], np.float32), float(spread.mean())


def blend(image: Image, geometry: Geometry, rgb: Image, alpha: Image) -> None:
    """Put a canvas (colour [h, w, 3], alpha [h, w]) onto the page, in place."""
    window = geometry.window((image.shape[0], image.shape[1]))
    if window is None:
        return
    colour, cover = geometry.warp(rgb, alpha, window)
    left, top, right, bottom = window
    part = image[top:bottom, left:right]
    weight = cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB)
    behind = cv2.multiply(part, cv2.bitwise_not(weight), scale=1 / 255)
    part[:] = cv2.add(behind, cv2.multiply(colour, weight, scale=1 / 255))


def paint(rng: Generator, image: Image, group: Group, geometry: Geometry) -> list[Placed]:
    """Paint a group at a place, in place; returns its words."""
    behind, busy = surroundings(image, geometry)
    plate = None
    if group.plate:
        behind, busy = plate_colour(rng, behind), _BOARD_UNREST
        plate = plate_canvas(rng, (geometry.size[1], geometry.size[0]), behind)
    style = draw_style(rng, behind, busy, group.height)
    rgb, alpha = colourise(rng, group.ink.mask, style, plate)
    blend(image, geometry, rgb, alpha)
    clear = legibility(style, behind, busy)
    return [
        Placed(text, word_polygon(rng, geometry, box), clear, group.ignore)
        for text, box in zip(group.ink.texts, group.ink.boxes, strict=True)
    ]
