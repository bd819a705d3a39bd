"""PPOCRLabel: `Label.txt`, one image per line: path, a tab, and a json list of transcription and points.

Paths count from the folder above the one that holds the file ("photos/img_1.jpg" in photos/Label.txt).
Ignore regions have the transcription "###" or "*".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dld_core.data.formats.files import read_text, split_lines, write_file
from dld_core.data.formats.jsonfile import MAX_JSON_BYTES, encode_json, parse_json
from dld_core.data.formats.jsonset import Set, image_of, word_of
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, Losses, ReadOptions
from dld_core.data.formats.pairing import ImageFinder, label_files
from dld_core.data.formats.perimage import report_none, share_of_lines, words_of
from dld_core.data.formats.polygons import pairs
from dld_core.data.formats.problems import At, Problems

DONT_CARE = ("###", "*")


def likely(path: Path) -> float:
    """How surely a path is of this format."""
    return 0.95 * any(share_of_lines(file, _fits) > 0 for file in _files(path)[:20])


def _files(path: Path) -> list[Path]:
    """Label.txt where a folder has one, else the txt files whose lines look right."""
    if os.path.isfile(path / "Label.txt"):
        return [path / "Label.txt"]
    files = label_files(path, ".txt")
    return [file for file in files if share_of_lines(file, _fits) > 0] or ([] if path.is_dir() else files)


def _fits(line: str) -> bool:
    return line.partition("\t")[2].lstrip().startswith("[")


def read(path: Path, problems: Problems, options: ReadOptions) -> Dataset:
    """Read the lines of all files."""
    into, files = Set(Dataset("ppocrlabel", path), ImageFinder(path, options.images)), _files(path)
    dataset = into.dataset
    if not files:
        report_none("ppocrlabel", path, problems)
    for file in files:
        text = read_text(file, problems, options.encoding, MAX_JSON_BYTES)
        for number, line in enumerate(split_lines(text or ""), start=1):
            if line.strip():
                dataset.images += _image(line, At(file, problems, f"line {number}"), into)
    if files:  # crop_img holds the words that the tool cut out
        unlabelled = into.finder.unlabelled(image.path for image in dataset.images)
        dataset.unlabelled = [image for image in unlabelled if image.parent.name != "crop_img"]
    return dataset


def _image(line: str, at: At, into: Set) -> list[AnnotatedImage]:
    """The image of a line; none and a reported problem where it is malformed."""
    name, tab, content = line.partition("\t")
    if not tab:
        message = "there is no tab between the path and the json"
        at.error("bad-record", message, 'write path<TAB>[{"transcription": ...}]')
        return []
    image = image_of(name.strip(), {}, at, into)
    image.name = image.name.removeprefix(f"{Path(at.file).parent.name}/")
    shapes = parse_json(content, at)
    image.words = words_of(_word, at.objects([] if shapes is None else shapes))
    return [image]


def _word(at: At, shape: dict[str, Any]) -> AnnotatedWord:
    word = word_of("ppocrlabel", at, shape, ("points",), "transcription")
    if word.extra.get("ppocrlabel.difficult") is False:
        del word.extra["ppocrlabel.difficult"]
    word.ignore = word.text in DONT_CARE or shape.get("difficult") is True
    return word


def write(dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
    """Write Label.txt."""
    losses.extras("ppocrlabel", dataset.extra, str(dataset.root))
    folder, lines = Path(os.path.abspath(target)).name, []
    for image in dataset.images:
        losses.extras("ppocrlabel", image.extra, image.name)
        name = f"{folder}/{image.name}".replace("\t", " ").replace("\n", " ").replace("\r", " ")
        shapes = [_shape(word, losses, image.place_of(word)) for word in image.words]
        lines.append(f"{name}\t".encode("utf-8", "replace") + encode_json(shapes))
    write_file(target / "Label.txt", b"".join(lines))
    return [target / "Label.txt"]


def _shape(word: AnnotatedWord, losses: Losses, where: str) -> dict[str, Any]:
    extra = losses.extras("ppocrlabel", word.extra, where)
    difficult = word.ignore and extra.get("difficult") is True
    text = word.text if difficult else losses.text(word, where, DONT_CARE)
    return {"transcription": text, "points": pairs(word.polygon), "difficult": False, **extra}
