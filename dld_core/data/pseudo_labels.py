"""Pseudo-labels: what a teacher read in pictures that nobody has annotated, one file per picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from dld_core.config import write_file
from dld_core.errors import DataError
from dld_core.images import load_image
from dld_core.results.page import Page
from dld_core.types import Sample


def path_of(folder: str | Path, image: Path) -> Path:
    """The file that holds the labels of a picture."""
    return Path(folder) / f"{hashlib.sha256(str(image.absolute()).encode()).hexdigest()[:20]}.json"


def store(folder: str | Path, image: Path, page: Page) -> None:
    """Write the labels of a picture, whole or not at all."""
    write_file(path_of(folder, image), page.to_json())


def find(folder: str | Path, image: Path) -> Page | None:
    """The labels of a picture; None where there are none yet, or their file is damaged."""
    try:
        return Page.from_dict(json.loads(path_of(folder, image).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, DataError):
        return None


def usable(folder: str | Path, image: Path) -> bool:
    """Whether a picture was read without an error."""
    page = find(folder, image)
    return page is not None and page.error is None


def load(folder: str | Path, image: Path, confidence: float) -> Sample:
    """A picture as seen (after EXIF turning, as spotters get it) with its labels.

    Args:
        confidence: words of a lower score become ignore regions.

    Raises:
        ImageError: it cannot be opened any more.
        DataError: it has no labels.
    """
    page = find(folder, image)
    if page is None or page.error is not None:
        raise DataError(f"{image} has no labels in {folder}; delete that folder to have it made anew")
    pixels = load_image(image).pixels
    factor = np.array(pixels.shape[1::-1], np.float32) / (page.width, page.height)
    return Sample(
        image=pixels,
        polygons=[(word.array * factor).astype(np.float32) for word in page.words],
        texts=[word.text for word in page.words],
        ignore=np.array([word.score < confidence for word in page.words], dtype=np.bool_),
        name=str(image),
    )
