"""MMOCR 1.x json: `metainfo` and a `data_list` of images with `instances` (textdet and textspotting)."""

from __future__ import annotations

from typing import Any

from dld_core.data.formats.jsonfile import contains
from dld_core.data.formats.jsonset import JsonSet, Set, image_of, size_of, word_of
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, Losses, private
from dld_core.data.formats.perimage import words_of
from dld_core.data.formats.polygons import bounds, flat
from dld_core.data.formats.problems import At

_METAINFO = {
    "dataset_type": "TextSpottingDataset",
    "task_name": "textspotting",
    "category": [{"id": 0, "name": "text"}],
}


def parse(document: Any, at: At, into: Set) -> None:
    """Add the images of a document to a set."""
    top = at.mapping(document)
    for place, entry in (at / "data_list").objects(top.get("data_list")):
        image = image_of(place.text(entry, "img_path"), entry, place, into)
        image.extra = private("mmocr", entry, {"img_path", "height", "width", "instances"})
        image.words = words_of(_word, (place / "instances").objects(entry.get("instances")))
        into.dataset.images.append(image)
    into.dataset.extra |= private("mmocr", top, {"data_list"})


def _word(at: At, instance: dict[str, Any]) -> AnnotatedWord:
    word = word_of("mmocr", at, instance, ("polygon", "bbox"), "text", {"ignore"})
    word.ignore = at.flag(instance, "ignore", False)
    if "bbox" in instance and instance["bbox"] != bounds(word.polygon):
        word.extra["mmocr.bbox"] = instance["bbox"]
    if instance.get("bbox_label") == 0:
        del word.extra["mmocr.bbox_label"]
    return word


def document(dataset: Dataset, losses: Losses) -> dict[str, Any]:
    """The document of a set."""
    own = losses.extras("mmocr", dataset.extra, str(dataset.root))
    return {"metainfo": _METAINFO, **own, "data_list": [_entry(image, losses) for image in dataset.images]}


def _entry(image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
    extra = losses.extras("mmocr", image.extra, image.name) | size_of(image, losses)
    instances = []
    for word in image.words:
        own = losses.extras("mmocr", word.extra, image.place_of(word))
        text = {} if word.extra.get("no_text") else {"text": word.text}
        place = {"polygon": flat(word.polygon), "bbox": bounds(word.polygon), "bbox_label": 0}
        instances.append({**place, "ignore": word.ignore, **own, **text})
    return {"img_path": image.name, **extra, "instances": instances}


MMOCR = JsonSet("mmocr", "textspotting.json", lambda file: contains(file, '"data_list"'), parse, document)
