"""Ground truth and predictions from folders and zips of text files, and from other annotation formats."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from dld_core.data.formats import AnnotatedWord, Problems, read
from dld_core.data.formats.files import text_files
from dld_core.data.formats.icdar import parse_set
from dld_core.data.formats.pairing import label_stem, without_prefix
from dld_core.data.formats.problems import At
from dld_core.errors import DataError
from dld_core.evaluation.words import ImageWords

Layout = Literal["auto", "quad", "polygon", "rectangle"]
_POINTS: dict[Layout, int | None] = {"auto": None, "quad": 4, "polygon": 0, "rectangle": 2}


def read_ground_truth(
    source: str | Path, layout: Layout = "auto", annotations: str | None = None
) -> dict[str, ImageWords]:
    """Annotations by image name.

    Args:
        source: a folder or zip of `gt_img_N.txt` or `img_N.txt`, or what `dld data convert` reads.
        layout: of the lines of txt files.
        annotations: a format of `dld data convert` ("textocr", "auto", ...); None for the challenge's txt, or
            "auto" where the source is a file and no zip.

    Raises:
        DataError: nothing is there, or files are malformed (each fault with file and line).
    """
    if annotations is None and os.path.isfile(source) and Path(source).suffix.lower() != ".zip":
        annotations = "auto"
    if annotations is None:
        return _read(source, "ground truth", layout, False)
    found: dict[str, ImageWords] = {}
    for image in read(source, annotations).images:
        name = Path(image.name).stem
        if name in found:
            raise DataError(
                f"{source} has two images named {name}; rename one, scores go by the image's name"
            )
        found[name] = _packed(image.words)
    return found


def read_predictions(
    source: str | Path, layout: Layout = "auto", scored: bool = False
) -> dict[str, ImageWords]:
    """Predictions by image name from `res_img_N.txt` or `img_N.txt`; `scored` where lines hold a confidence.

    Raises:
        DataError: as in `read_ground_truth`.
    """
    return _read(source, "predictions", layout, scored)


def _read(source: str | Path, what: str, layout: Layout, scored: bool) -> dict[str, ImageWords]:
    problems, images = Problems(), dict[str, ImageWords]()
    files = text_files(source, what, problems)
    words = parse_set(files, problems, _POINTS[layout], scored)
    textless = all(word.extra.get("no_text") for part in words for word in part)
    for file, part in zip(files, words, strict=True):
        name = label_stem(file.name)
        if name in images:
            message = f"another file speaks of the same image {name}"
            At(file.path, problems).error("duplicate-image", message, "keep one of them")
        for word in part:
            if word.extra.get("no_text") and not textless:
                message = f"{word.polygon.size} numbers and no text"
                fix = "append the text, or ### for an ignore region"
                At(file.path, problems, word.where).error("missing-text", message, fix)
        images[name] = _packed(part)
    problems.raise_errors(source, shown=20)
    return images


def _packed(words: list[AnnotatedWord]) -> ImageWords:
    scores = [word.extra["score"] for word in words if "score" in word.extra]
    return ImageWords(
        [word.polygon for word in words],
        [word.text for word in words],
        np.array([word.ignore for word in words], bool),
        np.array(scores) if scores else None,
    )


def align(
    ground_truth: Mapping[str, ImageWords], predictions: Mapping[str, ImageWords]
) -> Mapping[str, ImageWords]:
    """Predictions under the names of the ground truth.

    Images go by their names; where some names are not in the ground truth, by the names less all prefixes
    (`gt_x` with `x`), else by the number at the end (`img_7` with `0000007`), as long as these are unique on
    both sides.

    Raises:
        DataError: some predictions have no ground truth.
    """
    for key in (str, bare_name, _number):
        truth_by_key, found_by_key = _by_key(ground_truth, key), _by_key(predictions, key)
        if truth_by_key and found_by_key is not None and set(found_by_key) <= set(truth_by_key):
            return {truth_by_key[k]: predictions[name] for k, name in found_by_key.items()}
    strangers = [name for name in predictions if name not in ground_truth]
    raise DataError(
        f"predictions for {len(strangers)} of {len(predictions)} images have no ground truth "
        f"({', '.join(strangers[:5])}); remove them, or name both sides alike "
        "(gt_img_7.txt and res_img_7.txt)"
    )


def bare_name(name: str) -> str:
    """An image's name less all its prefixes: an image may itself be called gt_x."""
    shorter = without_prefix(name)
    return name if shorter == name else bare_name(shorter)


def _number(name: str) -> str:
    digits = re.search(r"([0-9]+)$", name)
    return digits[1].lstrip("0") or "0" if digits else ""


def _by_key(names: Mapping[str, ImageWords], key: Callable[[str], str]) -> dict[str, str] | None:
    """The names by their keys; None where they are not unique or some have none."""
    found = {key(name): name for name in names}
    return found if len(found) == len(names) and "" not in found else None
