"""What a camera and a file format do to a page: light, contrast, blur, low resolution, noise, JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth.sampling import chance, integer, uniform
from dld_core.data.synth.textures import add_grain

Image = NDArray[np.uint8]


@dataclass(slots=True)
class Damage:
    """What became harder to read.

    Attributes:
        blur: standard deviation of all blurs together, pixels.
        scale: the smallest resolution the page went through, as a fraction.
        contrast: factor on differences of brightness.
    """

    blur: float = 0.0
    scale: float = 1.0
    contrast: float = 1.0

    @property
    def smear(self) -> float:
        """Width of the spot that a point has become, in pixels: 1 where nothing was lost."""
        return math.hypot(1.0 / self.scale, 2.0 * self.blur)


def light(rng: Generator, image: Image) -> Image:
    """Uneven light: a smooth factor over the page."""
    coarse = np.asarray(rng.uniform(0.55, 1.25, (integer(rng, 2, 4), integer(rng, 2, 4))), np.float32)
    factor = cv2.resize(coarse, (image.shape[1] // 4, image.shape[0] // 4), interpolation=cv2.INTER_LINEAR)
    factor = cv2.resize(np.asarray(np.clip(factor * 128, 0, 255), np.uint8), (image.shape[1], image.shape[0]))
    return np.asarray(cv2.multiply(image, cv2.cvtColor(factor, cv2.COLOR_GRAY2RGB), scale=1 / 128))


def tone(rng: Generator, image: Image, damage: Damage, strength: float) -> Image:
    """Contrast, brightness, gamma and white balance, by lookup."""
    low = chance(rng, 0.2)
    contrast = uniform(rng, 0.45, 0.8) if low else uniform(rng, 0.8, 1.2)
    contrast = 1 + (contrast - 1) * min(strength, 1.3)
    level, gamma = uniform(rng, -30, 30) * strength, float(np.exp(rng.normal(0, 0.18) * strength))
    values = 255 * (np.arange(256) / 255) ** gamma
    balance = 1 + rng.normal(0, 0.035, 3) * strength
    table = np.clip(((values[:, None] - 128) * contrast + 128 + level) * balance, 0, 255)
    damage.contrast *= contrast
    return np.asarray(cv2.LUT(image, table.astype(np.uint8)[None]))


def blur(rng: Generator, image: Image, damage: Damage, strength: float) -> Image:
    """Out of focus (Gaussian) or shaken (motion)."""
    if chance(rng, 0.75):
        sigma = (0.3 + 1.2 * float(rng.random()) ** 2) * strength
        damage.blur += sigma
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))
    length = integer(rng, 3, max(3, round(7 * strength)))
    kernel = np.zeros((length, length), np.float32)
    turn = uniform(rng, 0, np.pi)
    middle, reach = (length - 1) / 2, (length - 1) / 2 * np.array([np.cos(turn), np.sin(turn)])
    start, stop = (np.round(middle + side * reach).astype(int).tolist() for side in (-1, 1))
    cv2.line(kernel, start, stop, 1.0, 1)
    damage.blur += length / 4
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))


def coarsen(rng: Generator, image: Image, damage: Damage, strength: float) -> Image:
    """Down and up again: a small picture that was enlarged."""
    scale = uniform(rng, max(0.35, 1 - 0.5 * strength), 0.9)
    damage.scale *= scale
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    how = cv2.INTER_CUBIC if chance(rng, 0.3) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=how))


def sharpen(rng: Generator, image: Image) -> Image:
    """The halos of a camera's sharpening."""
    amount = uniform(rng, 0.3, 1.4)
    soft = cv2.GaussianBlur(image, (0, 0), uniform(rng, 0.8, 1.8))
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0))


def jpeg(rng: Generator, image: Image, strength: float) -> Image:
    """Through a JPEG file of low to high quality."""
    quality = int(np.clip(uniform(rng, 92 - 62 * strength, 95), 12, 95))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


def degrade(rng: Generator, image: Image, strength: float) -> tuple[Image, Damage]:
    """Apply a random chain of damages (none at strength 0). Returns the page and what it lost."""
    damage = Damage()
    if strength <= 0:
        return image, damage
    if chance(rng, 0.4):
        image = light(rng, image)
    if chance(rng, 0.75):
        image = tone(rng, image, damage, strength)
    if chance(rng, min(0.85, 0.4 * strength)):
        image = blur(rng, image, damage, strength)
    if chance(rng, min(0.6, 0.18 * strength)):
        image = coarsen(rng, image, damage, strength)
    if chance(rng, 0.15):
        image = sharpen(rng, image)
    if chance(rng, min(0.85, 0.45 * strength)):
        sigma = abs(float(rng.normal(0, 9))) * strength
        image = add_grain(rng, image, sigma, coloured=chance(rng, 0.5))
    if chance(rng, min(0.85, 0.5 * strength)):
        image = jpeg(rng, image, strength)
    return image, damage
