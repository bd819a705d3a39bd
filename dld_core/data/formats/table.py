"""The annotation formats in one table, telling which one a path is in, and reading and writing by name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple, Protocol

from dld_core.data.formats import (
    coco,
    davar,
    doctr,
    icdar,
    labelme,
    mmocr,
    ppocrlabel,
    totaltext,
    totaltext_mat,
)
from dld_core.data.formats.files import existing, known_encoding
from dld_core.data.formats.model import Dataset, Losses, ReadOptions
from dld_core.data.formats.problems import Problems
from dld_core.errors import DataError, UnknownPartError


class Codec(Protocol):
    """How a format is told, read and written."""

    def likely(self, path: Path) -> float:
        """How surely a path is of this format: 0 (it is not) to 1. Reads little, raises nothing."""
        ...

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """All annotations of a file or folder; what is malformed is noted, and reading goes on."""
        ...

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """Write annotations to a folder, and note what cannot be kept. Returns the files written."""
        ...


class Format(NamedTuple):
    """One annotation format.

    Attributes:
        name: what users type.
        suffix: of its files.
        summary: one line for listings.
        codec: reads and writes it.
        images: where, under the target, copied images belong ("" for beside the annotations); None where
            writing makes the images.
    """

    name: str
    suffix: str
    summary: str
    codec: Codec
    images: str | None = "images"


_TABLE = (
    Format("icdar", ".txt", "ICDAR 2015: x1,y1,...,xn,yn,text per line, a file per image", icdar.ICDAR),
    Format("icdar13", ".txt", 'ICDAR 2013: x1 y1 x2 y2 "text" per line, a file per image', icdar.ICDAR13),
    Format("icdar-mlt", ".txt", "ICDAR MLT: x1,y1,...,x4,y4,script,text per line", icdar.ICDAR_MLT),
    Format("totaltext", ".txt", "Total-Text: x: [[...]], y: [[...]], ornt: [u'c'], ...", totaltext.TOTALTEXT),
    Format("totaltext-mat", ".mat", "Total-Text: a MATLAB file per image (needs scipy)", totaltext_mat),
    Format("cocotext", ".json", "COCO-Text v2: imgs, anns (mask, legibility), imgToAnns", coco.COCOTEXT),
    Format("textocr", ".json", "TextOCR: imgs, anns (points, utf8_string), imgToAnns", coco.TEXTOCR),
    Format("mmocr", ".json", "MMOCR 1.x: metainfo and data_list (textdet, textspotting)", mmocr.MMOCR),
    Format("davar", ".json", "DAVAR datalist: path -> content_ann with bboxes, cares, texts", davar.DAVAR),
    Format("doctr", ".json", "docTR detection: image -> polygons (reads both kinds)", doctr.DETECTION),
    Format("doctr-recognition", ".json", "docTR recognition: crop -> text", doctr.RECOGNITION, None),
    Format("labelme", ".json", "LabelMe: a file per image, shapes with label or description", labelme, ""),
    Format("ppocrlabel", ".txt", "PPOCRLabel: Label.txt, an image per line, path<TAB>json", ppocrlabel, ""),
)
FORMATS: dict[str, Format] = {form.name: form for form in _TABLE}
ALIASES: dict[str, str] = {
    "icdar2015": "icdar",
    "ic15": "icdar",
    "icdar15": "icdar",
    "icdar2013": "icdar13",
    "ic13": "icdar13",
    "mlt": "icdar-mlt",
    "total-text": "totaltext",
    "coco-text": "cocotext",
    "doctr-detection": "doctr",
    "ppocr": "ppocrlabel",
}


def get_format(name: str) -> Format:
    """The format of that name or alias. Raises UnknownPartError with the names there are."""
    name = ALIASES.get(name.lower(), name.lower())
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UnknownPartError(f"There is no format '{name}'; there are {', '.join(FORMATS)}.{hint}")
    return FORMATS[name]


def sniff(path: Path | str) -> str:
    """The name of the format that a file or folder is in.

    Raises:
        DataError: there is nothing at the path, or it looks like none of the formats.
    """
    target = existing(path)
    scores = {form.name: form.codec.likely(target) for form in _TABLE}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] <= 0.0:
        names = ", ".join(FORMATS)
        raise DataError(f"Cannot tell the format of {target}; name it with --format: {names}.")
    return best


def read(
    path: Path | str,
    format: str = "auto",
    *,
    images: Path | str | None = None,
    encoding: str = "utf-8",
    points: int | None = None,
    problems: Problems | None = None,
) -> Dataset:
    """Read the annotations of a file or folder.

    Args:
        path: an annotation file, or a folder that holds annotations (or has them in gt/, labels/...).
        format: a name of `FORMATS`, or "auto".
        images: the folder of the images; by default they are looked for beside the annotations.
        encoding: of text files.
        points: points per line of ICDAR txt; None: told from the set.
        problems: given a list, malformed places are noted there and left out of the data set; without
            one, any of them ends in a DataError that names the first few.

    Raises:
        DataError: see `problems`; also where nothing is at the path.
        UnknownPartError: there is no such format.
        MissingExtraError: the format needs a package that is not installed.
        ConfigError: there is no such encoding.
    """
    target = existing(path)
    found = Problems() if problems is None else problems
    options = ReadOptions(None if images is None else Path(images), known_encoding(encoding), points)
    form = get_format(sniff(target) if format == "auto" else format)
    dataset = form.codec.read(target, found, options)
    if problems is None:
        found.raise_errors(target, hint=f"`dld data check {target}` lists them all with their fixes.")
    return dataset


def write(dataset: Dataset, target: Path | str, format: str) -> Losses:
    """Write a data set's annotations into the folder `target`; returns what the format could not keep."""
    losses = Losses()
    get_format(format).codec.write(dataset, Path(target), losses)
    return losses
