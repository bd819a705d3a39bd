"""Procedural backgrounds: gradients, stains, bricks, stripes, facades, foliage, boxes, wood and mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.photometric import Image, noisy
from dld_core.data.synth.sampling import Weighted, integer, log_uniform

Colour = NDArray[np.float32]
Size = tuple[int, int]


def colour(rng: Generator) -> Colour:
    """A random colour, RGB float32 [3] in [0, 255]; greys and muted tones are common, as in photos."""
    value, saturation, hue = rng.uniform(15.0, 250.0), rng.random() ** 1.7 * 0.9, rng.random()
    # Plain floats: arrays of three elements would cost more than all the rest of a colour.
    wheel = (abs((hue + turn) % 1.0 * 6 - 3) - 1 for turn in (0.0, 1 / 3, 2 / 3))
    return np.array([value * (1 - saturation * (1 - min(max(w, 0.0), 1.0))) for w in wheel], np.float32)


def near(rng: Generator, base: Colour, spread: float) -> Colour:
    """A colour like `base`, a bit lighter or darker."""
    light, *tints = rng.standard_normal(4).tolist()
    shades = (b + spread * (light + tint / 3) for b, tint in zip(base.tolist(), tints, strict=True))
    return np.array([min(max(shade, 0.0), 255.0) for shade in shades], np.float32)


def rgb(value: Colour) -> tuple[int, int, int]:
    """A colour as OpenCV's drawing functions take it."""
    return int(value[0]), int(value[1]), int(value[2])


def resized(small: Image, size: Size) -> Image:
    """Stretched to (height, width)."""
    return np.asarray(cv2.resize(small, (size[1], size[0])), np.uint8)


def field(rng: Generator, size: Size, cells: tuple[int, int]) -> NDArray[np.float32]:
    """A smooth random field in about [0, 1], [h, w]; `cells` says how many hills fit down and across."""
    coarse = rng.random((max(2, cells[0]), max(2, cells[1])), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _half(size: Size) -> Size:
    """Soft textures are made at half the size."""
    return -(-size[0] // 2), -(-size[1] // 2)


def _mixed(first: Colour, second: Colour, mix: NDArray[np.float32], size: Size) -> Image:
    """From one colour (where `mix` is 0) to another (1), stretched to the size."""
    return resized(np.clip(first + (second - first) * mix[..., None], 0, 255).astype(np.uint8), size)


def gradient(rng: Generator, size: Size) -> Image:
    """A smooth change between two, mostly related, colours."""
    first = colour(rng)
    second = near(rng, first, 30) if rng.random() < 0.7 else colour(rng)
    return _mixed(first, second, rng.random((integer(rng, 2, 4), integer(rng, 2, 4)), np.float32), size)


def clouds(rng: Generator, size: Size) -> Image:
    """Stains and plaster: three octaves of smooth noise between two colours."""
    first, cells = colour(rng), integer(rng, 2, 8)
    octaves = [field(rng, _half(size), (cells * 4**o, cells * 4**o)) * np.float32(0.5**o) for o in range(3)]
    mix = np.sum(octaves, axis=0) / np.float32(1.75)
    return noisy(_mixed(first, near(rng, first, rng.uniform(10, 60)), mix, size), rng, rng.uniform(0, 12))


def bricks(rng: Generator, size: Size) -> Image:
    """Courses of bricks or tiles with joints."""
    base, joint = colour(rng), colour(rng)
    tall = integer(rng, 8, 40)
    wide, gap = int(tall * rng.uniform(1.0, 3.5)), integer(rng, 1, max(1, tall // 8))
    image = np.full((*size, 3), joint, np.uint8)
    offset = wide // 2 if rng.random() < 0.75 else 0
    spread = rng.uniform(2, 18)
    shades = [rgb(near(rng, base, spread)) for _ in range(24)]
    for row, y in enumerate(range(-integer(rng, 0, tall), size[0], tall)):
        for x in range(-wide + (row % 2) * offset, size[1], wide):
            corner = (x + wide - gap - 1, y + tall - gap - 1)
            cv2.rectangle(image, (x, y), corner, shades[int(rng.integers(24))], -1)
    return noisy(image, rng, rng.uniform(2, 14))


def stripes(rng: Generator, size: Size) -> Image:
    """Blinds, planks, corrugated metal: parallel bands at some angle."""
    first = colour(rng)
    second = near(rng, first, 40) if rng.random() < 0.6 else colour(rng)
    turn = float(rng.choice([0.0, math.pi / 2, rng.random() * math.pi]))
    rows, columns = (np.arange(side, dtype=np.float32) for side in _half(size))
    across = columns[None] * np.float32(math.cos(turn)) + rows[:, None] * np.float32(math.sin(turn))
    wave = np.sin(across * np.float32(4 * math.pi / log_uniform(rng, 5, 90)))
    mix = np.clip(np.float32(0.5) + np.float32(rng.uniform(0.5, 4.0)) * wave, 0, 1)
    return noisy(_mixed(first, second, mix, size), rng, rng.uniform(0, 10))


def facade(rng: Generator, size: Size) -> Image:
    """A wall with a grid of windows or panels."""
    image = clouds(rng, size)
    wide, tall = integer(rng, 24, 110), integer(rng, 24, 130)
    pane_w, pane_h = int(wide * rng.uniform(0.4, 0.85)), int(tall * rng.uniform(0.4, 0.85))
    glass, frame = colour(rng), rgb(colour(rng))
    for y in range(integer(rng, -tall, tall), size[0], tall):
        for x in range(integer(rng, -4, 4), size[1], wide):
            cv2.rectangle(image, (x, y), (x + pane_w, y + pane_h), rgb(near(rng, glass, 18)), -1)
            cv2.rectangle(image, (x, y), (x + pane_w, y + pane_h), frame, integer(rng, 1, 3))
            if rng.random() < 0.4:
                cv2.line(image, (x + pane_w // 2, y), (x + pane_w // 2, y + pane_h), frame, 1)
    return image


def foliage(rng: Generator, size: Size) -> Image:
    """Leaves, gravel, crowds: many small overlapping blobs of related colours."""
    half = _half(size)
    base = colour(rng) if rng.random() < 0.4 else near(rng, np.array([60, 95, 40], np.float32), 20)
    image = np.full((*half, 3), base * 0.4, np.uint8)
    reach, spread = rng.uniform(3, 12), rng.uniform(15, 45)
    shades = [rgb(near(rng, base, spread)) for _ in range(32)]
    count = int(min(600, half[0] * half[1] / (reach * reach) * 1.2))
    places, turns = rng.integers(0, half[::-1], (count, 2)).tolist(), rng.random(count) * 180
    for place, turn, shade in zip(places, turns.tolist(), rng.integers(0, 32, count).tolist(), strict=True):
        axes = (int(reach * (0.5 + turn / 180)) + 1, int(reach * 0.4) + 1)
        cv2.ellipse(image, place, axes, turn, 0, 360, shades[shade], -1)
    return noisy(resized(image, size), rng, rng.uniform(0, 12))


def boxes(rng: Generator, size: Size) -> Image:
    """Shelves, cars, furniture: overlapping rectangles and frames of many colours."""
    image = gradient(rng, size)
    for _ in range(integer(rng, 8, 60)):
        x, y = integer(rng, -40, size[1]), integer(rng, -40, size[0])
        wide, tall = int(log_uniform(rng, 10, 260)), int(log_uniform(rng, 10, 260))
        thickness = -1 if rng.random() < 0.75 else integer(rng, 1, 5)
        cv2.rectangle(image, (x, y), (x + wide, y + tall), rgb(colour(rng)), thickness)
    return noisy(image, rng, rng.uniform(0, 8))


def wood(rng: Generator, size: Size) -> Image:
    """Grain stretched along one direction: wood, brushed metal, water, roads."""
    first, long, short = colour(rng), integer(rng, 2, 6), integer(rng, 50, 200)
    mix = field(rng, _half(size), (short, long) if rng.random() < 0.6 else (long, short))
    return noisy(_mixed(first, near(rng, first, 35), mix, size), rng, rng.uniform(0, 10))


def halves(rng: Generator, size: Size) -> Image:
    """Wall and ground, wall and sky: two textures on either side of a slanted edge."""
    image, other = simple(rng, size), simple(rng, size)
    slope, middle = rng.uniform(-0.5, 0.5), rng.uniform(0.2, 0.8)
    upright = rng.random() < 0.4
    tall, wide = size[::-1] if upright else size
    left, right = (int(tall * middle + side * slope * wide / 2) for side in (-1, 1))
    mask = np.zeros((tall, wide), np.uint8)
    cv2.fillPoly(mask, [np.array([[0, left], [wide, right], [wide, tall], [0, tall]], np.int32)], 255)
    cv2.copyTo(other, np.ascontiguousarray(mask.T if upright else mask), image)
    return image


_SIMPLE: Weighted[Callable[[Generator, Size], Image]] = Weighted(
    (gradient, clouds, bricks, stripes, facade, foliage, boxes, wood), (2, 2.5, 1.2, 1, 1, 1.2, 1.5, 1)
)


def simple(rng: Generator, size: Size) -> Image:
    """One texture, RGB uint8 [h, w, 3]."""
    return _SIMPLE.sample(rng)(rng, size)


def background(rng: Generator, size: Size) -> Image:
    """A page background, RGB uint8 [h, w, 3]."""
    return halves(rng, size) if rng.random() < 0.35 else simple(rng, size)
