"""Every problem of a data set: what its reader finds, and what is wrong with its words and images.

`check` never stops at the first problem and raises only where there is nothing at all to look at.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely

from dld_core.data.formats.files import existing, read_text
from dld_core.data.formats.jsonfile import read_json
from dld_core.data.formats.jsonset import read_header
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, ReadOptions
from dld_core.data.formats.pairing import label_files
from dld_core.data.formats.polygons import Polygon
from dld_core.data.formats.problems import At, Problem, Problems
from dld_core.data.formats.table import get_format, sniff
from dld_core.errors import DataError, ImageError
from dld_core.geometry import signed_area
from dld_core.images import open_image

Track = Callable[[Sequence[AnnotatedImage]], Iterable[AnnotatedImage]]
Size = tuple[int, int]
_INVISIBLE = frozenset({"Cf", "Zl", "Zp"})
_TURNS = {2: "mirrored", 3: "turned by 180°", 4: "flipped", 5: "mirrored and turned by 90°"}
_TURNS |= {6: "turned by 90°", 7: "mirrored and turned by 90°", 8: "turned by 90°"}


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
    target, found = existing(path), Problems()
    try:
        name = sniff(target) if format == "auto" else format
    except DataError as error:
        _check_unknown(target, str(error), found)
        return CheckReport(None, found)
    dataset = get_format(name).codec.read(target, found, options or ReadOptions())
    sizes = _check_images(dataset, found, decode_images, track)
    for image, size in zip(dataset.images, sizes, strict=True):
        _check_words(image, size, found)
    _check_names(dataset, At(dataset.root, found))
    _check_letters(dataset, At(dataset.root, found))
    return CheckReport(dataset, _without_repeats(found))


def _check_unknown(path: Path, message: str, problems: Problems) -> None:
    """Where no format fits, damage of the files is the likeliest reason."""
    files = {file: None for suffix in (".json", ".txt") for file in label_files(path, suffix)}
    for file in files:
        if file.suffix.lower() == ".json":
            read_json(file, problems)
        else:
            read_text(file, problems)
    fix = "see docs/data.md for what each looks like"
    At(path, problems).error("unknown-format", message.rstrip("."), fix)


def _without_repeats(problems: Problems) -> Problems:
    """Each problem once: a reader and a check may meet the same missing image."""
    first: dict[tuple[str, ...], Problem] = {}
    for problem in problems:
        key = (problem.code, problem.file, problem.where)
        first.setdefault(key if problem.code == "missing-image" else (*key, problem.message), problem)
    return Problems(first.values())


def _check_names(dataset: Dataset, at: At) -> None:
    """Images annotated twice, and a whole set without transcriptions."""
    first: dict[str, AnnotatedImage] = {}
    for image in dataset.images:
        earlier = first.setdefault(image.name, image)
        if earlier is not image:
            message = f"the image {image.name} was annotated already ({earlier.source}: {earlier.where})"
            place = At(image.source or "", at.problems, image.where)
            place.error("duplicate-image", message, "merge the two entries")
    words = [word for image in dataset.images for word in image.words]
    silent = sum(bool(word.extra.get("no_text")) for word in words)
    if silent:
        message = f"{silent} of {len(words)} words have no transcription field"
        at.info("no-transcriptions", message, "fine for detection; spotting needs them")


def _check_letters(dataset: Dataset, at: At) -> None:
    """Letters that the bundled models do not have, once for the whole set."""
    words = [word.text for image in dataset.images for word in image.words if not word.ignore]
    strange = [_outside_ascii(text) for text in words]
    counts = Counter(letter for letters in strange for letter in letters)
    if counts:
        most = ", ".join(f"{letter} {count} times" for letter, count in counts.most_common(10))
        message = (
            f"{sum(map(bool, strange))} of {len(words)} words hold letters outside printable ASCII, "
            f"which the bundled models cannot be taught ({len(counts)} letters: {most}"
            f"{', ...' if len(counts) > 10 else ''})"
        )
        at.warning("letters", message, "train a model whose charset has them, or write the words without")


def _outside_ascii(text: str) -> list[str]:
    return [c for c in text if not " " <= c <= "~" and c != "\ufffd" and c.isprintable()]


def _check_images(dataset: Dataset, problems: Problems, decode: bool, track: Track) -> list[Size | None]:
    """Report what is wrong with the images; the (width, height) of each, None where it is not known."""
    images = dataset.images
    sizes = {id(i): (i.width, i.height) for i in images if i.width is not None and i.height is not None}
    if images and not any(os.path.isfile(image.path) for image in images):
        message = f"none of the {len(images)} annotated images was found (looked in {images[0].path.parent})"
        fix = "pass their folder: --images DIR; only the labels are checked"
        At(dataset.root, problems).warning("no-images", message, fix)
    else:
        for image in track(images):
            size = _check_image(image, problems, decode)
            if size is not None:
                sizes[id(image)] = size
    for path in dataset.unlabelled:
        message = "no annotation speaks of this image"
        At(path, problems).warning(
            "image-without-gt", message, "annotate it (an empty file if it has no text)"
        )
    return [sizes.get(id(image)) for image in images]


def _check_image(image: AnnotatedImage, problems: Problems, decode: bool) -> Size | None:
    """The stored (width, height), or None where the image cannot be had."""
    entry, file = At(image.source or image.path, problems, image.where), At(image.path, problems)
    if not os.path.isfile(image.path):
        message = f"the image {image.name} is not there (looked for {image.path})"
        fix = "put it there, remove the annotation, or pass the right folder: --images DIR"
        entry.error("missing-image", message, fix)
        return None
    header = read_header(image.path)
    size = (header.width, header.height) if header else None
    if size is None or decode:
        try:
            height, width = open_image(image.path, exif=False).shape[:2]
            size = width, height
        except ImageError as error:
            file.error("unreadable-image", str(error).rstrip("."), "replace the file")
            return None
    if header is not None and header.orientation != 1:
        message = (
            f"EXIF orientation {header.orientation}: viewers show it {_TURNS[header.orientation]}, "
            "but labels refer to the pixels as stored"
        )
        fix = "if it was annotated in a viewer, save the image turned and without the tag"
        file.warning("exif-orientation", message, fix)
    stated = image.width or size[0], image.height or size[1]
    if stated != size:
        given, true = "x".join(map(str, stated)), "x".join(map(str, size))
        message = f"the annotations say {image.name} is {given}, but it has {true} pixels"
        entry.error("size-mismatch", message, "use the image that was annotated, or correct the size")
    return size


def _check_words(image: AnnotatedImage, size: Size | None, problems: Problems) -> None:
    """The words of one image, against its (width, height) where known."""
    seen: dict[bytes, AnnotatedWord] = {}
    for word in image.words:
        at = At(str(image.source), problems, word.where)
        if _check_shape(word.polygon, at) and size is not None:
            _check_place(word.polygon, size, at)
        _check_text(word, at)
        earlier = seen.setdefault(np.round(word.polygon, 3).tobytes(), word)
        if earlier is not word and earlier.text == word.text:
            message = f"the word {word.text!r} stands here as at {earlier.where}, with the same region"
            at.warning("duplicate-word", message, "remove one of the two")
        elif earlier is not word:
            texts = f"{earlier.text!r}, {word.text!r}"
            message = f"the region is that of {earlier.where}, but the texts differ: {texts}"
            at.warning("duplicate-region", message, "keep the right one")


def _check_shape(polygon: Polygon, at: At) -> bool:
    """Area, crossings and direction; whether there is an area at all."""
    area = signed_area(polygon)
    if abs(area) < 1e-9 and shapely.MultiPoint(polygon).convex_hull.area < 1e-9:
        at.error("zero-area", "the points enclose no area", "draw the region anew, or remove the word")
        return False
    distinct = polygon[(polygon != np.roll(polygon, 1, axis=0)).any(axis=1)]  # repeats are no crossing
    if len(distinct) >= 3 and not shapely.is_simple(shapely.linearrings(distinct)):
        reason = shapely.is_valid_reason(shapely.Polygon(polygon))
        spot = f" at {reason[reason.index('[') :]}" if "[" in reason else ""
        message = f"the outline crosses or touches itself{spot}"
        at.error("self-crossing", message, "list the points in order around the word")
    elif area < 0:
        message = "the points go round anticlockwise, so the text would be read mirrored"
        at.warning("anticlockwise", message, "list them clockwise from the start of the text")
    return True


def _check_place(polygon: Polygon, size: Size, at: At) -> None:
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]:
        message = f"the whole word lies outside of the image ({size[0]}x{size[1]})"
        at.error("outside-image", message, "correct the coordinates; is it the right image, unscaled?")
    elif left < 0 or top < 0 or right > size[0] or bottom > size[1]:
        outside = int(((polygon < 0) | (polygon > np.array(size))).any(axis=1).sum())
        message = f"{outside} of {len(polygon)} points lie outside of the image ({size[0]}x{size[1]})"
        at.warning("point-outside", message, "move them to the border of the image")


def _check_text(word: AnnotatedWord, at: At) -> None:
    if not word.ignore and not word.extra.get("no_text") and not word.text.strip():
        fix = "write what it says, or mark it as don't-care (###)"
        at.warning("empty-text", "the transcription is empty", fix)
    kinds = {character: unicodedata.category(character) for character in sorted(set(word.text))}
    control = _codes(c for c, kind in kinds.items() if kind == "Cc")
    if control:
        at.error("control-character", f"the text {word.text!r} holds {control}", "remove what is not text")
    invisible = _codes(c for c, kind in kinds.items() if kind in _INVISIBLE)
    if invisible:
        at.warning("invisible-character", f"the text {word.text!r} holds {invisible}", "remove it")
    if "\ufffd" in word.text:
        message = f"the text {word.text!r} holds U+FFFD: its encoding was broken once"
        at.warning("replacement-character", message, "write the character that was meant")
    other = _codes(sorted(set(_outside_ascii(word.text))))
    if other:
        message = f"the text {word.text!r} holds characters outside printable ASCII: {other}"
        at.info("non-ascii", message, "fine if the charset of the model has them")


def _codes(characters: Iterable[str]) -> str:
    return ", ".join(f"U+{ord(character):04X}" for character in characters)
