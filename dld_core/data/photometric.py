"""What cameras and codecs do to a picture: colour, blur, noise, compression, low resolution."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from dld_core.config import PartConfig

Image = NDArray[np.uint8]
_NOISE_TILE = 192
_LUMA = np.array([0.299, 0.587, 0.114])


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
    chance = rng.random(6)
    if chance[0] < config.colour:
        image = _recolour(image, rng, config.strength)
    if chance[1] < config.grey:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    if chance[2] < config.blur:
        image = _blur(image, rng)
    if chance[3] < config.low_resolution:
        factor = float(rng.uniform(1.0, config.low_resolution_factor))
        image = _coarsen(image, factor)
    if chance[4] < config.noise:
        image = _add_noise(image, rng)
    if chance[5] < config.jpeg:
        image = _compress(image, int(rng.integers(config.jpeg_quality[0], config.jpeg_quality[1] + 1)))
    if rng.random() < config.invert:
        image = 255 - image
    return image, factor


def _recolour(image: Image, rng: Generator, strength: float) -> Image:
    """Saturation by one 3x3 matrix; contrast, brightness, gamma and white balance by one lookup table."""
    if rng.random() < 0.5:
        saturation = 1 + strength * rng.uniform(-1, 1)
        mix = saturation * np.eye(3) + (1 - saturation) * _LUMA[None]
        image = cv2.transform(image, mix)  # type: ignore[assignment]
    level = np.arange(256) / 255
    gamma = np.exp(strength * rng.uniform(-1, 1))
    gain = np.exp(0.6 * strength * rng.uniform(-1, 1)) * np.exp(0.25 * strength * rng.uniform(-1, 1, 3))
    shift = 0.4 * strength * rng.uniform(-1, 1)
    curve = (level[:, None] ** gamma - 0.5) * gain + 0.5 + shift
    table = np.clip(np.round(curve * 255), 0, 255).astype(np.uint8)[None]
    return cv2.LUT(image, table)  # type: ignore[return-value]


def _blur(image: Image, rng: Generator) -> Image:
    if rng.random() < 0.6:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.5)))  # type: ignore[return-value]
    length = int(rng.integers(2, 7))
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((7, 7), np.float32)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = np.round(3 - step).astype(int), np.round(3 + step).astype(int)
    cv2.line(kernel, tuple(start.tolist()), tuple(end.tolist()), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())  # type: ignore[return-value]


def _coarsen(image: Image, factor: float) -> Image:
    height, width = image.shape[:2]
    small = (max(round(width / factor), 1), max(round(height / factor), 1))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _add_noise(image: Image, rng: Generator) -> Image:
    """Gaussian noise from one small tile: drawing it for every pixel would cost more than all the rest."""
    height, width = image.shape[:2]
    sigma = float(rng.uniform(2, 14))
    tile = rng.standard_normal((_NOISE_TILE, _NOISE_TILE, 3), dtype=np.float32) * sigma
    repeats = (-(-height // _NOISE_TILE), -(-width // _NOISE_TILE), 1)
    noise = np.tile(tile.astype(np.int16), repeats)[:height, :width]
    return cv2.add(image, noise, dtype=cv2.CV_8U)  # type: ignore[return-value]


def _compress(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[return-value]
