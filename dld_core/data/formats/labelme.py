"""LabelMe: one json per image with `shapes`; the transcription is the label, or the description.

Where a shape has a description, that is the text and the label is its class; else the label is the text.
Don't-care is the flag "ignore" (or "difficult", "dontcare") of a shape, or a text of "###". An image that
is embedded in the json is not carried along.
"""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from typing import Any, ClassVar

from dld_core.data.formats.base import Format, Losses, ReadOptions, own_extras, place_of, private
from dld_core.data.formats.coordinates import Polygon, is_rectangle, pairs
from dld_core.data.formats.jsonfile import At, contains, encode_json, read_json
from dld_core.data.formats.jsonset import annotated
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import ImageFinder, label_files
from dld_core.data.formats.perfile import target_files
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.sizes import size_of

DONT_CARE = "###"
_FLAGS = ("ignore", "difficult", "dontcare")
_POINTS = {"polygon": 3, "rectangle": 2, "oriented_rectangle": 4}
_SHAPE = frozenset({"label", "points", "shape_type", "description", "flags"})
_TOP = frozenset({"shapes", "imagePath", "imageHeight", "imageWidth", "imageData"})


class LabelMeFormat(Format):
    """LabelMe."""

    name: ClassVar[str] = "labelme"
    summary: ClassVar[str] = "LabelMe json per image: shapes with label or description as the text"
    image_folder: ClassVar[str] = ""

    def sniff(self, path: Path) -> float:
        """See Format."""
        return 0.9 * any(map(_fits, label_files(path, ".json")[:20]))

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format."""
        dataset, files = Dataset(self.name, path), label_files(path, ".json")
        finder = ImageFinder(path, options.images)
        finders = {path if path.is_dir() else path.parent: finder}
        if not files:
            fix = "give the folder that holds them, or another --format"
            problems.error("no-annotations", path, "", "there is no .json file of LabelMe", fix)
        for file in files:
            document = read_json(file, problems, options.encoding)
            if document is not None:
                beside = finders.setdefault(file.parent, ImageFinder(file.parent, options.images))
                dataset.images.append(self._image(document, At(file, problems), beside))
        dataset.unlabelled = finder.unlabelled(i.path for i in dataset.images) if path.is_dir() else []
        return dataset

    def _image(self, document: Any, at: At, finder: ImageFinder) -> AnnotatedImage:
        top = at.mapping(document)
        name = PureWindowsPath((at / "imagePath").text(top.get("imagePath"))).as_posix()
        image = annotated("" if name == "." else name, at, finder)
        image.name = _below(image, at.file)
        image.width, image.height = at.size(top, "imageWidth"), at.size(top, "imageHeight")
        image.extra = private(self.name, {key: value for key, value in top.items() if value}, _TOP)
        if top.get("imageData"):
            image.extra["embedded image"] = True
        for place, shape in (at / "shapes").objects(top.get("shapes")):
            word = _word(shape, place)
            if word is not None:
                image.words.append(word)
        return image

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format."""
        written = []
        for image, file in target_files(dataset, target, "{}.json", losses):
            file.write_bytes(encode_json(self._document(image, target, file, losses)))
            written.append(file)
        return written

    def _document(self, image: AnnotatedImage, target: Path, file: Path, losses: Losses) -> dict[str, Any]:
        extra = own_extras(self.name, image.extra, frozenset(), losses, image.name)
        size = size_of(image, losses)
        sizes = {} if size is None else {"imageHeight": size[1], "imageWidth": size[0]}
        return {
            "version": "5.4.1",
            "flags": {},
            **extra,
            "shapes": [_shape(word, losses, place_of(word, image.source)) for word in image.words],
            "imagePath": _path_from(image, target, file),
            "imageData": None,
            **sizes,
        }


def _fits(file: Path) -> bool:
    return file.suffix.lower() == ".json" and contains(file, '"shapes"') and not contains(file, '"data_list"')


def _below(image: AnnotatedImage, file: Path) -> str:
    """The image's name beside its json: what leads there ("../images/") is no part of it."""
    parts = [part for part in image.name.split("/") if part not in ("..", ".")]
    return parts[-1] if ".." in image.name.split("/") or Path(image.name).is_absolute() else "/".join(parts)


def _path_from(image: AnnotatedImage, target: Path, file: Path) -> str:
    """The path LabelMe opens, from the json: the copied image, else the image where it lies."""
    copied = target / image.name
    chosen = copied if copied.is_file() or not image.path.is_file() else image.path
    try:
        return Path(os.path.relpath(chosen, file.parent)).as_posix()
    except ValueError:  # on another drive of Windows
        return chosen.resolve().as_posix()


def _word(shape: dict[str, Any], at: At) -> AnnotatedWord | None:
    kind = (at / "shape_type").text(shape.get("shape_type")) or "polygon"
    if kind not in _POINTS:
        at.warning("shape-type", f"a {kind} is no region of text; it is left out", "draw a polygon")
        return None
    polygon = _points(shape.get("points"), kind, at / "points")
    if polygon is None:
        return None
    label = (at / "label").text(shape.get("label"))
    description = (at / "description").text(shape.get("description"))
    flags = (at / "flags").mapping(shape.get("flags") or {})
    extra = private("labelme", {key: value for key, value in shape.items() if value is not None}, _SHAPE)
    if description:
        extra["class"] = label
    if kind == "oriented_rectangle" or (kind == "polygon" and is_rectangle(polygon)):
        extra["labelme.shape_type"] = kind
    if flags:
        extra["labelme.flags"] = flags
    text = description or label
    ignore = text == DONT_CARE or any(flags.get(flag) for flag in _FLAGS)
    return AnnotatedWord(polygon, text, ignore, extra, at.place)


def _points(value: Any, kind: str, at: At) -> Polygon | None:
    needed = _POINTS[kind]
    count = len(value) if isinstance(value, list) else 0
    if count < needed or (kind != "polygon" and count != needed):
        message = f"a {kind} has {count} points, not {needed}{' or more' if kind == 'polygon' else ''}"
        at.error("wrong-count", message, "write [[x, y], ...]")
        return None
    return at.polygon(value)


def _shape(word: AnnotatedWord, losses: Losses, where: str) -> dict[str, Any]:
    extra = own_extras("labelme", word.extra, frozenset({"class"}), losses, where)
    kind = extra.pop("shape_type", "rectangle" if is_rectangle(word.polygon) else "polygon")
    points = pairs(word.polygon[[0, 2]] if kind == "rectangle" else word.polygon)
    flags = dict(extra.pop("flags", {}))
    if word.ignore and word.text != DONT_CARE and not any(flags.get(flag) for flag in _FLAGS):
        flags["ignore"] = True
    if not word.ignore and word.text == DONT_CARE:
        losses.add("words that read '###' became don't-care", where)
    named = "class" in extra and bool(word.text)
    texts = {"label": extra.pop("class"), "description": word.text} if named else {"label": word.text}
    if "class" in extra:
        losses.add("field 'class'", where)
        del extra["class"]
    return {"group_id": None, **texts, "points": points, "shape_type": kind, "flags": flags, **extra}
