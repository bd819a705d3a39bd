"""docTR labels.json: for detection, image -> `polygons` of four points; for recognition, crop -> text.

Reading tells the two apart by themselves. This format writes the first; `doctr-recognition` the second.
Neither knows don't-care words.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

from dld_core.data.formats.base import MARKS, Losses, own_extras, place_of, private
from dld_core.data.formats.coordinates import pairs, rectangle
from dld_core.data.formats.jsonfile import At, contains
from dld_core.data.formats.jsonset import JsonSetFormat, annotated
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import ImageFinder, is_image
from dld_core.data.formats.quads import to_quad
from dld_core.data.formats.sizes import read_header, size_of

CLASS_NAME = "words"  # what docTR calls its one class
_KNOWN = frozenset({"polygons"})


class DoctrFormat(JsonSetFormat):
    """docTR, detection (and recognition, to read)."""

    name: ClassVar[str] = "doctr"
    summary: ClassVar[str] = "docTR detection: images/ and labels.json, image -> polygons (reads both kinds)"
    file_name: ClassVar[str] = "labels.json"
    signature: ClassVar[tuple[str, ...]] = ('"polygons"',)
    foreign: ClassVar[tuple[str, ...]] = ('"data_list"', '"shapes"')

    def fits(self, file: Path) -> bool:
        """See JsonSetFormat."""
        return super().fits(file) or looks_like_recognition(file)

    def parse(self, document: Any, at: At, dataset: Dataset, finder: ImageFinder) -> None:
        """See JsonSetFormat."""
        for name, entry in at.mapping(document).items():
            place = at / name
            image = annotated(name, place, finder)
            if isinstance(entry, str):
                _read_crop(image, entry, place)
            else:
                _read_page(image, place.mapping(entry), place)
            dataset.images.append(image)

    def document(self, dataset: Dataset, losses: Losses) -> dict[str, Any]:
        """See JsonSetFormat."""
        own_extras(self.name, dataset.extra, frozenset(), losses, str(dataset.root))
        top: dict[str, Any] = {}
        for image in dataset.images:
            if image.name in top:
                losses.add("images left out: another has the same name", image.name)
                continue
            top[image.name] = _page(image, losses)
        return top


def looks_like_recognition(file: Path) -> bool:
    """Whether a json file begins like {"crop_1.png": "text"."""
    if not contains(file, "{"):
        return False
    with file.open("rb") as stream:
        head = stream.read(4096).decode("utf-8", "replace").lstrip("\ufeff \t\r\n{")
    name, _, rest = head.removeprefix('"').partition('"')
    return is_image(Path(name)) and rest.lstrip().removeprefix(":").lstrip().startswith('"')


def _read_crop(image: AnnotatedImage, text: str, at: At) -> None:
    """The one word of a crop covers all of it, so the image must be there to ask for its size."""
    header = read_header(image.path)
    if header is None:
        message = f"the image {image.path} is not there, or is none, and its word has no other region"
        at.error("missing-image", message, "put it there, or pass its folder: --images DIR")
        return
    polygon = rectangle(0, 0, header.width, header.height)
    image.width, image.height = header.width, header.height
    image.words = [AnnotatedWord(polygon, at.text(text), where=at.place)]


def _read_page(image: AnnotatedImage, entry: dict[str, Any], at: At) -> None:
    image.extra = private("doctr", entry, _KNOWN)
    polygons = entry.get("polygons", [])
    classes = polygons if isinstance(polygons, dict) else {None: polygons}
    for name, values in classes.items():
        place = at / "polygons" if name is None else at / "polygons" / name
        for index, value in enumerate(place.sequence(values)):
            polygon = (place / index).polygon(value)
            if polygon is not None:
                extra = {"no_text": True} | ({} if name is None else {"class": name})
                image.words.append(AnnotatedWord(polygon, "", False, extra, (place / index).place))


def _page(image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
    extra = own_extras("doctr", image.extra, frozenset(), losses, image.name)
    polygons: dict[str, list[Any]] = {}
    for word in image.words:
        where = place_of(word, image.source)
        kind = own_extras("doctr", word.extra, frozenset({"class"}), losses, where).get("class", CLASS_NAME)
        polygons.setdefault(str(kind), []).append(pairs(to_quad(word.polygon, losses, where)))
        if word.text not in MARKS:
            losses.add("transcriptions (`doctr-recognition` keeps them, as crops)", where)
        if word.ignore:
            losses.add("don't-care flags (docTR has none: they became ordinary regions)", where)
    classed = any("class" in word.extra for word in image.words)
    entry: dict[str, Any] = {"polygons": polygons if classed else polygons.get(CLASS_NAME, [])}
    return _facts(image, losses) | extra | entry


def _facts(image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
    """The image's (height, width) and SHA-256, where they can be had."""
    facts: dict[str, Any] = {}
    if "doctr.img_dimensions" not in image.extra:
        size = size_of(image, losses)
        if size is not None:
            facts["img_dimensions"] = [size[1], size[0]]
    if "doctr.img_hash" not in image.extra and image.path.is_file():
        facts["img_hash"] = hashlib.sha256(image.path.read_bytes()).hexdigest()
    return facts
