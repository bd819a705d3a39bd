"""DAVAR datalist json: image path -> height, width and `content_ann` with parallel lists of the words."""

from __future__ import annotations

from typing import Any

from dld_core.data.formats.jsonfile import contains
from dld_core.data.formats.jsonset import JsonSet, Set, image_of, size_of
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, Losses, private
from dld_core.data.formats.perimage import words_of
from dld_core.data.formats.polygons import bounds, flat, polygon_of
from dld_core.data.formats.problems import At

_COMMENT = "###"
_LISTS = frozenset({"bboxes", "cares", "texts"})
_RECTANGLE = "davar.rectangle"


def parse(document: Any, at: At, into: Set) -> None:
    """Add the images of a document to a set."""
    top = at.mapping(document)
    if _COMMENT in top:
        into.dataset.extra["davar.comment"] = top[_COMMENT]
    for place, entry in at.objects({key: value for key, value in top.items() if key != _COMMENT}):
        image = image_of(place.key, entry, place, into)
        image.extra = private("davar", entry, {"height", "width", "content_ann"})
        content = (place / "content_ann").mapping(entry.get("content_ann"))
        image.words = _words(content, place / "content_ann", image)
        into.dataset.images.append(image)


def _words(content: dict[str, Any], at: At, image: AnnotatedImage) -> list[AnnotatedWord]:
    """The words of the parallel lists; lists of another length are reported and left out."""
    boxes = (at / "bboxes").sequence(content.get("bboxes", []))
    columns = {}
    for key, value in content.items():
        if isinstance(value, list) and len(value) == len(boxes):
            columns[key] = value
        elif key in _LISTS:
            length = len(value) if isinstance(value, list) else "no list"
            message = f"'{key}' has {length} entries for {len(boxes)} bboxes"
            (at / key).error("wrong-count", message, "write one entry per box")
        else:
            image.extra.setdefault("davar.content_ann", {})[key] = value
    rows = ({key: column[index] for key, column in columns.items()} for index in range(len(boxes)))
    return words_of(_word, ((str(index), row, at) for index, row in enumerate(rows)))


def _word(index: str, row: dict[str, Any], at: At) -> AnnotatedWord:
    here = at / "bboxes" / index
    polygon = polygon_of(row["bboxes"], here)
    extra = private("davar", row, _LISTS)
    if len(row["bboxes"]) == 4:
        extra[_RECTANGLE] = True
    if "texts" not in row:
        extra["no_text"] = True
    text = (at / "texts").text({index: row.get("texts")}, index)
    care = (at / "cares").flag({index: row.get("cares", 1)}, index, True)
    return AnnotatedWord(polygon, text, not care, extra, here.place)


def document(dataset: Dataset, losses: Losses) -> dict[str, Any]:
    """The document of a set."""
    own = losses.extras("davar", dataset.extra, str(dataset.root))
    top: dict[str, Any] = {_COMMENT: own["comment"]} if "comment" in own else {}
    for image in dataset.images:
        if image.name in top:
            losses.add("images left out: another has the same name", image.name)
            continue
        extra = losses.extras("davar", image.extra, image.name)
        rest = extra.pop("content_ann", {})
        top[image.name] = {**size_of(image, losses), "content_ann": _content(image, losses) | rest, **extra}
    return top


def _content(image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
    content: dict[str, Any] = {"bboxes": [], "cares": [], "texts": []}
    own = [losses.extras("davar", word.extra, image.place_of(word)) for word in image.words]
    for word, extra in zip(image.words, own, strict=True):
        corners = extra.pop("rectangle", False)
        content["bboxes"].append(bounds(word.polygon) if corners else flat(word.polygon))
        content["cares"].append(int(not word.ignore))
        content["texts"].append(word.text)
    for key in sorted({key for extra in own for key in extra}):
        content[key] = [extra.get(key) for extra in own]
    if image.words and all(word.extra.get("no_text") for word in image.words):
        del content["texts"]
    return content


DAVAR = JsonSet("davar", "datalist.json", lambda file: contains(file, '"content_ann"'), parse, document)
