"""Things that look a little like text and are not: fences, grilles, dots, scribbles, symbols, arrows."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from dld_core.data.photometric import Image
from dld_core.data.synth.sampling import Weighted, integer, log_uniform
from dld_core.data.synth.style import text_colour
from dld_core.data.synth.textures import colour, near, rgb

Tone = tuple[int, int, int]
Box = tuple[int, int, int, int]


def _ring(middle: ArrayLike, reach: NDArray[np.float64], turn: float = 0.0) -> NDArray[np.int32]:
    """Corners at these distances from a point, at even angles from `turn` on, [n, 2]."""
    angles = turn + np.linspace(0, 2 * np.pi, len(reach), endpoint=False)
    corners = np.asarray(middle) + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(corners, np.int32)


def _fence(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    thick, lean = integer(rng, 1, 4), integer(rng, -6, 6)
    for x in range(left, right, integer(rng, 4, 22)):
        cv2.line(image, (x, top), (x + lean, bottom), tone, thick, cv2.LINE_AA)
    if rng.random() < 0.6:
        for y in (top, bottom):
            cv2.line(image, (left, y), (right, y), tone, thick + 1, cv2.LINE_AA)


def _grid(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    for x in range(left, right, integer(rng, 5, 24)):
        cv2.line(image, (x, top), (x, bottom), tone, 1)
    for y in range(top, bottom, integer(rng, 5, 24)):
        cv2.line(image, (left, y), (right, y), tone, 1)


def _dots(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    radius = integer(rng, 1, 5)
    step = integer(rng, 2 * radius + 2, 6 * radius + 6)
    for y in range(top, min(bottom, top + step * integer(rng, 1, 5)), step):
        for x in range(left, right, step):
            cv2.circle(image, (x, y), radius, tone, -1, cv2.LINE_AA)


def _barcode(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    x, top, right, bottom = box
    while x < right:
        wide = integer(rng, 1, 4)
        cv2.rectangle(image, (x, top), (min(x + wide - 1, right), bottom), tone, -1)
        x += wide + integer(rng, 1, 4)


def _bars(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    """Rows of short dashes, like lines of text too far away to be text."""
    left, top, right, bottom = box
    thick = integer(rng, 2, 7)
    for y in range(top, bottom, thick * integer(rng, 2, 4)):
        x = left
        while x < right:
            length = int(thick * rng.uniform(1.0, 9.0))
            cv2.rectangle(image, (x, y), (min(x + length, right), y + thick - 1), tone, -1)
            x += length + thick


def _scribble(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    """Rows of short random strokes, spaced like letters."""
    left, top, right, bottom = box
    height = min(max(int((bottom - top) * 0.6), 7), 40)
    thick = max(1, height // integer(rng, 6, 10))
    for x in range(left, right - height, max(4, int(height * rng.uniform(0.6, 1.0)))):
        points = [x, top] + rng.random((integer(rng, 3, 5), 2)) * [height * 0.55, height]
        strokes = points.astype(np.int32)
        if rng.random() < 0.3:
            middle, axes = strokes[0].tolist(), (height // 3, height // 2)
            cv2.ellipse(image, middle, axes, rng.uniform(0, 180), 0, integer(rng, 120, 360), tone, thick)
        cv2.polylines(image, [strokes], rng.random() < 0.3, tone, thick, cv2.LINE_AA)


def _arrow(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    ends = [(left, top), (right, top), (left, bottom), (right, bottom), (left, (top + bottom) // 2)]
    start, stop = ends[integer(rng, 0, 4)], ends[integer(rng, 0, 4)]
    cv2.arrowedLine(image, start, stop, tone, integer(rng, 1, 8), cv2.LINE_AA, tipLength=0.3)


def _symbol(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    """Logos and pictograms: a disc, ring, star or polygon with something inside."""
    left, top, right, bottom = box
    middle, radius = ((left + right) // 2, (top + bottom) // 2), min(right - left, bottom - top) // 2
    radius = min(max(radius, 4), 60)
    reach = np.full(integer(rng, 3, 10), float(radius))
    reach[::2] *= rng.uniform(0.4, 1.0)
    if rng.random() < 0.5:
        thick = -1 if rng.random() < 0.5 else integer(rng, 1, 5)
        cv2.circle(image, middle, radius, tone, thick, cv2.LINE_AA)
        tone, reach = rgb(colour(rng)), reach * 0.6
    cv2.fillPoly(image, [_ring(middle, reach, rng.uniform(0, 6))], tone, cv2.LINE_AA)


def _wires(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    for _ in range(integer(rng, 1, 5)):
        heights = top + (bottom - top) * (rng.random() + rng.normal(0, 0.08, 12))
        bends = np.stack([np.linspace(left, right, 12), heights], axis=1).astype(np.int32)
        cv2.polylines(image, [bends], False, tone, integer(rng, 1, 2), cv2.LINE_AA)


_DRAWERS: Weighted[Callable[[Generator, Image, Box, Tone], None]] = Weighted(
    (_fence, _grid, _dots, _barcode, _scribble, _arrow, _symbol, _wires, _bars),
    (2, 1, 1, 1, 2, 1, 2, 1, 1),
)


def add_clutter(rng: Generator, image: Image) -> None:
    """Draw one text-like object onto a page, in place."""
    height, width = image.shape[:2]
    wide = int(log_uniform(rng, 24, max(30, width * 0.6)))
    tall = int(log_uniform(rng, 12, max(20, height * 0.4)))
    left = integer(rng, -wide // 3, max(1, width - wide // 2))
    top = integer(rng, -tall // 3, max(1, height - tall // 2))
    right, bottom = left + wide, top + tall
    behind = image[max(0, top) : bottom, max(0, left) : right]
    mean = np.asarray(cv2.mean(behind)[:3], np.float32)
    if rng.random() < 0.25:
        mean = near(rng, mean, 60)
        cv2.rectangle(image, (left - 4, top - 4), (right + 4, bottom + 4), rgb(mean), -1)
    _DRAWERS.sample(rng)(rng, image, (left, top, right, bottom), rgb(text_colour(rng, mean)))


def add_occluder(rng: Generator, image: Image, mask: Image) -> None:
    """Hide a part of the page behind a branch, pole or blob, in place; `mask` [h, w] becomes 255 there."""
    height, width = mask.shape
    tone = rgb(near(rng, colour(rng), 10))
    if rng.random() < 0.5:
        ends, thick = rng.integers(0, [width, height], (2, 2)), integer(rng, 2, 14)
        points = np.array([ends[0], ends.mean(0) + rng.normal(0, 25, 2), ends[1]]).astype(np.int32)
        for target, paint in ((image, tone), (mask, (255,))):
            cv2.polylines(target, [points], False, paint, thick)
        return
    blob = _ring(rng.integers(0, [width, height]), rng.uniform(8, 50) * rng.uniform(0.5, 1.2, 10))
    for target, paint in ((image, tone), (mask, (255,))):
        cv2.fillPoly(target, [blob], paint)
