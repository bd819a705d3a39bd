"""What a spotter read in pictures that nobody has annotated, one file per picture, as labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from dld_core.config import write_file
from dld_core.errors import DataError
from dld_core.results.page import Page
from dld_core.types import Sample


def path_of(folder: str | Path, image: Path) -> Path:
    """The file that holds the reading of a picture."""
    return Path(folder) / f"{hashlib.sha256(str(image.absolute()).encode()).hexdigest()[:20]}.json"


def store(folder: str | Path, image: Path, page: Page) -> None:
    """Write a reading down, whole or not at all."""
    write_file(path_of(folder, image), page.to_json())


def find(folder: str | Path, image: Path) -> Page | None:
    """The reading of a picture; None where there is none (yet)."""
    try:
        return Page.from_dict(json.loads(path_of(folder, image).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, DataError):  # a damaged file is as good as none: it is made again
        return None


def usable(folder: str | Path, image: Path) -> bool:
    """Whether a picture was read without an error."""
    page = find(folder, image)
    return page is not None and page.error is None


def load(folder: str | Path, image: Path, confidence: float) -> Sample:
    """A picture as seen (after EXIF turning, as spotters get it) with the words of its reading.

    Args:
        confidence: words of a lower score become don't-care.

    Raises:
        ImageError: it cannot be opened any more. DataError: there is no reading of it.
    """
    from dld_core.images import load_image

    page = find(folder, image)
    if page is None or page.error is not None:
        raise DataError(
            f"there is no reading of {image} in {folder}; delete that folder to have it made anew"
        )
    pixels = load_image(image).pixels
    factor = np.array(pixels.shape[1::-1], np.float32) / (page.width, page.height)
    return Sample(
        image=pixels,
        polygons=[(word.array * factor).astype(np.float32) for word in page.words],
        texts=[word.text for word in page.words],
        ignore=np.array([word.score < confidence for word in page.words], dtype=np.bool_),
        name=str(image),
    )
