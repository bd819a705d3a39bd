"""DAVAR datalist json: image path -> height, width and `content_ann` with parallel lists of the words."""

from __future__ import annotations

from typing import Any, ClassVar

from dld_core.data.formats.base import Losses, own_extras, place_of, private
from dld_core.data.formats.coordinates import bounds, flat, plain
from dld_core.data.formats.jsonfile import At
from dld_core.data.formats.jsonset import JsonSetFormat, annotated
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import ImageFinder
from dld_core.data.formats.sizes import size_of

_COMMENT = "###"
_LISTS = frozenset({"bboxes", "cares", "texts"})
_RECTANGLE = "davar.rectangle"


class DavarFormat(JsonSetFormat):
    """DAVAR datalist."""

    name: ClassVar[str] = "davar"
    summary: ClassVar[str] = "DAVAR datalist: one json, path -> content_ann with bboxes, cares, texts"
    file_name: ClassVar[str] = "datalist.json"
    signature: ClassVar[tuple[str, ...]] = ('"content_ann"',)

    def parse(self, document: Any, at: At, dataset: Dataset, finder: ImageFinder) -> None:
        """See JsonSetFormat."""
        top = at.mapping(document)
        if _COMMENT in top:
            dataset.extra["davar.comment"] = top[_COMMENT]
        for place, entry in at.objects({key: value for key, value in top.items() if key != _COMMENT}):
            image = annotated(place.key, place, finder)
            image.width, image.height = place.size(entry, "width"), place.size(entry, "height")
            image.extra = private(self.name, entry, frozenset({"height", "width", "content_ann"}))
            content = (place / "content_ann").mapping(entry.get("content_ann"))
            image.words = _words(content, place / "content_ann", image)
            dataset.images.append(image)

    def document(self, dataset: Dataset, losses: Losses) -> dict[str, Any]:
        """See JsonSetFormat."""
        own = own_extras(self.name, dataset.extra, frozenset(), losses, str(dataset.root))
        top: dict[str, Any] = {_COMMENT: own["comment"]} if "comment" in own else {}
        for image in dataset.images:
            if image.name in top:
                losses.add("images left out: another has the same name", image.name)
                continue
            extra = own_extras(self.name, image.extra, frozenset(), losses, image.name)
            rest = extra.pop("content_ann", {})
            size = size_of(image, losses)
            sizes = {} if size is None else {"height": size[1], "width": size[0]}
            top[image.name] = {**sizes, "content_ann": _content(image, losses) | rest, **extra}
        return top


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
    words = (_word(index, box, columns, at) for index, box in enumerate(boxes))
    return [word for word in words if word is not None]


def _word(index: int, box: Any, columns: dict[str, list[Any]], at: At) -> AnnotatedWord | None:
    polygon = (at / "bboxes" / index).polygon(box)
    if polygon is None:
        return None
    extra = {f"davar.{key}": column[index] for key, column in columns.items() if key not in _LISTS}
    if len(box) == 4:
        extra[_RECTANGLE] = True
    if "texts" not in columns:
        extra["no_text"] = True
    text = (at / "texts" / index).text(columns["texts"][index]) if "texts" in columns else ""
    care = columns["cares"][index] if "cares" in columns else 1
    if care not in (0, 1):
        (at / "cares" / index).error("wrong-type", f"{care!r} is no flag", "write 1, or 0 for don't-care")
    return AnnotatedWord(polygon, text, care == 0, extra, (at / "bboxes" / index).place)


def _content(image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
    content: dict[str, Any] = {"bboxes": [], "cares": [], "texts": []}
    own = [
        own_extras("davar", word.extra, frozenset(), losses, place_of(word, image.source))
        for word in image.words
    ]
    for word, extra in zip(image.words, own, strict=True):
        corners = extra.pop("rectangle", False)
        content["bboxes"].append([plain(v) for v in bounds(word.polygon)] if corners else flat(word.polygon))
        content["cares"].append(int(not word.ignore))
        content["texts"].append(word.text)
    for key in sorted({key for extra in own for key in extra}):
        content[key] = [extra.get(key) for extra in own]
    if image.words and all(word.extra.get("no_text") for word in image.words):
        del content["texts"]
    return content
