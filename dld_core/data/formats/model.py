"""The one in-memory form that every annotation format is read into and written from.

Coordinates are pixels of the stored image (no EXIF turning), as the annotation file gives them: nothing is
rounded, clipped or reordered here, so that a file can be written back as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_core.data.formats.polygons import Polygon, four_points
from dld_core.errors import DataError
from dld_core.geometry import clockwise, signed_area
from dld_core.images import open_image
from dld_core.types import Sample

MARKS = ("###", "#", "*", ".", "")
"""What the formats put for the text of an ignore region; nothing is lost when one becomes another."""
_REMARKS = frozenset({"no_text", "davar.rectangle", "labelme.shape_type", "labelme.version"})
"""Extras that say how something was written, so that another format loses nothing without them."""
_DERIVED = (".bbox", ".area", ".img_dimensions", ".img_hash")  # follow from the polygon or the image


@dataclass(slots=True)
class AnnotatedWord:
    """One annotated region.

    Attributes:
        polygon: float64 [n, 2], n >= 3, finite, as annotated (any orientation).
        text: its transcription; "###" or "" is common where `ignore` is set.
        ignore: True for ignore regions.
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

    def place_of(self, word: AnnotatedWord) -> str:
        """Where a word of it was read, for messages."""
        return f"{self.source}: {word.where}" if self.source else word.where


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


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read annotations.

    Attributes:
        images: folder of images; None: look beside the annotations.
        encoding: of text files.
        points: points per polygon of ICDAR txt lines; None: told from the set.
    """

    images: Path | None = None
    encoding: str = "utf-8"
    points: int | None = None


@dataclass(slots=True)
class Losses:
    """What writing a format could not keep: kind of loss -> how many words (or images, or sets)."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, example: str = "") -> None:
        """Note one loss; the first example of each kind is kept."""
        self.counts[what] += 1
        self.examples.setdefault(what, example)

    def extras(
        self, name: str, extra: Mapping[str, Any], where: str, shared: Collection[str] = ()
    ) -> dict[str, Any]:
        """The extras that format `name` can hold, under its own keys; each of the others is a loss.

        Kept are those of its own, "name.key", and the `shared` ones.
        """
        kept = {}
        for key, value in extra.items():
            if key.startswith(f"{name}."):
                kept[key[len(name) + 1 :]] = value
            elif key in shared:
                kept[key] = value
            elif key not in _REMARKS and not key.endswith(_DERIVED):
                self.add(f"field '{key}'", where)
        return kept

    def text(self, word: AnnotatedWord, where: str, marks: tuple[str, ...] = ("###",)) -> str:
        """The text to write where a format tells ignore regions by their text alone.

        `marks` are the texts that mean ignore in this format, the usual one first.
        """
        if word.text in marks:
            if not word.ignore:
                self.add(f"words that read {word.text!r} became don't-care", where)
            return word.text
        if not word.ignore:
            return word.text
        if word.text not in MARKS:
            self.add("texts of don't-care words", where)
        return marks[0]

    def quad(self, polygon: Polygon, where: str) -> Polygon:
        """The polygon by four points, for formats that know no more."""
        if len(polygon) != 4:
            self.add("polygons reduced to 4 points", where)
        return four_points(polygon)


def private(name: str, entry: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The keys of an entry that are not known, as extras "name.key", for the format to write them back."""
    return {f"{name}.{key}": value for key, value in entry.items() if key not in known}


def load_sample(annotated: AnnotatedImage) -> Sample:
    """Open the image (raw pixels, RGB) and give it with its words, ready for training.

    Polygons come out clockwise; words without area are left out; words without a transcription are ignore
    regions, since nothing can be learnt from them.

    Raises:
        ImageError: the image is absent or cannot be read.
        DataError: the image's size is not the one that the annotations state.
    """
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
