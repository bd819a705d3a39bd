"""What COCO-Text and TextOCR share: tables of images and annotations by id, and the lists that join them."""

from __future__ import annotations

from abc import abstractmethod
from itertools import count
from typing import Any, ClassVar

from dld_core.data.formats.base import Losses, own_extras, private
from dld_core.data.formats.coordinates import Polygon, bounds, plain, rectangle
from dld_core.data.formats.jsonfile import At
from dld_core.data.formats.jsonset import JsonSetFormat, annotated
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import ImageFinder
from dld_core.data.formats.sizes import size_of

_LINKS = ("imgToAnns", "img2Anns")
_IMAGE_KEYS = frozenset({"file_name", "filename", "width", "height", "set"})

_Entries = dict[str, tuple[At, dict[str, Any]]]


class CocoLikeFormat(JsonSetFormat):
    """A json with `imgs` and `anns` by id, joined by `imgToAnns`.

    Attributes:
        numeric_ids: ids are numbers (their keys are strings all the same), else strings.
        polygon_keys: where an annotation keeps its polygon, the usual key first.
        top_defaults: other top-level keys that a written file has.
    """

    numeric_ids: ClassVar[bool]
    polygon_keys: ClassVar[tuple[str, ...]]
    top_defaults: ClassVar[dict[str, Any]]

    @abstractmethod
    def make_word(self, polygon: Polygon, entry: dict[str, Any], at: At) -> AnnotatedWord:
        """The word of an annotation."""

    @abstractmethod
    def annotation(self, word: AnnotatedWord, image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
        """The annotation of a word, without ids, bbox and area unless the extras hold them."""

    def derived(self, polygon: Polygon, entry: dict[str, Any]) -> dict[str, Any]:
        """The extras id, bbox and area, the latter two only where they are not as `_complete` makes them."""
        usual: dict[str, Any] = {}
        _complete(usual, polygon, None)
        found = {key: entry[key] for key in ("id", "bbox", "area") if key in entry}
        return {f"{self.name}.{key}": value for key, value in found.items() if value != usual.get(key)}

    def parse(self, document: Any, at: At, dataset: Dataset, finder: ImageFinder) -> None:
        """See JsonSetFormat."""
        top = at.mapping(document)
        for key in ("imgs", "anns"):
            if key not in top:
                at.error("missing-key", f"there is no '{key}'", f"write '{key}': an object of entries by id")
        images = self._images(top.get("imgs", {}), at / "imgs", finder)
        entries = {place.key: (place, entry) for place, entry in (at / "anns").objects(top.get("anns", {}))}
        self._join(images, entries, self._order(top, at, entries))
        dataset.images.extend(images.values())
        dataset.extra |= private(self.name, top, frozenset({"imgs", "anns", *_LINKS}))

    def _images(self, value: Any, at: At, finder: ImageFinder) -> dict[str, AnnotatedImage]:
        images = {}
        for place, entry in at.objects(value):
            key = str(entry.get("id", place.key))
            name = (place / "file_name").text(entry.get("file_name", entry.get("filename")))
            image = annotated(name, place, finder)
            image.width, image.height = place.size(entry, "width"), place.size(entry, "height")
            image.extra = private(self.name, entry, _IMAGE_KEYS)
            if isinstance(entry.get("set"), str):
                image.extra["set"] = entry["set"]
            images[key] = image
        return images

    def _join(self, images: dict[str, AnnotatedImage], entries: _Entries, order: dict[str, int]) -> None:
        """Give every annotation to its image, in the order of the file's links, else of the annotations."""
        for key in sorted(entries, key=lambda key: order.get(key, len(order))):
            place, entry = entries[key]
            image = images.get(str(entry.get("image_id")))
            if image is None:
                message = f"there is no image {entry.get('image_id')!r} in 'imgs'"
                (place / "image_id").error("unknown-image", message, "add the image, or correct the id")
                continue
            polygon = self._polygon(entry, place)
            if polygon is not None:
                image.words.append(self.make_word(polygon, entry, place))

    def _order(self, top: dict[str, Any], at: At, entries: _Entries) -> dict[str, int]:
        """The rank of each annotation in the links; links that lead nowhere are reported."""
        links = next((key for key in _LINKS if key in top), None)
        order: dict[str, int] = {}
        if links is None:
            return order
        for image, ids in (at / links).mapping(top[links]).items():
            for index, key in enumerate((at / links / image).sequence(ids)):
                if str(key) not in entries:
                    message = f"there is no annotation {key!r} in 'anns'"
                    (at / links / image / index).error(
                        "unknown-annotation", message, "add it, or drop the id"
                    )
                order.setdefault(str(key), len(order))
        for key, (place, _) in entries.items():
            if key not in order:
                place.warning("unlisted", f"the annotation is not in '{links}'", "list it with its image")
        return order

    def _polygon(self, entry: dict[str, Any], at: At) -> Polygon | None:
        key = next((key for key in self.polygon_keys if entry.get(key)), None)
        if key is not None:
            return (at / key).polygon(entry[key])
        if not isinstance(entry.get("bbox"), list) or len(entry["bbox"]) != 4:
            fix = f"write {self.polygon_keys[0]}: [x1, y1, x2, y2, ...]"
            at.error(
                "missing-key", f"there is neither '{self.polygon_keys[0]}' nor a 'bbox' of 4 numbers", fix
            )
            return None
        corners = (at / "bbox").polygon(entry["bbox"])
        if corners is None:
            return None
        x, y, width, height = (float(value) for value in entry["bbox"])
        return rectangle(x, y, x + width, y + height)

    def document(self, dataset: Dataset, losses: Losses) -> dict[str, Any]:
        """See JsonSetFormat."""
        own = own_extras(self.name, dataset.extra, frozenset(), losses, str(dataset.root))
        top: dict[str, Any] = {**self.top_defaults, **own, "imgs": {}, "anns": {}, "imgToAnns": {}}
        taken = {str(w.extra[self.id_key]) for i in dataset.images for w in i.words if self.id_key in w.extra}
        free = (number for number in count(1) if str(number) not in taken)
        for number, image in enumerate(dataset.images, start=1):
            entry = self._image_entry(image, number, losses)
            key = str(entry["id"])
            if key in top["imgs"]:
                losses.add("images left out: another has the same id", image.name)
                continue
            top["imgs"][key], top["imgToAnns"][key] = entry, []
            for position, word in enumerate(image.words, start=1):
                annotation = self.annotation(word, image, losses)
                if "id" not in annotation:
                    annotation["id"] = next(free) if self.numeric_ids else f"{key}_{position}"
                _complete(annotation, word.polygon, entry["id"])
                top["imgToAnns"][key].append(annotation["id"])
                top["anns"][str(annotation["id"])] = annotation
        return top

    @property
    def id_key(self) -> str:
        """The extra that holds an annotation's id."""
        return f"{self.name}.id"

    def _image_entry(self, image: AnnotatedImage, number: int, losses: Losses) -> dict[str, Any]:
        extra = own_extras(self.name, image.extra, frozenset({"set"}), losses, image.name)
        size = size_of(image, losses)
        if size is not None:
            extra |= {"width": size[0], "height": size[1]}
        default = number if self.numeric_ids else image.name.rpartition(".")[0] or image.name
        return {"id": default, "file_name": image.name, "set": "train", **extra}


def _complete(annotation: dict[str, Any], polygon: Polygon, image_id: Any) -> None:
    """Add the image, the box (x, y, width, height) and its area, unless the annotation has them."""
    left, top, right, bottom = bounds(polygon)
    width, height = round(right - left, 4), round(bottom - top, 4)
    annotation["image_id"] = image_id
    annotation.setdefault("bbox", [plain(value) for value in (left, top, width, height)])
    annotation.setdefault("area", plain(round(width * height, 4)))
