"""Things that look a little like text and are not: fences, grilles, dots, scribbles, symbols, arrows."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth.sampling import Weighted, chance, integer, log_uniform, uniform
from dld_core.data.synth.style import text_colour
from dld_core.data.synth.textures import colour, near, rgb

Image = NDArray[np.uint8]
Tone = tuple[int, int, int]
Box = tuple[int, int, int, int]


def _fence(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    step, thick = integer(rng, 4, 22), integer(rng, 1, 4)
    lean = integer(rng, -6, 6)
    for x in range(left, right, step):
        cv2.line(image, (x, top), (x + lean, bottom), tone, thick, cv2.LINE_AA)
    if chance(rng, 0.6):
        for y in (top, bottom):
            cv2.line(image, (left, y), (right, y), tone, thick + 1, cv2.LINE_AA)


def _grid(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    step_x, step_y = integer(rng, 5, 24), integer(rng, 5, 24)
    for x in range(left, right, step_x):
        cv2.line(image, (x, top), (x, bottom), tone, 1)
    for y in range(top, bottom, step_y):
        cv2.line(image, (left, y), (right, y), tone, 1)


def _dots(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    radius = integer(rng, 1, 5)
    step = integer(rng, 2 * radius + 2, 6 * radius + 6)
    rows = range(top, min(bottom, top + step * integer(rng, 1, 5)), step)
    for y in rows:
        for x in range(left, right, step):
            cv2.circle(image, (x, y), radius, tone, -1, cv2.LINE_AA)


def _barcode(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    x = left
    while x < right:
        wide = integer(rng, 1, 4)
        cv2.rectangle(image, (x, top), (min(x + wide - 1, right), bottom), tone, -1)
        x += wide + integer(rng, 1, 4)


def _scribble(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    """Rows of short random strokes, spaced like letters."""
    left, top, right, bottom = box
    height = int(np.clip((bottom - top) * 0.6, 7, 40))
    thick = max(1, height // integer(rng, 6, 10))
    for x in range(left, right - height, max(4, int(height * uniform(rng, 0.6, 1.0)))):
        count = integer(rng, 2, 4)
        cell = np.array([x, top]) + rng.random((count + 1, 2)) * [height * 0.55, height]
        if chance(rng, 0.3):
            middle = (int(cell[0, 0]), int(cell[0, 1]))
            cv2.ellipse(
                image,
                middle,
                (height // 3, height // 2),
                uniform(rng, 0, 180),
                0,
                integer(rng, 120, 360),
                tone,
                thick,
            )
        cv2.polylines(image, [cell.astype(np.int32)], bool(chance(rng, 0.3)), tone, thick, cv2.LINE_AA)


def _arrow(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    ends = [(left, top), (right, top), (left, bottom), (right, bottom), (left, (top + bottom) // 2)]
    start, stop = ends[integer(rng, 0, 4)], ends[integer(rng, 0, 4)]
    cv2.arrowedLine(image, start, stop, tone, integer(rng, 1, 8), cv2.LINE_AA, tipLength=0.3)


def _symbol(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    """Logos and pictograms: a disc, ring, star or polygon with something inside."""
    left, top, right, bottom = box
    middle = ((left + right) // 2, (top + bottom) // 2)
    radius = int(np.clip(min(right - left, bottom - top) // 2, 4, 60))
    corners = integer(rng, 3, 10)
    angles = uniform(rng, 0, 6) + np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = np.where(np.arange(corners) % 2, radius, radius * uniform(rng, 0.4, 1.0))
    star = np.stack([middle[0] + reach * np.cos(angles), middle[1] + reach * np.sin(angles)], axis=1)
    if chance(rng, 0.5):
        cv2.circle(image, middle, radius, tone, -1 if chance(rng, 0.5) else integer(rng, 1, 5), cv2.LINE_AA)
        tone = rgb(colour(rng))
        star = middle + (star - middle) * 0.6
    cv2.fillPoly(image, [star.astype(np.int32)], tone, cv2.LINE_AA)


def _wires(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    left, top, right, bottom = box
    for _ in range(integer(rng, 1, 5)):
        bends = np.stack(
            [
                np.linspace(left, right, 12),
                top + (bottom - top) * (uniform(rng, 0, 1) + rng.normal(0, 0.08, 12)),
            ],
            axis=1,
        )
        cv2.polylines(image, [bends.astype(np.int32)], False, tone, integer(rng, 1, 2), cv2.LINE_AA)


def _bars(rng: Generator, image: Image, box: Box, tone: Tone) -> None:
    """Rows of short dashes, like lines of text too far away to be text."""
    left, top, right, bottom = box
    thick = integer(rng, 2, 7)
    for y in range(top, bottom, thick * integer(rng, 2, 4)):
        x = left
        while x < right:
            length = int(thick * uniform(rng, 1.0, 9.0))
            cv2.rectangle(image, (x, y), (min(x + length, right), y + thick - 1), tone, -1)
            x += length + thick


Drawer = Callable[[Generator, Image, Box, Tone], None]
_DRAWERS: Weighted[Drawer] = Weighted(
    [
        (_fence, 2),
        (_grid, 1),
        (_dots, 1),
        (_barcode, 1),
        (_scribble, 2),
        (_arrow, 1),
        (_symbol, 2),
        (_wires, 1),
        (_bars, 1),
    ]
)


def draw_clutter(rng: Generator, image: Image) -> Box:
    """Draw one text-like object onto a page, in place; returns its box (left, top, right, bottom)."""
    height, width = image.shape[:2]
    wide, tall = (
        int(log_uniform(rng, 24, max(30, width * 0.6))),
        int(log_uniform(rng, 12, max(20, height * 0.4))),
    )
    left, top = (
        integer(rng, -wide // 3, max(1, width - wide // 2)),
        integer(rng, -tall // 3, max(1, height - tall // 2)),
    )
    box = (left, top, left + wide, top + tall)
    behind = image[max(0, top) : top + tall, max(0, left) : left + wide]
    mean = np.asarray(behind.reshape(-1, 3)[::17].mean(0) if behind.size else np.zeros(3), np.float32)
    if chance(rng, 0.25):
        board = near(rng, mean, 60)
        cv2.rectangle(image, (left - 4, top - 4), (box[2] + 4, box[3] + 4), rgb(board), -1)
        mean = board
    _DRAWERS.draw(rng)(rng, image, box, rgb(text_colour(rng, mean)))
    return box


def draw_occluder(rng: Generator, image: Image, mask: NDArray[np.uint8]) -> None:
    """Hide a part of the page behind a branch, pole or blob, in place; `mask` [h, w] becomes 255 there."""
    height, width = mask.shape
    tone = rgb(near(rng, colour(rng), 10))
    if chance(rng, 0.5):
        ends = rng.integers(0, [width, height], (2, 2))
        points = [np.array([ends[0], ends.mean(0) + rng.normal(0, 25, 2), ends[1]]).astype(np.int32)]
        thick = integer(rng, 2, 14)
        for target, paint in ((image, tone), (mask, (255,))):
            cv2.polylines(target, points, False, paint, thick)
        return
    centre, reach = rng.integers(0, [width, height]), uniform(rng, 8, 50)
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    blob = centre + (reach * rng.uniform(0.5, 1.2, (10, 1))) * np.stack(
        [np.cos(angles), np.sin(angles)], axis=1
    )
    for target, paint in ((image, tone), (mask, (255,))):
        cv2.fillPoly(target, [blob.astype(np.int32)], paint)
