"""Ground truth and predictions from folders and zips of text files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dld_core.errors import DataError
from dld_core.evaluation.archive import Problems, read_texts
from dld_core.evaluation.lines import Layout, read_lines
from dld_core.evaluation.table import WordTable
from dld_core.evaluation.words import ImageWords


def read_ground_truth(
    source: str | Path, layout: Layout = "auto", annotations: str | None = None
) -> WordTable:
    """Annotations by image name.

    Args:
        source: a folder or zip of `gt_img_N.txt` or `img_N.txt`, or what `dld data convert` reads.
        layout: of the lines of txt files.
        annotations: a format of `dld data convert` ("textocr", "auto", ...); None for the challenge's txt, or
            "auto" where the source is a file and no zip.

    Raises:
        DataError: nothing is there, or files are malformed (each fault with file and line).
    """
    path = Path(source)
    if annotations is None and path.is_file() and path.suffix.lower() != ".zip":
        annotations = "auto"
    if annotations is None:
        return _read(path, "ground truth", layout, False)
    return WordTable.of(_of_format(path, annotations))


def _of_format(path: Path, annotations: str) -> dict[str, ImageWords]:
    from dld_core.data.formats.catalogue import read

    found: dict[str, ImageWords] = {}
    for image in read(path, annotations).images:
        name = Path(image.name).stem
        if name in found:
            raise DataError(f"{path} has two images named {name}; rename one, scores go by the image's name")
        found[name] = ImageWords.of(
            [word.polygon for word in image.words],
            [word.text for word in image.words],
            [word.ignore for word in image.words],
        )
    return found


def read_predictions(source: str | Path, layout: Layout = "auto", scored: bool = False) -> WordTable:
    """Predictions by image name from `res_img_N.txt` or `img_N.txt`; `scored` where lines hold a confidence.

    Raises:
        DataError: as in `read_ground_truth`.
    """
    return _read(source, "predictions", layout, scored)


def _read(source: str | Path, what: str, layout: Layout, scored: bool) -> WordTable:
    problems = Problems()
    words = read_lines(read_texts(source, what, problems), layout, scored, problems)
    problems.raise_if_any()
    return words


def align(
    ground_truth: Mapping[str, ImageWords], predictions: Mapping[str, ImageWords]
) -> Mapping[str, ImageWords]:
    """Predictions under the names of the ground truth.

    Names that agree are kept; where some do not, images are paired by the number at the end of their names
    (`img_7` with `0000007`), as long as that is unique on both sides.

    Raises:
        DataError: some predictions have no ground truth.
    """
    if all(name in ground_truth for name in predictions):
        return predictions
    truth_by_number, found_by_number = _by_number(ground_truth), _by_number(predictions)
    if truth_by_number and found_by_number and set(found_by_number) <= set(truth_by_number):
        return {truth_by_number[number]: predictions[name] for number, name in found_by_number.items()}
    strangers = [name for name in predictions if name not in ground_truth]
    raise DataError(
        f"predictions for {len(strangers)} of {len(predictions)} images have no ground truth "
        f"({', '.join(strangers[:5])}); remove them, or name both sides alike "
        "(gt_img_7.txt and res_img_7.txt)"
    )


def _by_number(names: Mapping[str, ImageWords]) -> dict[int, str] | None:
    found: dict[int, str] = {}
    for name in names:
        digits = re.search(r"([0-9]+)$", name)
        if digits is None or int(digits.group(1)) in found:
            return None
        found[int(digits.group(1))] = name
    return found
