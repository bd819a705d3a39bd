"""MMOCR 1.x json: `metainfo` and a `data_list` of images with `instances` (textdet and textspotting)."""

from __future__ import annotations

from typing import Any, ClassVar

from dld_core.data.formats.base import Losses, own_extras, place_of, private
from dld_core.data.formats.coordinates import Polygon, bounds, flat, plain
from dld_core.data.formats.jsonfile import At
from dld_core.data.formats.jsonset import JsonSetFormat, annotated
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import ImageFinder
from dld_core.data.formats.sizes import size_of

_INSTANCE = frozenset({"polygon", "bbox", "ignore", "text"})
_IMAGE = frozenset({"img_path", "height", "width", "instances"})
_METAINFO = {
    "dataset_type": "TextSpottingDataset",
    "task_name": "textspotting",
    "category": [{"id": 0, "name": "text"}],
}


class MmocrFormat(JsonSetFormat):
    """MMOCR 1.x."""

    name: ClassVar[str] = "mmocr"
    summary: ClassVar[str] = "MMOCR 1.x: one json with metainfo and data_list (textdet, textspotting)"
    file_name: ClassVar[str] = "textspotting.json"
    signature: ClassVar[tuple[str, ...]] = ('"data_list"',)

    def parse(self, document: Any, at: At, dataset: Dataset, finder: ImageFinder) -> None:
        """See JsonSetFormat."""
        top = at.mapping(document)
        for place, entry in (at / "data_list").objects(top.get("data_list")):
            image = annotated((place / "img_path").text(entry.get("img_path")), place, finder)
            image.width, image.height = place.size(entry, "width"), place.size(entry, "height")
            image.extra = private(self.name, entry, _IMAGE)
            for here, instance in (place / "instances").objects(entry.get("instances")):
                polygon = _polygon(instance, here)
                if polygon is not None:
                    image.words.append(self._word(polygon, instance, here))
            dataset.images.append(image)
        dataset.extra |= private(self.name, top, frozenset({"data_list"}))

    def _word(self, polygon: Polygon, instance: dict[str, Any], at: At) -> AnnotatedWord:
        extra = private(self.name, instance, _INSTANCE)
        if "bbox" in instance and instance["bbox"] != list(bounds(polygon)):
            extra["mmocr.bbox"] = instance["bbox"]
        if instance.get("bbox_label") == 0:
            del extra["mmocr.bbox_label"]
        if "text" not in instance:
            extra["no_text"] = True
        ignore = instance.get("ignore", False)
        if ignore not in (True, False):
            (at / "ignore").error("wrong-type", f"{ignore!r} is no flag", "write true or false")
        text = (at / "text").text(instance.get("text"))
        return AnnotatedWord(polygon, text, bool(ignore), extra, at.place)

    def document(self, dataset: Dataset, losses: Losses) -> dict[str, Any]:
        """See JsonSetFormat."""
        own = own_extras(self.name, dataset.extra, frozenset(), losses, str(dataset.root))
        entries = [self._entry(image, losses) for image in dataset.images]
        return {"metainfo": _METAINFO, **own, "data_list": entries}

    def _entry(self, image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
        extra = own_extras(self.name, image.extra, frozenset(), losses, image.name)
        size = size_of(image, losses)
        if size is not None:
            extra |= {"height": size[1], "width": size[0]}
        instances = [self._instance(word, image, losses) for word in image.words]
        return {"img_path": image.name, **extra, "instances": instances}

    def _instance(self, word: AnnotatedWord, image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
        extra = own_extras(self.name, word.extra, frozenset(), losses, place_of(word, image.source))
        box = [plain(value) for value in bounds(word.polygon)]
        entry = {"polygon": flat(word.polygon), "bbox": box, "bbox_label": 0, "ignore": word.ignore, **extra}
        return entry if word.extra.get("no_text") else {**entry, "text": word.text}


def _polygon(instance: dict[str, Any], at: At) -> Polygon | None:
    key = "polygon" if instance.get("polygon") else "bbox"
    if key not in instance:
        at.error("missing-key", "there is neither 'polygon' nor 'bbox'", "write polygon: [x1, y1, ...]")
        return None
    return (at / key).polygon(instance[key])
