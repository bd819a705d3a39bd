"""What a camera and a file format do to a page: light, contrast, blur, low resolution, noise, JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from dld_core.data.photometric import Image, coarsened, compressed, gaussian, looked_up, noisy, shaken
from dld_core.data.synth.sampling import integer


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


def degrade(rng: Generator, image: Image, strength: float) -> tuple[Image, Damage]:
    """Apply a random chain of damages (none at strength 0). Returns the page and what it lost."""
    damage = Damage()
    if strength <= 0:
        return image, damage
    if rng.random() < 0.4:
        image = _light(rng, image)
    if rng.random() < 0.75:
        image, damage.contrast = _tone(rng, image, strength)
    if rng.random() < min(0.85, 0.4 * strength):
        image, damage.blur = _blur(rng, image, strength)
    if rng.random() < min(0.6, 0.18 * strength):
        damage.scale = rng.uniform(min(0.9, max(0.35, 1 - 0.5 * strength)), 0.9)
        back = cv2.INTER_CUBIC if rng.random() < 0.3 else cv2.INTER_LINEAR
        image = coarsened(image, damage.scale, back)
    if rng.random() < 0.15:
        image = _sharpen(rng, image)
    if rng.random() < min(0.85, 0.45 * strength):
        image = noisy(image, rng, abs(rng.normal(0, 9)) * strength, coloured=rng.random() < 0.5)
    if rng.random() < min(0.85, 0.5 * strength):
        image = compressed(image, max(12, int(rng.uniform(92 - 62 * strength, 95))))
    return image, damage


def _light(rng: Generator, image: Image) -> Image:
    """Uneven light: a smooth factor over the page."""
    coarse = rng.uniform(70, 160, (integer(rng, 2, 4), integer(rng, 2, 4))).astype(np.uint8)
    factor = cv2.resize(coarse, (image.shape[1], image.shape[0]))
    return np.asarray(cv2.multiply(image, cv2.cvtColor(factor, cv2.COLOR_GRAY2RGB), scale=1 / 128), np.uint8)


def _tone(rng: Generator, image: Image, strength: float) -> tuple[Image, float]:
    """Contrast, brightness, gamma and white balance, by lookup; the page, and the factor on its contrast."""
    contrast = rng.uniform(0.45, 0.8) if rng.random() < 0.2 else rng.uniform(0.8, 1.2)
    contrast = 1 + (contrast - 1) * min(strength, 1.3)
    level, gamma = rng.uniform(-30, 30) * strength, math.exp(rng.normal(0, 0.18) * strength)
    values = 255 * (np.arange(256)[:, None] / 255) ** gamma
    balance = 1 + rng.normal(0, 0.035, 3) * strength
    return looked_up(image, ((values - 128) * contrast + 128 + level) * balance), contrast


def _blur(rng: Generator, image: Image, strength: float) -> tuple[Image, float]:
    """Out of focus or shaken; the page, and the standard deviation of the blur in pixels."""
    if rng.random() < 0.75:
        sigma = (0.3 + 1.2 * rng.random() ** 2) * strength
        return gaussian(image, sigma), sigma
    length = integer(rng, 3, max(3, round(7 * strength)))
    return shaken(image, rng, length), length / 4


def _sharpen(rng: Generator, image: Image) -> Image:
    """The halos of a camera's sharpening."""
    amount, soft = rng.uniform(0.3, 1.4), gaussian(image, rng.uniform(0.8, 1.8))
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)
