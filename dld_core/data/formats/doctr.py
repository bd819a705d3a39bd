"""docTR labels.json: for detection, image -> `polygons` of four points; for recognition, crop -> text.

Reading tells the two apart by themselves. The format `doctr` writes the first, `doctr-recognition` the
second, with the words cut out. Neither knows ignore regions.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dld_core.data.formats.files import write_file
from dld_core.data.formats.jsonfile import contains, encode_json
from dld_core.data.formats.jsonset import JsonSet, Set, image_of, read_header, size_of
from dld_core.data.formats.model import MARKS, AnnotatedImage, AnnotatedWord, Dataset, Losses, private
from dld_core.data.formats.pairing import is_image, safe_name, without_suffix
from dld_core.data.formats.perimage import words_of
from dld_core.data.formats.polygons import pairs, polygon_of, rectangle
from dld_core.data.formats.problems import At
from dld_core.errors import ImageError
from dld_core.images import open_image
from dld_core.images.crops import crop_quad

CLASS_NAME = "words"  # what docTR calls its one class


def is_recognition(file: Path) -> bool:
    """Whether a json file begins like {"crop_1.png": "text"."""
    if not contains(file, "{"):
        return False
    with file.open("rb") as stream:
        head = stream.read(4096).decode("utf-8", "replace").lstrip("\ufeff \t\r\n{")
    name, _, rest = head.removeprefix('"').partition('"')
    return is_image(name) and rest.lstrip().removeprefix(":").lstrip().startswith('"')


def parse(document: Any, at: At, into: Set) -> None:
    """Add the images of a document to a set."""
    for name, entry in at.mapping(document).items():
        place = at / name
        image = image_of(name, {}, place, into)
        if isinstance(entry, str):
            _read_crop(image, entry, place)
        else:
            _read_page(image, place.mapping(entry), place)
        into.dataset.images.append(image)


def _read_crop(image: AnnotatedImage, text: str, at: At) -> None:
    """The one word of a crop covers all of it, so the image must be there to ask for its size."""
    header = read_header(image.path)
    if header is None:
        message = f"the image {image.path} is not there, or is none, and its word has no other region"
        at.error("missing-image", message, "put it there, or pass its folder: --images DIR")
        return
    polygon = rectangle(0, 0, header.width, header.height)
    image.width, image.height = header.width, header.height
    image.words = [AnnotatedWord(polygon, at.clean(text), where=at.place)]


def _read_page(image: AnnotatedImage, entry: dict[str, Any], at: At) -> None:
    image.extra = private("doctr", entry, {"polygons"})
    polygons, here = entry.get("polygons", []), at / "polygons"
    classes = polygons.items() if isinstance(polygons, dict) else [(None, polygons)]
    for name, values in classes:
        place = here if name is None else here / name
        extra = {"no_text": True} | ({} if name is None else {"class": name})
        items = ((value, place / index, extra) for index, value in enumerate(place.sequence(values)))
        image.words += words_of(_word, items)


def _word(value: Any, at: At, extra: dict[str, Any]) -> AnnotatedWord:
    return AnnotatedWord(polygon_of(value, at), "", False, dict(extra), at.place)


def document(dataset: Dataset, losses: Losses) -> dict[str, Any]:
    """The document of a detection set."""
    losses.extras("doctr", dataset.extra, str(dataset.root))
    top: dict[str, Any] = {}
    for image in dataset.images:
        if image.name in top:
            losses.add("images left out: another has the same name", image.name)
        else:
            top[image.name] = _page(image, losses)
    return top


def _page(image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
    page: dict[str, Any] = {}
    if "doctr.img_dimensions" not in image.extra and (size := size_of(image, losses)):
        page["img_dimensions"] = [size["height"], size["width"]]
    if "doctr.img_hash" not in image.extra and os.path.isfile(image.path):
        with image.path.open("rb") as stream:
            page["img_hash"] = hashlib.file_digest(stream, "sha256").hexdigest()
    page |= losses.extras("doctr", image.extra, image.name)
    polygons: dict[str, list[Any]] = {}
    for word in image.words:
        where = image.place_of(word)
        kind = losses.extras("doctr", word.extra, where, {"class"}).get("class", CLASS_NAME)
        polygons.setdefault(str(kind), []).append(pairs(losses.quad(word.polygon, where)))
        if word.text not in MARKS:
            losses.add("transcriptions (`doctr-recognition` keeps them, as crops)", where)
        if word.ignore:
            losses.add("don't-care flags (docTR has none: they became ordinary regions)", where)
    classed = any("class" in word.extra for word in image.words)
    return page | {"polygons": polygons if classed else polygons.get(CLASS_NAME, [])}


def _cut_out(image: AnnotatedImage, losses: Losses) -> Iterator[tuple[Path, bytes, AnnotatedWord]]:
    """The name and content of the crop of every readable word."""
    words = []
    for word in image.words:
        where = image.place_of(word)
        if word.ignore or not word.text:
            losses.add("don't-care words and words without a text", where)
        else:
            losses.extras("doctr-recognition", word.extra, where)
            words.append(word)
    try:
        pixels = open_image(image.path, exif=False) if words else np.zeros((0, 0, 3), np.uint8)
    except ImageError:
        losses.add("images that cannot be read, and their words", str(image.path))
        return
    stem = without_suffix(safe_name(image.name))
    for number, word in enumerate(words, start=1):
        if np.array_equal(word.polygon, rectangle(0, 0, pixels.shape[1], pixels.shape[0])):  # a crop already
            yield safe_name(image.name), image.path.read_bytes(), word
        else:
            buffer = io.BytesIO()
            quad = losses.quad(word.polygon, image.place_of(word))
            Image.fromarray(crop_quad(pixels, quad)).save(buffer, format="PNG")
            yield stem.with_name(f"{stem.name}_{number}.png"), buffer.getvalue(), word


def _is_detection(file: Path) -> bool:
    foreign = contains(file, '"data_list"') or contains(file, '"shapes"')
    return is_recognition(file) or (contains(file, '"polygons"') and not foreign)


@dataclass(frozen=True, slots=True)
class Crops(JsonSet):
    """The recognition sets, which bring their own images."""

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """Write all readable words, cut out to images/; ignore regions are left out."""
        losses.extras(self.name, dataset.extra, str(dataset.root))
        labels: dict[str, str] = {}
        for image in dataset.images:
            losses.extras(self.name, image.extra, image.name)
            for name, content, word in _cut_out(image, losses):
                write_file(target / "images" / name, content)
                labels[name.as_posix()] = word.text
        write_file(target / self.file_name, encode_json(labels))
        return [target / self.file_name, *(target / "images" / name for name in labels)]


DETECTION = JsonSet("doctr", "labels.json", _is_detection, parse, document)
RECOGNITION = Crops("doctr-recognition", "labels.json", is_recognition, parse, document)
