"""Every problem of a data set: what its reader finds, and what is wrong with its words and images.

`check` never stops at the first problem and raises only where there is nothing at all to look at.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely

from dld_core.data.formats.base import ReadOptions
from dld_core.data.formats.catalogue import get_format, sniff
from dld_core.data.formats.coordinates import Polygon
from dld_core.data.formats.imagechecks import Track, check_images
from dld_core.data.formats.jsonfile import read_json
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, signed_area
from dld_core.data.formats.pairing import label_files
from dld_core.data.formats.problems import Problem, Problems
from dld_core.data.formats.textfile import read_text
from dld_core.errors import DataError

_INVISIBLE = frozenset({"Cf", "Zl", "Zp"})


@dataclass(slots=True)
class CheckReport:
    """What `check` found.

    Attributes:
        dataset: what could be read; None where the format is not known.
        problems: all of them: first the reader's, then image by image.
    """

    dataset: Dataset | None
    problems: Problems = field(default_factory=Problems)


def check(
    path: Path | str,
    format: str = "auto",
    *,
    options: ReadOptions | None = None,
    decode_images: bool = True,
    track: Track = iter,
) -> CheckReport:
    """Check a data set.

    Args:
        path: annotation file or folder.
        format: a name of `FORMATS`, or "auto".
        options: how to read.
        decode_images: decode every image whole, which finds truncated ones; else read headers alone.
        track: wraps the images while they are read, to show how far the work is.

    Raises:
        DataError: nothing is at the path.
        UnknownPartError: there is no such format.
        MissingExtraError: the format needs a package that is not installed.
    """
    target, found = Path(path), Problems()
    if not target.exists():
        raise DataError(f"There is nothing at {target}; check the path.")
    try:
        name = sniff(target) if format == "auto" else format
    except DataError as error:
        _check_unknown(target, str(error), found)
        return CheckReport(None, found)
    dataset = get_format(name).read(target, found, options or ReadOptions())
    sizes = check_images(dataset, found, decode=decode_images, track=track)
    for image in dataset.images:
        check_words(image, sizes.get(id(image)), found)
    _check_names(dataset, found)
    return CheckReport(dataset, _without_repeats(found))


def _check_unknown(path: Path, message: str, problems: Problems) -> None:
    """Where no format fits, damage of the files is the likeliest reason."""
    files = {file: None for suffix in (".json", ".txt") for file in label_files(path, suffix)}
    for file in files:
        if file.suffix.lower() == ".json":
            read_json(file, problems)
        else:
            read_text(file, problems)
    problems.error(
        "unknown-format", path, "", message.rstrip("."), "see docs/data.md for what each looks like"
    )


def _without_repeats(problems: Problems) -> Problems:
    """Each problem once: a reader and a check may meet the same missing image."""
    first: dict[tuple[str, ...], Problem] = {}
    for problem in problems:
        key = (problem.code, problem.file, problem.where)
        first.setdefault(key if problem.code == "missing-image" else (*key, problem.message), problem)
    return Problems(list(first.values()))


def _check_names(dataset: Dataset, problems: Problems) -> None:
    """Images annotated twice, and a whole set without transcriptions."""
    first: dict[str, AnnotatedImage] = {}
    for image in dataset.images:
        earlier = first.setdefault(image.name, image)
        if earlier is not image:
            message = f"the image {image.name} was annotated already ({earlier.source}: {earlier.where})"
            problems.error(
                "duplicate-image", image.source or "", image.where, message, "merge the two entries"
            )
    words = [word for image in dataset.images for word in image.words]
    silent = sum(bool(word.extra.get("no_text")) for word in words)
    if silent:
        message = f"{silent} of {len(words)} words have no transcription field"
        problems.info(
            "no-transcriptions", dataset.root, "", message, "fine for detection; spotting needs them"
        )


def check_words(image: AnnotatedImage, size: tuple[int, int] | None, problems: Problems) -> None:
    """The words of one image, against its (width, height) where known."""
    seen: dict[bytes, AnnotatedWord] = {}
    for word in image.words:
        report = _Reporter(problems, str(image.source), word)
        if _check_shape(word, report):
            _check_place(word, size, report)
        _check_text(word, report)
        _check_repeat(word, seen, report)


@dataclass(frozen=True, slots=True)
class _Reporter:
    problems: Problems
    file: str
    word: AnnotatedWord

    def error(self, code: str, message: str, fix: str) -> None:
        self.problems.error(code, self.file, self.word.where, message, fix)

    def warning(self, code: str, message: str, fix: str) -> None:
        self.problems.warning(code, self.file, self.word.where, message, fix)

    def info(self, code: str, message: str, fix: str) -> None:
        self.problems.info(code, self.file, self.word.where, message, fix)


def _check_shape(word: AnnotatedWord, report: _Reporter) -> bool:
    """Area, crossings and direction; whether there is an area at all."""
    area = signed_area(word.polygon)
    if abs(area) < 1e-9 and shapely.MultiPoint(word.polygon).convex_hull.area < 1e-9:
        report.error("zero-area", "the points enclose no area", "draw the region anew, or remove the word")
        return False
    if not (_is_simple(word.polygon) or _is_simple(_distinct(word.polygon))):
        reason = shapely.is_valid_reason(shapely.Polygon(word.polygon))
        spot = reason[reason.index("[") :] if "[" in reason else ""
        message = f"the outline crosses or touches itself{f' at {spot}' if spot else ''}"
        report.error("self-crossing", message, "list the points in order around the word")
    elif area < 0:
        message = "the points go round anticlockwise, so the text would be read mirrored"
        report.warning("anticlockwise", message, "list them clockwise from the start of the text")
    return True


def _is_simple(polygon: Polygon) -> bool:
    return bool(shapely.is_simple(shapely.linearrings(polygon)))


def _distinct(polygon: Polygon) -> Polygon:
    """Points without immediate repeats, which are no crossing."""
    same = (polygon == np.roll(polygon, 1, axis=0)).all(axis=1)
    kept = polygon[~same]
    return kept if len(kept) >= 3 else polygon


def _check_place(word: AnnotatedWord, size: tuple[int, int] | None, report: _Reporter) -> None:
    if size is None:
        return
    (left, top), (right, bottom) = word.polygon.min(axis=0), word.polygon.max(axis=0)
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]:
        message = f"the whole word lies outside of the image ({size[0]}x{size[1]})"
        report.error("outside-image", message, "correct the coordinates; is it the right image, unscaled?")
    elif left < 0 or top < 0 or right > size[0] or bottom > size[1]:
        outside = int(((word.polygon < 0) | (word.polygon > np.array(size))).any(axis=1).sum())
        message = f"{outside} of {len(word.polygon)} points lie outside of the image ({size[0]}x{size[1]})"
        report.warning("point-outside", message, "move them to the border of the image")


def _check_text(word: AnnotatedWord, report: _Reporter) -> None:
    if not word.ignore and not word.extra.get("no_text") and not word.text.strip():
        fix = "write what it says, or mark it as don't-care (###)"
        report.warning("empty-text", "the transcription is empty", fix)
    control = _codes(c for c in word.text if unicodedata.category(c) == "Cc")
    if control:
        report.error(
            "control-character", f"the text {word.text!r} holds {control}", "remove what is not text"
        )
    invisible = _codes(c for c in word.text if unicodedata.category(c) in _INVISIBLE)
    if invisible:
        report.warning("invisible-character", f"the text {word.text!r} holds {invisible}", "remove it")
    if "\ufffd" in word.text:
        message = f"the text {word.text!r} holds U+FFFD: its encoding was broken once"
        report.warning("replacement-character", message, "write the character that was meant")
    other = _codes(c for c in word.text if not " " <= c <= "~" and c != "\ufffd" and c.isprintable())
    if other:
        message = f"the text {word.text!r} holds characters outside printable ASCII: {other}"
        report.info("non-ascii", message, "fine if the charset of the model has them")


def _codes(characters: Iterable[str]) -> str:
    return ", ".join(f"U+{ord(c):04X}" for c in sorted(set(characters)))


def _check_repeat(word: AnnotatedWord, seen: dict[bytes, AnnotatedWord], report: _Reporter) -> None:
    earlier = seen.setdefault(np.round(word.polygon, 3).tobytes(), word)
    if earlier is word:
        return
    if earlier.text == word.text:
        message = f"the word {word.text!r} stands here as at {earlier.where}, with the same region"
        report.warning("duplicate-word", message, "remove one of the two")
    else:
        message = (
            f"the region is that of {earlier.where}, but the texts differ: {earlier.text!r}, {word.text!r}"
        )
        report.warning("duplicate-region", message, "keep the right one")
