"""What cameras and codecs do to a picture: colour, blur, noise, compression, low resolution."""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from dld_core.config import PartConfig

Image = NDArray[np.uint8]
_TILE = 1024
LUMA = np.array([0.299, 0.587, 0.114])


class PhotometricConfig(PartConfig):
    """How often (0-1) each kind of damage is done, and how strongly.

    Attributes:
        colour: how often brightness, contrast, gamma, saturation and white balance change.
        strength: how far colours go (0 none, 1 far).
        grey: how often the picture loses its colour.
        invert: how often light and dark change places.
        blur, noise, jpeg, low_resolution: how often each happens.
        jpeg_quality: lowest and highest quality.
        low_resolution_factor: largest factor of the detour through a smaller picture.
    """

    colour: float = Field(default=0.8, ge=0, le=1)
    strength: float = Field(default=0.4, ge=0, le=1)
    grey: float = Field(default=0.05, ge=0, le=1)
    invert: float = Field(default=0.03, ge=0, le=1)
    blur: float = Field(default=0.2, ge=0, le=1)
    noise: float = Field(default=0.2, ge=0, le=1)
    jpeg: float = Field(default=0.25, ge=0, le=1)
    low_resolution: float = Field(default=0.1, ge=0, le=1)
    jpeg_quality: tuple[int, int] = (30, 95)
    low_resolution_factor: float = Field(default=2.0, ge=1)


def damage(image: Image, rng: Generator, config: PhotometricConfig) -> tuple[Image, float]:
    """The damaged picture (same size), and the factor (>= 1) by which its detail has become coarser."""
    factor = 1.0
    if rng.random() < config.colour:
        image = _recoloured(image, rng, config.strength)
    if rng.random() < config.grey:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    if rng.random() < config.blur:
        soft = rng.random() < 0.6
        image = gaussian(image, rng.uniform(0.4, 1.5)) if soft else shaken(image, rng, rng.uniform(2, 7))
    if rng.random() < config.low_resolution:
        factor = rng.uniform(1.0, config.low_resolution_factor)
        image = coarsened(image, 1 / factor)
    if rng.random() < config.noise:
        image = noisy(image, rng, rng.uniform(2, 14), coloured=True)
    if rng.random() < config.jpeg:
        image = compressed(image, int(rng.integers(*config.jpeg_quality, endpoint=True)))
    if rng.random() < config.invert:
        image = 255 - image
    return image, factor


def _recoloured(image: Image, rng: Generator, strength: float) -> Image:
    """Saturation by one 3x3 matrix; contrast, brightness, gamma and white balance by one lookup table."""
    if rng.random() < 0.5:
        saturation = 1 + strength * rng.uniform(-1, 1)
        mix = saturation * np.eye(3) + (1 - saturation) * LUMA[None]
        image = np.asarray(cv2.transform(image, mix), np.uint8)
    level = np.arange(256)[:, None] / 255
    gamma = np.exp(strength * rng.uniform(-1, 1))
    gain = np.exp(0.6 * strength * rng.uniform(-1, 1)) * np.exp(0.25 * strength * rng.uniform(-1, 1, 3))
    shift = 0.4 * strength * rng.uniform(-1, 1)
    return looked_up(image, 255 * ((level**gamma - 0.5) * gain + 0.5 + shift))


def looked_up(image: Image, curves: NDArray[np.float64]) -> Image:
    """New values [256, 3] for each value of each channel, rounded and clipped."""
    return np.asarray(cv2.LUT(image, np.clip(np.round(curves), 0, 255).astype(np.uint8)[None]), np.uint8)


def gaussian(image: Image, sigma: float) -> Image:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def shaken(image: Image, rng: Generator, length: float) -> Image:
    """Moved during exposure, so many pixels in some direction."""
    side = 2 * math.ceil(length / 2) + 1
    angle = rng.uniform(0, math.pi)
    step = np.array([math.cos(angle), math.sin(angle)]) * (length - 1) / 2
    start, stop = (np.round(side // 2 + sign * step).astype(int).tolist() for sign in (-1, 1))
    kernel = cv2.line(np.zeros((side, side), np.float32), start, stop, 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def coarsened(image: Image, scale: float, back: int = cv2.INTER_LINEAR) -> Image:
    """Through a smaller picture and back to its size, with OpenCV's interpolation `back`."""
    height, width = image.shape[:2]
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=back), np.uint8)


def noisy(image: Image, rng: Generator, sigma: float, coloured: bool = False) -> Image:
    """With Gaussian noise of this standard deviation (grey levels): a window of a fixed tile, repeated.

    Fresh noise for every pixel would cost more than all the rest.
    """
    (height, width), (y, x) = image.shape[:2], rng.integers(_TILE // 2, size=2)
    window = _noise_tile(coloured)[y : y + height, x : x + width]
    if window.shape != image.shape:
        repeats = (-(-height // window.shape[0]), -(-width // window.shape[1]), 1)
        window = np.tile(window, repeats)[:height, :width]
    return np.asarray(cv2.addWeighted(image, 1.0, window, sigma / 64, 0.0, dtype=cv2.CV_8U), np.uint8)


@cache
def _noise_tile(coloured: bool) -> NDArray[np.int16]:
    """Unit Gaussian noise times 64, int16 [1024, 1024, 3]."""
    noise = np.random.default_rng(20_220_706).standard_normal((_TILE, _TILE, 3 if coloured else 1)) * 64
    return np.ascontiguousarray(np.broadcast_to(np.clip(noise, -256, 256), (_TILE, _TILE, 3)), np.int16)


def compressed(image: Image, quality: int) -> Image:
    """Through a JPEG file."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


def encoded(image: Image, suffix: str, quality: int = 95) -> bytes:
    """An RGB picture as the bytes of a file, such as ".jpg" (of that quality) or ".png"."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
