"""Step 1, load: from a path, bytes, array, picture or tensor to pixels, within the limits for files."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dld_core.images import ImageLimits, ImageSource, load_image

_STRIP = 6.0
"""Aspect from which on an image is a strip: one line or column of text that touches the border."""
_CROP = 64
"""Short side, pixels, below which an image is a crop of a word or line."""
_MARGIN = 0.5  # of the short side
_MARGIN_RANGE = (8, 64)  # pixels


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image in memory.

    Attributes:
        pixels: RGB uint8 [h, w, 3], the margin included; smaller than the original where it was
            decoded reduced.
        height, width: of the original as seen (after EXIF turning), pixels.
        margin: pixels of the border's own colour added on every side, in pixels of `pixels`.
        name: the path or name of the file; None for what came from memory.
        page: its number in the file, from 1.
        notes: what was done that a user would want to know, one sentence each.
        milliseconds: that loading took.
    """

    pixels: NDArray[np.uint8]
    height: int
    width: int
    margin: int
    name: str | None
    page: int
    notes: tuple[str, ...]
    milliseconds: float

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of `pixels`."""
        return self.pixels.shape[0], self.pixels.shape[1]


def load(source: ImageSource, limits: ImageLimits) -> Loaded:
    """Open one image. Text that touches the border of a crop or strip is given a margin, as detectors need
    it.

    Raises:
        ImageError: it cannot be opened.
    """
    start = time.perf_counter()
    opened = load_image(source, limits=limits)
    pixels, margin = opened.pixels, _margin(*opened.pixels.shape[:2])
    if margin:
        pixels = np.asarray(
            cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_REPLICATE), np.uint8
        )
    taken = (time.perf_counter() - start) * 1e3
    about = opened.height, opened.width, margin, opened.name, opened.page, opened.notes
    return Loaded(pixels, *about, taken)


def _margin(height: int, width: int) -> int:
    short, long = sorted((height, width))
    if short >= _CROP and long < _STRIP * short:
        return 0
    return int(np.clip(round(short * _MARGIN), *_MARGIN_RANGE))


def name_of(source: Any) -> str | None:
    """The path or name of a source, for messages; None for what has none."""
    name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return name if isinstance(name, str) else None
