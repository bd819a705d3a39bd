"""The formats by name, telling which one a path is in, and reading and writing by name."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path

from dld_core.data.formats.base import Format, Losses, ReadOptions
from dld_core.data.formats.model import Dataset
from dld_core.data.formats.problems import Problems
from dld_core.errors import DataError, UnknownPartError

FORMATS: dict[str, str] = {
    "icdar": "icdar:IcdarFormat",
    "icdar13": "icdar13:Icdar13Format",
    "icdar-mlt": "icdar_mlt:IcdarMltFormat",
    "totaltext": "totaltext:TotalTextFormat",
    "totaltext-mat": "totaltext_mat:TotalTextMatFormat",
    "cocotext": "cocotext:CocoTextFormat",
    "textocr": "textocr:TextOcrFormat",
    "mmocr": "mmocr:MmocrFormat",
    "davar": "davar:DavarFormat",
    "doctr": "doctr:DoctrFormat",
    "doctr-recognition": "doctr_recognition:DoctrRecognitionFormat",
    "labelme": "labelme:LabelMeFormat",
    "ppocrlabel": "ppocrlabel:PpocrLabelFormat",
}
"""Name -> module and class, under dld_core.data.formats, imported on first use."""
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
    module, _, attribute = FORMATS[name].partition(":")
    kind = getattr(importlib.import_module(f"dld_core.data.formats.{module}"), attribute)
    return kind()  # type: ignore[no-any-return]


def sniff(path: Path | str) -> str:
    """The name of the format that a file or folder is in.

    Raises:
        DataError: there is nothing at the path, or it looks like none of the formats.
    """
    target = Path(path)
    if not target.exists():
        raise DataError(f"There is nothing at {target}; check the path.")
    scores = {name: get_format(name).sniff(target) for name in FORMATS}
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
        points: points per line of ICDAR txt; None: told from each file.
        problems: given a list, malformed places are noted there and left out of the data set; without
            one, any of them ends in a DataError that names the first few.

    Raises:
        DataError: see `problems`; also where nothing is at the path.
        UnknownPartError: there is no such format.
        MissingExtraError: the format needs a package that is not installed.
    """
    target = Path(path)
    if not target.exists():
        raise DataError(f"There is nothing at {target}; check the path.")
    found = Problems() if problems is None else problems
    options = ReadOptions(None if images is None else Path(images), encoding, points)
    dataset = get_format(sniff(target) if format == "auto" else format).read(target, found, options)
    if problems is None:
        found.raise_errors(target)
    return dataset


def write(dataset: Dataset, target: Path | str, format: str) -> Losses:
    """Write a data set's annotations into the folder `target`; returns what the format could not keep."""
    losses = Losses()
    get_format(format).write(dataset, Path(target), losses)
    return losses
