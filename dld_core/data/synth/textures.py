"""Procedural backgrounds: gradients, noise, bricks, stripes, facades, foliage, boxes, wood and mixtures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from dld_core.data.synth.sampling import Weighted, chance, integer, log_uniform, uniform

Image = NDArray[np.uint8]
Colour = NDArray[np.float32]
Size = tuple[int, int]


def colour(rng: Generator) -> Colour:
    """A random colour, RGB float32 [3] in [0, 255]; greys and muted tones are common, as in photos."""
    value = uniform(rng, 15.0, 250.0)
    saturation = float(rng.random()) ** 1.7 * 0.9
    # Plain floats: arrays of three elements would cost more than all the rest of a colour.
    hue = float(rng.random())
    wheel = (abs((hue + turn) % 1.0 * 6 - 3) - 1 for turn in (0.0, 1 / 3, 2 / 3))
    return np.array([value * (1 - saturation * (1 - min(max(w, 0.0), 1.0))) for w in wheel], np.float32)


def near(rng: Generator, base: Colour, spread: float) -> Colour:
    """A colour like `base`, a bit lighter or darker."""
    light, *tints = (float(v) for v in rng.standard_normal(4))
    shades = (float(b) + spread * (light + tint / 3) for b, tint in zip(base, tints, strict=True))
    return np.array([min(max(shade, 0.0), 255.0) for shade in shades], np.float32)


def rgb(value: Colour) -> tuple[int, int, int]:
    """A colour as OpenCV's drawing functions take it."""
    return int(value[0]), int(value[1]), int(value[2])


@cache
def grain(coloured: bool) -> NDArray[np.int16]:
    """A fixed tile of unit Gaussian noise times 64, int16 [1024, 1024, 3]: fresh noise costs too much."""
    fixed = Generator(PCG64(20_220_706))
    noise = fixed.standard_normal((1024, 1024, 3 if coloured else 1)) * 64
    return np.ascontiguousarray(np.broadcast_to(np.clip(noise, -256, 256), (1024, 1024, 3)), np.int16)


def grain_for(rng: Generator, size: Size, coloured: bool = False) -> NDArray[np.int16]:
    """A window of the grain tile (times 64) at a random place, [h, w, 3]; repeated where too small."""
    tile = grain(coloured)
    y, x = integer(rng, 0, 511), integer(rng, 0, 511)
    window = tile[y : y + size[0], x : x + size[1]]
    if window.shape[:2] != size:
        repeats = (-(-size[0] // window.shape[0]), -(-size[1] // window.shape[1]), 1)
        window = np.tile(window, repeats)[: size[0], : size[1]]
    return window


def add_grain(rng: Generator, image: Image, strength: float, coloured: bool = False) -> Image:
    """Gaussian noise of this standard deviation (grey levels), clipped."""
    noise = grain_for(rng, (image.shape[0], image.shape[1]), coloured)
    return np.asarray(cv2.addWeighted(image, 1.0, noise, strength / 64, 0.0, dtype=cv2.CV_8U))


def field(rng: Generator, size: Size, cells: tuple[int, int]) -> NDArray[np.float32]:
    """A smooth random field in about [0, 1], [h, w]; `cells` says how many hills fit down and across."""
    coarse = rng.random((max(2, cells[0]), max(2, cells[1])), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


def gradient(rng: Generator, size: Size) -> Image:
    """A smooth change between a few related colours."""
    first, second = colour(rng), colour(rng)
    if chance(rng, 0.7):
        second = near(rng, first, 30)
    mix = rng.random((integer(rng, 2, 4), integer(rng, 2, 4), 1))
    return _grow(np.asarray(first * mix + second * (1 - mix), np.uint8), size, cv2.INTER_LINEAR)


def _grow(small: Image, size: Size, how: int) -> Image:
    return np.asarray(cv2.resize(small, (size[1], size[0]), interpolation=how))


def clouds(rng: Generator, size: Size) -> Image:
    """Stains and plaster: three octaves of smooth noise between two colours."""
    base = colour(rng)
    other = near(rng, base, uniform(rng, 10, 60))
    half = (size[0] // 2, size[1] // 2)
    cells, mix = integer(rng, 2, 8), np.zeros(half, np.float32)
    for octave in range(3):
        mix += field(rng, half, (cells * 4**octave, cells * 4**octave)) * 0.5**octave / 1.75
    image = np.asarray(np.clip(base + (other - base) * mix[..., None], 0, 255), np.uint8)
    return add_grain(rng, _grow(image, size, cv2.INTER_LINEAR), uniform(rng, 0, 12))


def bricks(rng: Generator, size: Size) -> Image:
    """Courses of bricks or tiles with joints."""
    base, joint = colour(rng), colour(rng)
    tall = integer(rng, 8, 40)
    wide, gap = int(tall * uniform(rng, 1.0, 3.5)), integer(rng, 1, max(1, tall // 8))
    image = np.full((*size, 3), joint, np.uint8)
    offset = wide // 2 if chance(rng, 0.75) else 0
    spread = uniform(rng, 2, 18)
    shades = [rgb(near(rng, base, spread)) for _ in range(24)]
    for row, y in enumerate(range(-integer(rng, 0, tall), size[0], tall)):
        for x in range(-wide + (row % 2) * offset, size[1], wide):
            corner = (x + wide - gap - 1, y + tall - gap - 1)
            cv2.rectangle(image, (x, y), corner, shades[int(rng.integers(24))], -1)
    return add_grain(rng, image, uniform(rng, 2, 14))


def stripes(rng: Generator, size: Size) -> Image:
    """Blinds, planks, corrugated metal: parallel bands at some angle."""
    first = colour(rng)
    second = near(rng, first, 40) if chance(rng, 0.6) else colour(rng)
    period, angle = log_uniform(rng, 5, 90), float(rng.choice([0.0, np.pi / 2, rng.random() * np.pi]))
    half = (-(-size[0] // 2), -(-size[1] // 2))
    ys, xs = np.arange(half[0], dtype=np.float32)[:, None], np.arange(half[1], dtype=np.float32)[None]
    phase = (xs * np.float32(np.cos(angle)) + ys * np.float32(np.sin(angle))) * np.float32(4 * np.pi / period)
    wave = np.clip(np.float32(0.5) + np.float32(uniform(rng, 0.5, 4.0)) * np.sin(phase), 0, 1)
    image = np.asarray(first + (second - first) * wave[..., None], np.uint8)
    return add_grain(rng, _grow(image, size, cv2.INTER_LINEAR), uniform(rng, 0, 10))


def facade(rng: Generator, size: Size) -> Image:
    """A wall with a grid of windows or panels."""
    image = clouds(rng, size)
    wide, tall = integer(rng, 24, 110), integer(rng, 24, 130)
    pane_w, pane_h = int(wide * uniform(rng, 0.4, 0.85)), int(tall * uniform(rng, 0.4, 0.85))
    glass, frame = colour(rng), colour(rng)
    for y in range(integer(rng, -tall, tall), size[0], tall):
        for x in range(integer(rng, -4, 4), size[1], wide):
            cv2.rectangle(image, (x, y), (x + pane_w, y + pane_h), rgb(near(rng, glass, 18)), -1)
            cv2.rectangle(image, (x, y), (x + pane_w, y + pane_h), rgb(frame), integer(rng, 1, 3))
            if chance(rng, 0.4):
                cv2.line(image, (x + pane_w // 2, y), (x + pane_w // 2, y + pane_h), rgb(frame), 1)
    return image


def foliage(rng: Generator, size: Size) -> Image:
    """Leaves, gravel, crowds: many small overlapping blobs of related colours."""
    half = (size[0] // 2, size[1] // 2)
    base = colour(rng) if chance(rng, 0.4) else np.array([60, 95, 40], np.float32) + rng.normal(0, 20, 3)
    dark = rgb(np.clip(np.asarray(base, np.float32) * 0.4, 0, 255))
    image = np.full((*half, 3), dark, np.uint8)
    reach, spread = uniform(rng, 3, 12), uniform(rng, 15, 45)
    count = int(min(600, half[0] * half[1] / (reach * reach) * 1.2))
    places = np.stack([rng.integers(0, half[1], count), rng.integers(0, half[0], count)], axis=1)
    shades = [rgb(near(rng, np.asarray(base, np.float32), spread)) for _ in range(32)]
    turns = rng.random(count) * 180
    for (x, y), turn, shade in zip(
        places.tolist(), turns.tolist(), rng.integers(0, 32, count).tolist(), strict=True
    ):
        axes = (int(reach * (0.5 + turn / 180)) + 1, int(reach * 0.4) + 1)
        cv2.ellipse(image, (x, y), axes, turn, 0, 360, shades[shade], -1)
    return add_grain(rng, _grow(image, size, cv2.INTER_LINEAR), uniform(rng, 0, 12))


def boxes(rng: Generator, size: Size) -> Image:
    """Shelves, cars, furniture: overlapping rectangles and lines of many colours."""
    image = gradient(rng, size)
    for _ in range(integer(rng, 8, 60)):
        x, y = integer(rng, -40, size[1]), integer(rng, -40, size[0])
        wide, tall = int(log_uniform(rng, 10, 260)), int(log_uniform(rng, 10, 260))
        thickness = -1 if chance(rng, 0.75) else integer(rng, 1, 5)
        cv2.rectangle(image, (x, y), (x + wide, y + tall), rgb(colour(rng)), thickness)
    return add_grain(rng, image, uniform(rng, 0, 8))


def wood(rng: Generator, size: Size) -> Image:
    """Grain stretched along one direction: wood, brushed metal, water, roads."""
    base = colour(rng)
    other = near(rng, base, 35)
    long, short = integer(rng, 2, 6), integer(rng, 50, 200)
    cells = (short, long) if chance(rng, 0.6) else (long, short)
    mix = field(rng, (-(-size[0] // 2), -(-size[1] // 2)), cells)
    image = np.asarray(np.clip(base + (other - base) * mix[..., None], 0, 255), np.uint8)
    return add_grain(rng, _grow(image, size, cv2.INTER_LINEAR), uniform(rng, 0, 10))


def halves(rng: Generator, size: Size) -> Image:
    """Wall and ground, wall and sky: two textures on either side of a slanted edge."""
    image, other = simple(rng, size), simple(rng, size)
    slope, middle = uniform(rng, -0.5, 0.5), uniform(rng, 0.2, 0.8)
    length = size[1] if chance(rng, 0.5) else size[0]
    ends = [int(size[0] * middle - slope * length / 2), int(size[0] * middle + slope * length / 2)]
    mask = np.zeros(size, np.uint8)
    area = np.array([[0, ends[0]], [size[1], ends[1]], [size[1], size[0]], [0, size[0]]], np.int32)
    cv2.fillPoly(mask, [area], 255)
    if chance(rng, 0.4):
        mask = np.ascontiguousarray(cv2.resize(mask.T, (size[1], size[0])))
    cv2.copyTo(other, mask, image)
    return image


Texture = Callable[[Generator, Size], Image]
_SIMPLE: Weighted[Texture] = Weighted(
    [
        (gradient, 2),
        (clouds, 2.5),
        (bricks, 1.2),
        (stripes, 1),
        (facade, 1),
        (foliage, 1.2),
        (boxes, 1.5),
        (wood, 1),
    ]
)


def simple(rng: Generator, size: Size) -> Image:
    """One texture."""
    return _SIMPLE.draw(rng)(rng, size)


def background(rng: Generator, size: Size) -> Image:
    """A page background, RGB uint8 [h, w, 3]."""
    return halves(rng, size) if chance(rng, 0.35) else simple(rng, size)
