"""What formats with one JSON file for many images share: finding, reading and writing that file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from dld_core.data.formats.files import write_file
from dld_core.data.formats.jsonfile import encode_json, read_json
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, Losses, ReadOptions, private
from dld_core.data.formats.pairing import ImageFinder, label_files
from dld_core.data.formats.perimage import report_none
from dld_core.data.formats.polygons import polygon_of
from dld_core.data.formats.problems import At, Problems, short

MAX_NAME = 1024  # characters of an image's path; a part of it may have 255 bytes
_ORIENTATION = 0x0112


class Set(NamedTuple):
    """A data set while it is read, and where its images lie."""

    dataset: Dataset
    finder: ImageFinder


@dataclass(frozen=True, slots=True)
class JsonSet:
    """A format that keeps a whole set in one JSON file.

    Attributes:
        name: of the format.
        file_name: what the written file is called.
        fits: whether a file looks like one of the format.
        parse: adds the images of a document to a set.
        document: the document to write.
    """

    name: str
    file_name: str
    fits: Callable[[Path], bool]
    parse: Callable[[Any, At, Set], None]
    document: Callable[[Dataset, Losses], Any]

    def likely(self, path: Path) -> float:
        """How surely a path is of this format."""
        return 0.9 * any(f.suffix.lower() == ".json" and self.fits(f) for f in label_files(path, ".json"))

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """Read the files of a folder that fit, or all where none does (their trouble is reported)."""
        into = Set(Dataset(self.name, path), ImageFinder(path, options.images))
        files = label_files(path, ".json")
        files = [file for file in files if self.fits(file)] or files
        if not files:
            report_none(self.name, path, problems)
        for file in files:
            document = read_json(file, problems, options.encoding)
            if document is not None:
                self.parse(document, At(file, problems), into)
        dataset = into.dataset
        dataset.unlabelled = into.finder.unlabelled(image.path for image in dataset.images) if files else []
        return dataset

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """Write the file of a set."""
        file = target / self.file_name
        write_file(file, encode_json(self.document(dataset, losses)))
        return [file]


def image_of(name: str, entry: dict[str, Any], at: At, into: Set) -> AnnotatedImage:
    """An image as a JSON entry names it, with the width and height that the entry has."""
    parts = name.encode("utf-8", "replace").split(b"/")
    if not name or "\0" in name or len(name) > MAX_NAME or max(map(len, parts)) > 255:
        found = f"the name {short(name)} is none that a file can have" if name else "the entry names no image"
        at.error("missing-name", found, "write the file name of the image")
        name = ""
    path, size = into.finder.find(name), (at.size(entry, "width"), at.size(entry, "height"))
    return AnnotatedImage(path, *size, name=name or "unnamed", source=Path(at.file), where=at.place)


def word_of(
    format: str, at: At, entry: dict[str, Any], polygon: Sequence[str], text: str, known: Collection[str] = ()
) -> AnnotatedWord:
    """The word of a JSON entry.

    Args:
        format: its name, under which keys that are not `known` are kept.
        at: the place of the entry.
        entry: what stands there.
        polygon: the keys of which the first that is there holds the polygon.
        text: the key of the transcription; where it is absent the word has the extra "no_text".
        known: further keys.

    Raises:
        MalformedError: there is no polygon, or a malformed one.
    """
    place = next((key for key in polygon if entry.get(key)), None)
    if place is None:
        fix = f"write {polygon[0]}: [x1, y1, x2, y2, x3, y3, ...]"
        raise at.malformed("missing-key", f"there is no {' or '.join(map(repr, polygon))}", fix)
    extra = private(format, entry, {*polygon, text, *known})
    if text not in entry:
        extra["no_text"] = True
    return AnnotatedWord(polygon_of(entry[place], at / place), at.text(entry, text), False, extra, at.place)


class Header(NamedTuple):
    """Stored width and height of an image in pixels, and the EXIF orientation (1 = as stored, to 8)."""

    width: int
    height: int
    orientation: int = 1


def read_header(path: Path) -> Header | None:
    """The header of an image file; None where it cannot be read as an image."""
    if not os.path.isfile(path):  # a FIFO would block for ever
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's own size limit: nothing is decoded here
            with Image.open(path) as image:
                turn = image.getexif().get(_ORIENTATION)
                return Header(*image.size, turn if isinstance(turn, int) and 1 <= turn <= 8 else 1)
    except Exception:  # decoders fail on damaged files in any way they like
        return None


def size_of(image: AnnotatedImage, losses: Losses) -> dict[str, int]:
    """Width and height as annotated, else of the image file; nothing (a loss) where neither tells."""
    if image.width is not None and image.height is not None:
        return {"width": image.width, "height": image.height}
    header = read_header(image.path)
    if header is None:
        losses.add("image sizes: not annotated, and the image is not there to ask", image.name)
        return {}
    return {"width": header.width, "height": header.height}
