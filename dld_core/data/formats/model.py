"""The one in-memory form that every annotation format is read into and written from.

Coordinates are pixels of the stored image (no EXIF turning), as the annotation file gives them: nothing is
rounded, clipped or reordered here, so that a file can be written back as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_core.errors import DataError
from dld_core.types import Sample


@dataclass(slots=True)
class AnnotatedWord:
    """One annotated region.

    Attributes:
        polygon: float64 [n, 2], n >= 3, finite, as annotated (any orientation).
        text: its transcription; "###" or "" is common where `ignore` is set.
        ignore: True for don't-care words.
        extra: everything else the format says of it ("language", "legibility", ...), json-able.
        where: its place in the annotation file, "line 3" or a JSON pointer.
    """

    polygon: NDArray[np.float64]
    text: str = ""
    ignore: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    where: str = ""


@dataclass(slots=True)
class AnnotatedImage:
    """One image and its words.

    Attributes:
        path: where the image is, or should be (nothing is promised about its existence).
        width: in pixels, where the annotations state it; None where they do not.
        height: likewise.
        words: in the order of the annotation file.
        name: the image's path as the annotations name it, or relative to the folder of images.
        source: the annotation file.
        where: the image's entry in that file; "" where the file has one image.
        extra: everything else the format says of the image, json-able.
    """

    path: Path
    width: int | None = None
    height: int | None = None
    words: list[AnnotatedWord] = field(default_factory=list)
    name: str = ""
    source: Path | None = None
    where: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.name or self.path.name


@dataclass(slots=True)
class Dataset:
    """Annotated images, and what belongs to none of them.

    Attributes:
        format: the name of the format that was read.
        root: the file or folder that was read.
        images: in natural order of their names (img_2 before img_10), or as the file lists them.
        unlabelled: image files that no annotation speaks of.
        unpaired: annotation files for which no image was found (their entry in `images` has a guessed path).
        extra: what the file says of the whole set (COCO's "info", "licenses"), json-able.
    """

    format: str
    root: Path
    images: list[AnnotatedImage] = field(default_factory=list)
    unlabelled: list[Path] = field(default_factory=list)
    unpaired: list[Path] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


def signed_area(polygon: NDArray[np.floating[Any]]) -> float:
    """Shoelace area in square pixels; positive is clockwise on the screen (y grows downwards)."""
    shifted = polygon.astype(np.float64) - polygon[0]  # near the origin, large offsets lose no digits
    x, y = shifted[:, 0], shifted[:, 1]  # the first point is (0, 0) now: the closing side adds nothing
    return float(0.5 * (x[:-1] @ y[1:] - y[:-1] @ x[1:]))


def clockwise(polygon: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The polygon as float32 [n, 2], clockwise on the screen, beginning at the same point."""
    turned = polygon if signed_area(polygon) >= 0 else np.roll(polygon[::-1], 1, axis=0)
    return np.ascontiguousarray(turned, dtype=np.float32)


def load_sample(annotated: AnnotatedImage) -> Sample:
    """Open the image (raw pixels, RGB) and give it with its words, ready for training.

    Polygons come out clockwise; words without area are left out; words without a transcription are
    don't-care, since nothing can be learnt from them.

    Raises:
        ImageError: the image is absent or cannot be read.
        DataError: the image's size is not the one that the annotations state.
    """
    from dld_core.images import open_image

    image = open_image(annotated.path, exif=False)
    height, width = image.shape[:2]
    if (annotated.width or width, annotated.height or height) != (width, height):
        raise DataError(
            f"{annotated.path} has {width}x{height} pixels, but {annotated.source} says "
            f"{annotated.width}x{annotated.height}; use the image that was annotated, or correct the size"
        )
    words = [word for word in annotated.words if signed_area(word.polygon) != 0.0]
    return Sample(
        image=image,
        polygons=[clockwise(word.polygon) for word in words],
        texts=[word.text for word in words],
        ignore=np.array([word.ignore or not word.text.strip() for word in words], dtype=np.bool_),
        name=str(annotated.path),
    )
