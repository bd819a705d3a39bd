"""Headers of image files: size and orientation without decoding the pixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from dld_core.data.formats.base import Losses
from dld_core.data.formats.model import AnnotatedImage

_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Header:
    """Stored width and height in pixels, and the EXIF orientation (1 = as stored, to 8)."""

    width: int
    height: int
    orientation: int = 1


def read_header(path: Path) -> Header | None:
    """The header of an image file; None where it cannot be read as an image."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's own size limit: nothing is decoded here
            with Image.open(path) as image:
                return Header(*image.size, _orientation(image.getexif().get(_ORIENTATION)))
    except Exception:  # decoders fail on damaged files in any way they like
        return None


def _orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def size_of(image: AnnotatedImage, losses: Losses) -> tuple[int, int] | None:
    """(width, height) as annotated, else of the image file; None (and a noted loss) where neither tells."""
    if image.width is not None and image.height is not None:
        return image.width, image.height
    header = read_header(image.path)
    if header is None:
        losses.add("image sizes: not annotated, and the image is not there to ask", image.name)
        return None
    return header.width, header.height
