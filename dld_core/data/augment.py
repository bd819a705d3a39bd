"""Random views of an annotated image: one warp for the geometry, then cheap photometric damage.

Everything is a pure function of (sample, size, generator): the same generator state gives the same view.
Text is never mirrored. Words that the frame cuts, or that become too small to read, turn into don't-care
words; words that leave the frame are dropped.
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
from dld_core.types import Sample

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Size = tuple[int, int]


class AugmentConfig(PartConfig):
    """How far a view may depart from the picture it comes from.

    Attributes:
        scale: smallest and largest magnification; drawn evenly in its logarithm.
        rotation: usual limit of the turn, degrees either way.
        steep: how often (0-1) the turn may reach `steep_rotation` instead.
        steep_rotation: limit of a steep turn, degrees.
        perspective: how far a corner may move, as a fraction of the picture's side.
        stretch: how much width and height may differ in scale (0.2: by a factor of up to 1.2).
        focus: how often (0-1) the frame is aimed at words instead of anywhere.
        tries: frames that are drawn, of which the one that cuts fewest words is taken (an aimed one also
            for the words that it shows whole).
        min_height: words lower than this in the view, in pixels, become don't-care.
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


def light(config: AugmentConfig | None = None) -> AugmentConfig:
    """Gentle settings, for pages that were rendered with damage of their own."""
    del config
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
    matrix, scale = _random_matrix(sample.image.shape[:2], rng, config)
    moved = transform(sample.polygons, matrix)
    offset = _choose_frame(
        moved, sample.ignore, _warped_bounds(sample.image.shape[:2], matrix), size, rng, config
    )
    shift = np.array([[1, 0, -offset[0]], [0, 1, -offset[1]], [0, 0, 1]], dtype=np.float64)
    image = _warp(sample.image, shift @ matrix, scale, size, rng)
    moved = [polygon - np.float32(offset) for polygon in moved]
    image, blur_factor = damage(image, rng, config.photometric)
    return _label(sample, image, moved, config.min_height * blur_factor)


def crop(sample: Sample, size: Size, rng: Generator, tries: int = 8, focus: float = 0.0) -> Sample:
    """A window of `size` at the sample's own scale, padded where the image is smaller; no other change.

    `focus` and `tries` are as in AugmentConfig.
    """
    if sample.image.shape[:2] == size:
        return sample
    config = AugmentConfig(focus=focus, tries=tries, min_height=0.0)
    height, width = sample.image.shape[:2]
    offset = np.round(
        _choose_frame(sample.polygons, sample.ignore, (0.0, 0.0, width, height), size, rng, config)
    ).astype(int)
    image = np.full((*size, 3), _fill(sample.image, rng), dtype=np.uint8)
    x, y = int(offset[0]), int(offset[1])
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + size[0], height), min(x + size[1], width)
    image[top - y : bottom - y, left - x : right - x] = sample.image[top:bottom, left:right]
    return _label(sample, image, [p - np.float32(offset) for p in sample.polygons], 0.0)


def transform(polygons: list[Floats], matrix: Matrix) -> list[Floats]:
    """Polygons [n, 2] taken through a homography [3, 3]."""
    if not polygons:
        return []
    points = np.concatenate(polygons).astype(np.float64)
    moved = np.c_[points, np.ones(len(points))] @ matrix.T
    flat = (moved[:, :2] / moved[:, 2:]).astype(np.float32)
    return np.split(flat, np.cumsum([len(p) for p in polygons])[:-1])


def word_height(polygon: Floats) -> float:
    """Height of a word, in the polygon's pixels: of the rectangle with its area and perimeter.

    A band that follows a curve has the same area and perimeter as the straight one, so this holds for
    curved text too, where a bounding rectangle would be far too high.
    """
    points = (polygon - polygon[0]).astype(np.float64)
    following = np.roll(points, -1, axis=0)
    area = abs(float(np.sum(points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]))) / 2
    half = float(np.hypot(*(following - points).T).sum()) / 2
    return (half - math.sqrt(max(half * half - 4 * area, 0.0))) / 2


def _random_matrix(shape: tuple[int, ...], rng: Generator, config: AugmentConfig) -> tuple[Matrix, float]:
    """Picture -> view, about the picture's centre, with the mean magnification."""
    height, width = shape[:2]
    scale = float(np.exp(rng.uniform(*np.log(config.scale))))
    limit = config.steep_rotation if rng.random() < config.steep else config.rotation
    angle = np.deg2rad(rng.uniform(-limit, limit))
    stretch = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.stretch) / 2))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    zoom = np.diag([scale * stretch, scale / stretch, 1.0])
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    tilt = np.eye(3)
    # A corner sits at about half a side from the centre, so this moves it by up to `perspective` sides.
    tilt[2, :2] = rng.uniform(-1, 1, 2) * config.perspective * np.array([2 / width, 0.7 / height])
    return turn @ zoom @ tilt @ centre, scale


def _warped_bounds(shape: tuple[int, ...], matrix: Matrix) -> tuple[float, float, float, float]:
    """Bounding box (x0, y0, x1, y1) of the warped picture."""
    height, width = shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    moved = transform([corners], matrix)[0]
    return (*(float(v) for v in moved.min(0)), *(float(v) for v in moved.max(0)))  # type: ignore[return-value]


def _choose_frame(
    polygons: list[Floats],
    ignore: NDArray[np.bool_],
    bounds: tuple[float, float, float, float],
    size: Size,
    rng: Generator,
    config: AugmentConfig,
) -> NDArray[np.float64]:
    """Top-left corner (x, y) of the frame: of several random ones, the first that cuts fewest words.

    Aimed frames (see `focus`) also want many whole words; the others show what photos hold besides text.
    """
    frame = np.array([size[1], size[0]], dtype=np.float64)
    low = np.array(bounds[:2])
    free = np.array(bounds[2:]) - low - frame
    corners = low + rng.random((config.tries, 2)) * free  # negative room places a small picture at random
    if not polygons:
        return corners[0]  # type: ignore[no-any-return]
    boxes = np.array([[*p.min(0), *p.max(0)] for p in polygons], dtype=np.float64)
    care = np.flatnonzero(~ignore)
    aim = len(care) > 0 and rng.random() < config.focus
    if aim:
        middle = boxes[rng.choice(care, config.tries)].reshape(-1, 2, 2).mean(1)
        aimed = middle - rng.uniform(0.15, 0.85, (config.tries, 2)) * frame
        corners = np.where(free > 0, np.clip(aimed, low, low + free), corners)
    start = boxes[None, :, :2] - corners[:, None]
    end = boxes[None, :, 2:] - corners[:, None]
    whole = ((start >= -1) & (end <= frame + 1)).all(-1)
    touched = ((end > 0) & (start < frame)).all(-1)
    cut = (touched & ~whole & ~ignore).sum(-1)
    worth = (whole & ~ignore).sum(-1) - 0.5 * cut if aim else -cut
    return corners[int(np.argmax(worth))]  # type: ignore[no-any-return]


def _warp(
    image: NDArray[np.uint8], matrix: Matrix, scale: float, size: Size, rng: Generator
) -> NDArray[np.uint8]:
    """Warp into a frame of `size`; a shrinking view is area-averaged first, so that it does not alias."""
    fill = _fill(image, rng)
    if scale < 0.8:
        height, width = image.shape[:2]
        small = (max(round(width * scale), 1), max(round(height * scale), 1))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        matrix = matrix @ np.diag([width / small[0], height / small[1], 1.0])
    # Pixel centres lie at half-integers in label coordinates and at integers in OpenCV's.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return cv2.warpPerspective(  # type: ignore[return-value]
        image,
        np.linalg.inv(half) @ matrix @ half,
        (size[1], size[0]),
        flags=cv2.INTER_LINEAR,
        borderValue=fill,
    )


def _fill(image: NDArray[np.uint8], rng: Generator) -> tuple[int, int, int]:
    """A flat border colour: mirrored or repeated borders would show text that nobody labelled."""
    if rng.random() < 0.5:
        mean = image[::16, ::16].reshape(-1, 3).mean(0)
        return (int(mean[0]), int(mean[1]), int(mean[2]))
    grey = int(rng.integers(0, 256))
    return (grey, grey, grey)


def _label(sample: Sample, image: NDArray[np.uint8], polygons: list[Floats], min_height: float) -> Sample:
    """The words that are still in the frame, cut or tiny ones as don't-care."""
    height, width = image.shape[:2]
    frame = np.array([width, height], dtype=np.float32)
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
