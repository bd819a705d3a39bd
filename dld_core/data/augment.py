"""Random views of an annotated image: one warp for the geometry, then cheap photometric damage.

Everything is a pure function of (sample, size, generator): the same generator state gives the same view.
Text is never mirrored. Words that the frame cuts, or that become too small to read, turn into ignore regions;
words that leave the frame are dropped.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from dld_core.config import PartConfig
from dld_core.data.photometric import PhotometricConfig, damage
from dld_core.geometry import area
from dld_core.types import Sample

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Size = tuple[int, int]


class AugmentConfig(PartConfig):
    """How far a view may depart from the picture it comes from.

    Attributes:
        scale: smallest and largest magnification; sampled evenly in its logarithm.
        rotation: usual limit of the turn, degrees either way.
        steep: how often (0-1) the turn may reach `steep_rotation` instead.
        steep_rotation: limit of a steep turn, degrees.
        perspective: how far a corner may move, as a fraction of the picture's side.
        stretch: how much width and height may differ in scale (0.2: by a factor of up to 1.2).
        focus: how often (0-1) the frame is aimed at words instead of anywhere.
        tries: random frames, of which the one that cuts fewest words is taken (an aimed one also
            for the words that it shows whole).
        min_height: words lower than this in the view, in pixels, become ignore regions.
        photometric: colour, blur, noise and compression.
    """

    scale: tuple[float, float] = (0.4, 2.0)
    rotation: float = Field(default=10.0, ge=0, le=180)
    steep: float = Field(default=0.05, ge=0, le=1)
    steep_rotation: float = Field(default=45.0, ge=0, le=180)
    perspective: float = Field(default=0.05, ge=0, le=0.3)
    stretch: float = Field(default=0.15, ge=0, le=1)
    focus: float = Field(default=0.7, ge=0, le=1)
    tries: int = Field(default=8, ge=1)
    min_height: float = Field(default=5.0, ge=0)
    photometric: PhotometricConfig = PhotometricConfig()


def light() -> AugmentConfig:
    """Gentle settings, for pages that were rendered with damage of their own."""
    return AugmentConfig(
        scale=(0.8, 1.25),
        rotation=3.0,
        steep=0.0,
        perspective=0.01,
        stretch=0.05,
        focus=0.0,
        photometric=PhotometricConfig(blur=0.05, noise=0.1, jpeg=0.1, low_resolution=0.05, invert=0.1),
    )


def augment(sample: Sample, size: Size, rng: Generator, config: AugmentConfig) -> Sample:
    """A random view of `size` (height, width) in pixels."""
    height, width = sample.image.shape[:2]
    matrix, scale = _random_matrix(height, width, rng, config)
    moved = transform(sample.polygons, matrix)
    corners = transform([np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)], matrix)[0]
    frame = _choose_frame(moved, sample.ignore, (corners.min(0), corners.max(0)), size, rng, config)
    shift = np.array([[1, 0, -frame[0]], [0, 1, -frame[1]], [0, 0, 1]], np.float64)
    image = _warp(sample.image, shift @ matrix, scale, size, rng)
    image, coarser = damage(image, rng, config.photometric)
    return _label(sample, image, [p - frame.astype(np.float32) for p in moved], config.min_height * coarser)


def crop(sample: Sample, size: Size, rng: Generator, tries: int = 8, focus: float = 0.0) -> Sample:
    """A window of `size` at the sample's own scale, padded where the image is smaller; no other change.

    `focus` and `tries` are as in AugmentConfig.
    """
    height, width = sample.image.shape[:2]
    if (height, width) == size:
        return sample
    config = AugmentConfig(focus=focus, tries=tries, min_height=0.0)
    bounds = np.zeros(2), np.array([width, height], np.float64)
    x, y = np.round(_choose_frame(sample.polygons, sample.ignore, bounds, size, rng, config)).astype(int)
    image = np.full((*size, 3), _fill(sample.image, rng), np.uint8)
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + size[0], height), min(x + size[1], width)
    image[top - y : bottom - y, left - x : right - x] = sample.image[top:bottom, left:right]
    return _label(sample, image, [polygon - np.array([x, y], np.float32) for polygon in sample.polygons], 0.0)


def transform(polygons: list[Floats], matrix: Matrix) -> list[Floats]:
    """Polygons [n, 2] taken through a homography [3, 3]."""
    return [np.asarray(cv2.perspectiveTransform(p[None], matrix)[0], np.float32) for p in polygons]


def word_height(polygon: Floats) -> float:
    """Height of a word, in the polygon's pixels: of the rectangle with its area and perimeter.

    A band that follows a curve has the same area and perimeter as the straight one, so this holds for
    curved text too, where a bounding rectangle would be far too high.
    """
    sides = polygon.astype(np.float64) - np.roll(polygon, 1, axis=0)
    half = float(np.hypot(*sides.T).sum()) / 2
    return (half - math.sqrt(max(half * half - 4 * area(polygon), 0.0))) / 2


def _random_matrix(height: int, width: int, rng: Generator, config: AugmentConfig) -> tuple[Matrix, float]:
    """Picture -> view, about the picture's centre, with the mean magnification."""
    scale = float(np.exp(rng.uniform(*np.log(config.scale))))
    limit = config.steep_rotation if rng.random() < config.steep else config.rotation
    angle = math.radians(rng.uniform(-limit, limit))
    stretch = math.exp(rng.uniform(-1, 1) * math.log1p(config.stretch) / 2)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    zoom = np.diag([scale * stretch, scale / stretch, 1.0])
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    tilt = np.eye(3)
    # A corner sits at about half a side from the centre, so this moves it by up to `perspective` sides.
    tilt[2, :2] = rng.uniform(-1, 1, 2) * config.perspective * np.array([2 / width, 0.7 / height])
    return turn @ zoom @ tilt @ centre, scale


def _choose_frame(
    polygons: list[Floats],
    ignore: NDArray[np.bool_],
    bounds: tuple[NDArray[np.floating], NDArray[np.floating]],
    size: Size,
    rng: Generator,
    config: AugmentConfig,
) -> NDArray[np.float64]:
    """Top-left corner (x, y) of the frame: of several random ones, the first that cuts fewest words.

    Aimed frames (see `focus`) also want many whole words; the others show what photos hold besides text.

    Args:
        bounds: of the picture: top-left and bottom-right corner.
    """
    frame = np.array([size[1], size[0]], np.float64)
    low, free = bounds[0], bounds[1] - bounds[0] - frame
    corners = low + rng.random((config.tries, 2)) * free  # negative room places a small picture at random
    best = 0
    if polygons:
        boxes = np.array([[p.min(0), p.max(0)] for p in polygons], np.float64)
        care = np.flatnonzero(~ignore)
        aim = len(care) > 0 and rng.random() < config.focus
        if aim:
            middle = boxes[rng.choice(care, config.tries)].mean(1)
            aimed = middle - rng.uniform(0.15, 0.85, (config.tries, 2)) * frame
            corners = np.where(free > 0, np.clip(aimed, low, low + free), corners)
        start, end = boxes[None, :, 0] - corners[:, None], boxes[None, :, 1] - corners[:, None]
        whole = ((start >= -1) & (end <= frame + 1)).all(-1)
        touched = ((end > 0) & (start < frame)).all(-1)
        cut = (touched & ~whole & ~ignore).sum(-1)
        best = int(np.argmax((whole & ~ignore).sum(-1) - 0.5 * cut if aim else -cut))
    return np.asarray(corners[best], np.float64)


def _warp(
    image: NDArray[np.uint8], matrix: Matrix, scale: float, size: Size, rng: Generator
) -> NDArray[np.uint8]:
    """Warp into a frame of `size`; a shrinking view is area-averaged first, so that it does not alias."""
    fill = _fill(image, rng)
    if scale < 0.8:
        height, width = image.shape[:2]
        small = (max(round(width * scale), 1), max(round(height * scale), 1))
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = matrix @ np.diag([width / small[0], height / small[1], 1.0])
    # Pixel centres lie at half-integers in label coordinates and at integers in OpenCV's.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ matrix @ half
    return np.asarray(cv2.warpPerspective(image, matrix, size[::-1], borderValue=fill), np.uint8)


def _fill(image: NDArray[np.uint8], rng: Generator) -> tuple[int, int, int]:
    """A flat border colour: mirrored or repeated borders would show text that nobody labelled."""
    if rng.random() < 0.5:
        red, green, blue = image[::16, ::16].reshape(-1, 3).mean(0).astype(int).tolist()
        return red, green, blue
    grey = int(rng.integers(256))
    return grey, grey, grey


def _label(sample: Sample, image: NDArray[np.uint8], polygons: list[Floats], min_height: float) -> Sample:
    """The words that are still in the frame; cut or tiny ones are ignore regions."""
    frame = np.array(image.shape[1::-1], np.float32)
    keep: list[Floats] = []
    texts: list[str] = []
    ignore: list[bool] = []
    for polygon, text, ignored in zip(polygons, sample.texts, sample.ignore, strict=True):
        low, high = polygon.min(0), polygon.max(0)
        if (high <= 1).any() or (low >= frame - 1).any():
            continue
        cut = bool((low < -2).any() or (high > frame + 2).any())
        clipped = np.clip(polygon, 0, frame).astype(np.float32)
        keep.append(clipped)
        texts.append(text)
        ignore.append(bool(ignored) or cut or word_height(clipped) < min_height)
    return Sample(image, keep, texts, np.array(ignore, dtype=np.bool_), sample.name)
