"""COCO-Text v2 and TextOCR json: `imgs` and `anns` by id, joined by `imgToAnns`.

COCO-Text has numbers for ids, polygons in `mask`, and marks ignore regions by `legibility`; TextOCR has
strings for ids, polygons in `points`, and "." for the text that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from dld_core.data.formats.jsonfile import contains
from dld_core.data.formats.jsonset import JsonSet, Set, image_of, size_of, word_of
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, Losses, private
from dld_core.data.formats.perimage import words_of
from dld_core.data.formats.polygons import Polygon, bounds, flat, plain, rectangle
from dld_core.data.formats.problems import At, short

_LINKS = ("imgToAnns", "img2Anns")
_ANNOTATION = frozenset({"bbox", "utf8_string", "image_id", "id", "area"})

_Entries = dict[str, tuple[At, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class CocoLike:
    """One of the two.

    Attributes:
        name: of the format.
        numeric_ids: ids are numbers (their keys are strings all the same), else strings.
        polygon_keys: where an annotation keeps its polygon, the usual key first.
        shared: extras that it has without a prefix.
        top: other top-level keys that a written file has.
        ignores: whether an annotation with this text is an ignore region.
        entry: the annotation of a word without ids, box, area, given the extras that it keeps.
    """

    name: str
    numeric_ids: bool
    polygon_keys: tuple[str, ...]
    shared: frozenset[str]
    top: dict[str, Any]
    ignores: Callable[[dict[str, Any], str], bool]
    entry: Callable[[AnnotatedWord, dict[str, Any], Losses, str], dict[str, Any]]

    def parse(self, document: Any, at: At, into: Set) -> None:
        """Add the images of a document to a set."""
        top = at.mapping(document)
        for key in ("imgs", "anns"):
            if key not in top:
                at.error("missing-key", f"there is no '{key}'", f"write '{key}': an object of entries by id")
        images = {}
        for place, entry in (at / "imgs").objects(top.get("imgs", {})):
            name = place.text(entry, "file_name") or place.text(entry, "filename")
            image = image_of(name, entry, place, into)
            image.extra = private(self.name, entry, {"file_name", "filename", "width", "height", "set"})
            if isinstance(entry.get("set"), str):
                image.extra["set"] = entry["set"]
            images[str(entry.get("id", place.key))] = image
        entries = {place.key: (place, entry) for place, entry in (at / "anns").objects(top.get("anns", {}))}
        order = self._order(top, at, entries)
        for key in sorted(entries, key=lambda key: order.get(key, len(order))):
            self._add(images, *entries[key])
        into.dataset.images.extend(images.values())
        into.dataset.extra |= private(self.name, top, {"imgs", "anns", *_LINKS})

    def _order(self, top: dict[str, Any], at: At, entries: _Entries) -> dict[str, int]:
        """The rank of each annotation in the links; links that lead nowhere are reported."""
        links = next((key for key in _LINKS if key in top), None)
        order: dict[str, int] = {}
        if links is None:
            return order
        for image, ids in (at / links).mapping(top[links]).items():
            for index, key in enumerate((at / links / image).sequence(ids)):
                if str(key) not in entries:
                    message, fix = f"there is no annotation {key!r} in 'anns'", "add it, or drop the id"
                    (at / links / image / index).error("unknown-annotation", message, fix)
                order.setdefault(str(key), len(order))
        for key, (place, _) in entries.items():
            if key not in order:
                place.warning("unlisted", f"the annotation is not in '{links}'", "list it with its image")
        return order

    def _add(self, images: dict[str, AnnotatedImage], at: At, entry: dict[str, Any]) -> None:
        """Give an annotation to its image."""
        image = images.get(str(entry.get("image_id")))
        if image is None:
            message = f"there is no image {short(entry.get('image_id'))} in 'imgs'"
            (at / "image_id").error("unknown-image", message, "add the image, or correct the id")
        else:
            image.words += words_of(self._word, [(at, entry)])

    def _word(self, at: At, entry: dict[str, Any]) -> AnnotatedWord:
        word = word_of(
            self.name, at, entry, (*self.polygon_keys, "bbox"), "utf8_string", {*_ANNOTATION, *self.shared}
        )
        if not any(entry.get(key) for key in self.polygon_keys):  # a box of x, y, width, height
            left, top, *size = map(float, entry["bbox"][:4])
            if len(size) < 2 or len(entry["bbox"]) > 4:
                raise (at / "bbox").malformed(
                    "wrong-count", "the box has not 4 numbers", "write [x, y, w, h]"
                )
            word.polygon = rectangle(left, top, left + size[0], top + size[1])
        word.extra.pop("no_text", None)
        word.extra |= {key: entry[key] for key in self.shared if isinstance(entry.get(key), str)}
        usual = _box(word.polygon)
        for key in ("id", "bbox", "area"):  # the latter two where they are not as they are worked out
            if key in entry and entry[key] != usual.get(key):
                word.extra[f"{self.name}.{key}"] = entry[key]
        word.ignore = self.ignores(entry, word.text)
        return word

    def document(self, dataset: Dataset, losses: Losses) -> dict[str, Any]:
        """The document of a set."""
        own = losses.extras(self.name, dataset.extra, str(dataset.root))
        top: dict[str, Any] = {**self.top, **own, "imgs": {}, "anns": {}, "imgToAnns": {}}
        id_key = f"{self.name}.id"
        taken = {str(w.extra[id_key]) for i in dataset.images for w in i.words if id_key in w.extra}
        free = (number for number in count(1) if str(number) not in taken)
        for number, image in enumerate(dataset.images, start=1):
            extra = losses.extras(self.name, image.extra, image.name, {"set"})
            extra |= size_of(image, losses)
            default = number if self.numeric_ids else image.name.rpartition(".")[0] or image.name
            entry = {"id": default, "file_name": image.name, "set": "train", **extra}
            key = str(entry["id"])
            if key in top["imgs"]:
                losses.add("images left out: another has the same id", image.name)
                continue
            top["imgs"][key], top["imgToAnns"][key] = entry, []
            for position, word in enumerate(image.words, start=1):
                where = image.place_of(word)
                extra = losses.extras(self.name, word.extra, where, self.shared)
                annotation = {**self.entry(word, extra, losses, where), "image_id": entry["id"]}
                if "id" not in annotation:
                    annotation["id"] = next(free) if self.numeric_ids else f"{key}_{position}"
                annotation = _box(word.polygon) | annotation
                top["imgToAnns"][key].append(annotation["id"])
                top["anns"][str(annotation["id"])] = annotation
        return top


def _box(polygon: Polygon) -> dict[str, Any]:
    """The box (x, y, width, height) and its area, as they follow from a polygon."""
    left, top, right, bottom = bounds(polygon)
    width, height = round(right - left, 4), round(bottom - top, 4)
    return {
        "bbox": [plain(value) for value in (left, top, width, height)],
        "area": plain(round(width * height, 4)),
    }


def _cocotext_entry(word: AnnotatedWord, extra: dict[str, Any], losses: Losses, where: str) -> dict[str, Any]:
    entry = {"mask": flat(word.polygon), "class": "others", "language": "na", **extra}
    if word.ignore and entry.get("legibility", "illegible") == "legible" and word.text:
        losses.add("don't-care flags of words marked legible", where)
    entry.setdefault("legibility", "illegible" if word.ignore else "legible")
    if not word.ignore and entry["legibility"] == "illegible":
        entry["legibility"] = "legible"
        losses.add("legibility: a word that counts was marked illegible", where)
    if not (word.ignore and word.text in ("", "###")):
        entry["utf8_string"] = word.text
    return entry


def _textocr_entry(word: AnnotatedWord, extra: dict[str, Any], losses: Losses, where: str) -> dict[str, Any]:
    return {"points": flat(word.polygon), "utf8_string": losses.text(word, where, (".",)), **extra}


_COCOTEXT = CocoLike(
    name="cocotext",
    numeric_ids=True,
    polygon_keys=("mask", "polygon"),
    shared=frozenset({"language", "legibility", "class"}),
    top={"cats": {}, "info": {}},
    ignores=lambda entry, text: entry.get("legibility") == "illegible" or "utf8_string" not in entry,
    entry=_cocotext_entry,
)
_TEXTOCR = CocoLike(
    name="textocr",
    numeric_ids=False,
    polygon_keys=("points",),
    shared=frozenset(),
    top={},
    ignores=lambda entry, text: text == ".",
    entry=_textocr_entry,
)
COCOTEXT = JsonSet(
    "cocotext",
    "cocotext.v2.json",
    lambda file: contains(file, '"anns"', '"imgs"', '"legibility"'),
    _COCOTEXT.parse,
    _COCOTEXT.document,
)
TEXTOCR = JsonSet(
    "textocr",
    "TextOCR.json",
    lambda file: contains(file, '"anns"', '"imgs"') and not contains(file, '"legibility"'),
    _TEXTOCR.parse,
    _TEXTOCR.document,
)
