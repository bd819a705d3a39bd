"""Polygons and don't-care flags of rendered words."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth.degrade import Damage
from dld_core.data.synth.sampling import uniform
from dld_core.data.synth.warp import Geometry, Points, box_points

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
        ignore: whether it is don't-care whatever it looks like.
    """

    text: str
    polygon: Points
    contrast: float
    ignore: bool = False


def word_polygon(rng: Generator, geometry: Geometry, box: tuple[float, float, float, float]) -> Points:
    """The polygon of a word whose ink fills `box` on the canvas: 4 points, or 8-14 where the canvas is bent.

    The margin around the ink is small, as human annotators leave it.
    """
    left, top, right, bottom = box
    margin = (bottom - top) * uniform(rng, 0.03, 0.1)
    grown = (left - margin, top - margin, right + margin, bottom + margin)
    if geometry.bend is None:
        return geometry.points(box_points(grown, 2))
    length = (right - left) / max(bottom - top, 1.0)
    return geometry.points(box_points(grown, int(np.clip(round(length) + 2, 4, 7))))


def side_height(polygon: Points) -> float:
    """Height of a word: mean distance of upper and lower points, or of its long sides if smaller."""
    half = len(polygon) // 2
    across = np.linalg.norm(polygon[:half] - polygon[half:][::-1], axis=1).mean()
    along = np.linalg.norm(np.diff(polygon[:half], axis=0), axis=1).sum()
    # A sheared word is lower than its sides are long.
    return float(min(across, area(polygon) / max(float(along), 1e-6)))


def area(polygon: Points) -> float:
    """Signed area; positive where the points run clockwise on the screen (y down)."""
    after = np.concatenate([polygon[1:], polygon[:1]])
    return float(polygon[:, 0] @ after[:, 1] - polygon[:, 1] @ after[:, 0]) / 2


def _hidden(polygon: Points, occluded: NDArray[np.uint8]) -> float:
    left, top = np.maximum(np.floor(polygon.min(0)).astype(int), 0)
    right, bottom = np.ceil(polygon.max(0)).astype(int) + 1
    part = occluded[top:bottom, left:right]
    if not part.size or not part.any():
        return 0.0
    inside = np.zeros_like(part)
    cv2.fillPoly(inside, [np.round(polygon - (left, top)).astype(np.int32)], 1)
    return float((part[inside > 0] > 0).mean()) if inside.any() else 0.0


def _smooth_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, smoothed so that noise does not pass for letters."""
    return np.asarray(cv2.blur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (3, 3)), np.uint8)


def _relief(polygon: Points, grey: NDArray[np.uint8]) -> float:
    """Standard deviation of brightness around a word."""
    left, top = np.floor(polygon.min(0)).astype(int)
    right, bottom = np.ceil(polygon.max(0)).astype(int) + 1
    return float(cv2.meanStdDev(grey[top:bottom, left:right])[1][0, 0])


def clip_polygon(polygon: Points, height: int, width: int) -> Points:
    """Points moved onto the page [0, width] x [0, height]."""
    return np.clip(polygon, 0.0, (float(width), float(height)))


def finish_labels(
    words: list[Placed],
    damage: Damage,
    occluded: NDArray[np.uint8],
    min_height: float,
    image: NDArray[np.uint8] | None = None,
) -> tuple[list[NDArray[np.float32]], list[str], list[bool]]:
    """Clip the polygons to the page and decide what cannot be read.

    Args:
        words: what was painted.
        damage: what the page suffered since.
        occluded: [H, W], non-zero where something hides the page.
        min_height: of a readable word, pixels.
        image: the final page [H, W, 3]; words that cannot be seen in it are don't-care too.

    Don't-care are words lower than `min_height` (in pixels as large as the damage smeared them), of too
    little contrast, hidden by more than a third, or cut by the border by more than a tenth. Words that are
    all but outside are left out.
    """
    height, width = occluded.shape
    grey = None if image is None else _smooth_grey(image)
    polygons: list[NDArray[np.float32]] = []
    texts: list[str] = []
    ignore: list[bool] = []
    for word in words:
        clipped = clip_polygon(word.polygon, height, width)
        whole, visible = area(word.polygon), area(clipped)
        if whole <= 1.0 or visible < 4.0:
            continue
        tall = side_height(word.polygon)
        unreadable = (
            tall / damage.smear < min_height
            or word.contrast * damage.contrast < _LOWEST_CONTRAST
            or visible < 0.9 * whole
            or _hidden(clipped, occluded) > _MOST_HIDDEN
            or (grey is not None and _relief(clipped, grey) < _LEAST_RELIEF)
        )
        polygons.append(clipped.astype(np.float32))
        texts.append(word.text)
        ignore.append(bool(word.ignore or unreadable))
    return polygons, texts, ignore
