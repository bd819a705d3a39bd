"""LabelMe: one json per image with `shapes`; the transcription is the label, or the description.

Where a shape has a description, that is the text and the label is its class; else the label is the text.
Ignore regions have the flag "ignore" (or "difficult", "dontcare"), or the text "###". An image that is
embedded in the json is not carried along.
"""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath
from typing import Any

from dld_core.data.formats.files import write_file
from dld_core.data.formats.jsonfile import contains, encode_json, read_json
from dld_core.data.formats.jsonset import Set, image_of, size_of
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, Losses, ReadOptions, private
from dld_core.data.formats.pairing import ImageFinder, label_files
from dld_core.data.formats.perimage import report_none, target_files, words_of
from dld_core.data.formats.polygons import is_rectangle, pairs, polygon_of
from dld_core.data.formats.problems import At, MalformedError, Problems

DONT_CARE = "###"
_FLAGS = ("ignore", "difficult", "dontcare")
_POINTS = {"polygon": 3, "rectangle": 2, "oriented_rectangle": 4}
_SHAPE = frozenset({"label", "points", "shape_type", "description", "flags"})
_TOP = frozenset({"shapes", "imagePath", "imageHeight", "imageWidth", "imageData"})


def likely(path: Path) -> float:
    """How surely a path is of this format."""
    files = (file for file in label_files(path, ".json")[:20] if file.suffix.lower() == ".json")
    return 0.9 * any(contains(file, '"shapes"') and not contains(file, '"data_list"') for file in files)


def read(path: Path, problems: Problems, options: ReadOptions) -> Dataset:
    """Read the files, each with the image that it names."""
    dataset, files = Dataset("labelme", path), label_files(path, ".json")
    finder = ImageFinder(path, options.images)
    finders = {path if path.is_dir() else path.parent: finder}
    if not files:
        report_none("labelme", path, problems)
    for file in files:
        document = read_json(file, problems, options.encoding)
        if document is not None:
            beside = finders.setdefault(file.parent, ImageFinder(file.parent, options.images))
            dataset.images.append(_image(document, At(file, problems), Set(dataset, beside)))
    dataset.unlabelled = finder.unlabelled(image.path for image in dataset.images) if path.is_dir() else []
    return dataset


def _image(document: Any, at: At, into: Set) -> AnnotatedImage:
    top = at.mapping(document)
    name = PureWindowsPath(at.text(top, "imagePath")).as_posix()
    image = image_of("" if name == "." else name, {}, at, into)
    parts = image.name.split("/")
    if ".." in parts or Path(image.name).is_absolute():  # what leads to the image is no part of its name
        image.name = parts[-1]
    image.name = "/".join(part for part in image.name.split("/") if part != ".")
    image.width, image.height = at.size(top, "imageWidth"), at.size(top, "imageHeight")
    image.extra = private("labelme", {key: value for key, value in top.items() if value}, _TOP)
    if top.get("imageData"):
        image.extra["embedded image"] = True
    image.words = words_of(_word, (at / "shapes").objects(top.get("shapes")))
    return image


def _word(at: At, shape: dict[str, Any]) -> AnnotatedWord:
    kind = at.text(shape, "shape_type") or "polygon"
    if kind not in _POINTS:
        at.warning("shape-type", f"a {kind} is no region of text; it is left out", "draw a polygon")
        raise MalformedError
    points, needed = shape.get("points"), _POINTS[kind]
    count = len(points) if isinstance(points, list) else 0
    if count < needed or (kind != "polygon" and count != needed):
        message = f"a {kind} has {count} points, not {needed}{' or more' if kind == 'polygon' else ''}"
        raise (at / "points").malformed("wrong-count", message, "write [[x, y], ...]")
    polygon = polygon_of(points, at / "points")
    label, description = at.text(shape, "label"), at.text(shape, "description")
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


def write(dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
    """Write one json per image."""
    losses.extras("labelme", dataset.extra, str(dataset.root))
    written = []
    for image, file in target_files(dataset, target, "{}.json", losses):
        size = size_of(image, losses)
        document = {
            "version": "5.4.1",
            "flags": {},
            **losses.extras("labelme", image.extra, image.name),
            "shapes": [_shape(word, losses, image.place_of(word)) for word in image.words],
            "imagePath": _path_from(image, target, file),
            "imageData": None,
            **({"imageHeight": size["height"], "imageWidth": size["width"]} if size else {}),
        }
        write_file(file, encode_json(document))
        written.append(file)
    return written


def _path_from(image: AnnotatedImage, target: Path, file: Path) -> str:
    """The path LabelMe opens, from the json: the copied image, else the image where it lies."""
    copied = target / image.name
    chosen = copied if os.path.isfile(copied) or not os.path.isfile(image.path) else image.path
    try:
        return Path(os.path.relpath(chosen, file.parent)).as_posix()
    except ValueError:  # on another drive of Windows
        return Path(os.path.abspath(chosen)).as_posix()


def _shape(word: AnnotatedWord, losses: Losses, where: str) -> dict[str, Any]:
    extra = losses.extras("labelme", word.extra, where, {"class"})
    kind = extra.pop("shape_type", "rectangle" if is_rectangle(word.polygon) else "polygon")
    points = pairs(word.polygon[[0, 2]] if kind == "rectangle" else word.polygon)
    flags = dict(extra.pop("flags", {}))
    if word.ignore and word.text != DONT_CARE and not any(flags.get(flag) for flag in _FLAGS):
        flags["ignore"] = True
    if not word.ignore and word.text == DONT_CARE:
        losses.add("words that read '###' became don't-care", where)
    texts = {"label": word.text}
    if "class" in extra:
        kind_of_word = extra.pop("class")
        if word.text:
            texts = {"label": kind_of_word, "description": word.text}
        else:
            losses.add("field 'class'", where)
    return {"group_id": None, **texts, "points": points, "shape_type": kind, "flags": flags, **extra}
