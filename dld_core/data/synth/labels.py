"""Polygons of rendered words, and which words cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.photometric import Image
from dld_core.data.synth.degrade import Damage
from dld_core.data.synth.warp import Geometry, Points, box_points
from dld_core.geometry.polygons import signed_area

_LOWEST_CONTRAST = 13.0
_MOST_HIDDEN = 0.35
_LEAST_RELIEF = 4.5


@dataclass(slots=True)
class Placed:
    """A word on the page.

    Attributes:
        text: its transcription.
        polygon: page points [n, 2], clockwise from the start of the text; may leave the page.
        contrast: how clearly it stands out (grey levels).
        ignore: whether it is an ignore region whatever it looks like.
    """

    text: str
    polygon: Points
    contrast: float
    ignore: bool = False


def word_polygon(rng: Generator, geometry: Geometry, box: NDArray[np.float64]) -> Points:
    """The polygon of a word whose ink fills `box` on the canvas: 4 points, or 8-14 where the canvas is bent.

    The margin around the ink is small, as human annotators leave it.
    """
    wide, tall = box[2:] - box[:2]
    left, top, right, bottom = (box + tall * rng.uniform(0.03, 0.1) * np.array([-1, -1, 1, 1])).tolist()
    per_side = int(np.clip(round(wide / max(tall, 1.0)) + 2, 4, 7)) if geometry.bend else 2
    return geometry.points(box_points((left, top, right, bottom), per_side))


def side_height(polygon: Points) -> float:
    """Height of a word: mean distance of upper and lower points, or of its long sides if smaller."""
    half = len(polygon) // 2
    across = np.linalg.norm(polygon[:half] - polygon[half:][::-1], axis=1).mean()
    along = np.linalg.norm(np.diff(polygon[:half], axis=0), axis=1).sum()
    # A sheared word is lower than its sides are long.
    return float(min(across, signed_area(polygon) / max(float(along), 1e-6)))


def finish_labels(
    words: list[Placed], damage: Damage, occluded: Image, min_height: float, image: Image | None = None
) -> tuple[list[NDArray[np.float32]], list[str], list[bool]]:
    """Clip the polygons to the page and decide what cannot be read.

    Args:
        words: what was painted.
        damage: what the page suffered since.
        occluded: [H, W], 255 where something hides the page, else 0.
        min_height: of a readable word, pixels.
        image: the final page [H, W, 3]; words that cannot be seen in it are ignore regions, too.

    Returns:
        Polygons, texts, and whether each is an ignore region: lower than `min_height` (in pixels as large as
        the damage smeared them), of too little contrast, hidden by more than a third, or cut by the border
        by more than a tenth. Words that are all but outside are left out.
    """
    height, width = occluded.shape
    # Smoothed, so that noise does not pass for letters.
    grey = None if image is None else cv2.blur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (3, 3))
    polygons: list[NDArray[np.float32]] = []
    texts: list[str] = []
    ignore: list[bool] = []
    for word in words:
        clipped = np.clip(word.polygon, 0, (width, height))
        whole, visible = signed_area(word.polygon), signed_area(clipped)
        if whole <= 1.0 or visible < 4.0:
            continue
        left, top = np.floor(clipped.min(0)).astype(int).tolist()
        right, bottom = (np.ceil(clipped.max(0)).astype(int) + 1).tolist()
        bounds = slice(top, bottom), slice(left, right)
        unreadable = (
            side_height(word.polygon) / damage.smear < min_height
            or word.contrast * damage.contrast < _LOWEST_CONTRAST
            or visible < 0.9 * whole
            or _hidden(clipped - (left, top), occluded[bounds]) > _MOST_HIDDEN
            or (grey is not None and cv2.meanStdDev(grey[bounds])[1].item() < _LEAST_RELIEF)
        )
        polygons.append(clipped.astype(np.float32))
        texts.append(word.text)
        ignore.append(word.ignore or unreadable)
    return polygons, texts, ignore


def _hidden(polygon: Points, occluded: Image) -> float:
    """The share of a polygon that is hidden."""
    inside = np.zeros_like(occluded)
    cv2.fillPoly(inside, [np.round(polygon).astype(np.int32)], 1)
    return cv2.mean(occluded, inside)[0] / 255
