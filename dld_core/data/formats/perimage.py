"""What formats with one annotation file per image share: pairing with images, reading and writing files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dld_core.data.formats.files import TextFile, decode, lines_of, read_text, write_file
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, Losses, ReadOptions
from dld_core.data.formats.pairing import (
    image_folder,
    label_files,
    label_stem,
    list_images,
    pair,
    safe_name,
    without_suffix,
)
from dld_core.data.formats.problems import At, MalformedError, Problems

SNIFF_FILES, SNIFF_BYTES = 20, 65_536
_LINE_BREAK = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Texts:
    """A format with one text file per image and one line per word.

    Attributes:
        name: of the format.
        pattern: what a written file is called, given the image's stem.
        fits: whether a line looks like one of the format.
        sure: how surely a set is of the format, given the share of lines that fit.
        parse: the words of the files of a set.
        line: the line of a word; what it cannot hold, at the place given, goes to the losses.
    """

    name: str
    pattern: str
    fits: Callable[[str], bool]
    sure: Callable[[float], float]
    parse: Callable[[Sequence[TextFile], Problems, ReadOptions], list[list[AnnotatedWord]]]
    line: Callable[[AnnotatedWord, Losses, str], str]

    def likely(self, path: Path) -> float:
        """How surely a path is of this format, by the beginnings of the first files."""
        return self.sure(share_of_lines(path, self.fits))

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """Read all files together, and pair each with its image."""
        files = label_files(path, ".txt")
        texts = [TextFile(f.name, f, read_text(f, problems, options.encoding) or "") for f in files]
        words = self.parse(texts, problems, options)
        return dataset_of(self.name, path, zip(files, words, strict=True), problems, options)

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """Write one UTF-8 file per image."""
        losses.extras(self.name, dataset.extra, str(dataset.root))
        written = []
        for image, file in target_files(dataset, target, self.pattern, losses):
            losses.extras(self.name, image.extra, image.name)
            lines = (self.line(word, losses, image.place_of(word)) for word in image.words)
            write_file(file, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
            written.append(file)
        return written


def share_of_lines(path: Path, fits: Callable[[str], bool]) -> float:
    """The share of lines that fit, over the beginnings of the first txt files; 0 where there is no text."""
    total = fitting = 0
    for file in islice(label_files(path, ".txt"), SNIFF_FILES):
        lines = [line for _, line in lines_of(TextFile(file.name, file, _beginning(file)), Problems())]
        total += len(lines)
        fitting += sum(map(fits, lines))
    return fitting / total if total else 0.0


def _beginning(file: Path) -> str:
    if file.suffix.lower() != ".txt" or not os.path.isfile(file):
        return ""
    try:
        with file.open("rb") as stream:
            return decode(stream.read(SNIFF_BYTES), file, Problems()) or ""
    except OSError:
        return ""


def by_line(
    word: Callable[[str, At], AnnotatedWord],
) -> Callable[[Sequence[TextFile], Problems, ReadOptions], list[list[AnnotatedWord]]]:
    """A parser of files each line of which is a word, whatever stands on the other lines."""

    def parse(files: Sequence[TextFile], problems: Problems, _: ReadOptions) -> list[list[AnnotatedWord]]:
        places = [
            [(line, At(file.path, problems, f"line {number}")) for number, line in lines_of(file, problems)]
            for file in files
        ]
        return [words_of(word, part) for part in places]

    return parse


def words_of(word: Callable[..., AnnotatedWord], places: Iterable[tuple[Any, ...]]) -> list[AnnotatedWord]:
    """The words of some places, read by `word(*place)`; malformed ones are left out."""
    words = []
    for place in places:
        try:
            words.append(word(*place))
        except MalformedError:
            continue
    return words


def dataset_of(
    name: str,
    path: Path,
    files: Iterable[tuple[Path, list[AnnotatedWord]]],
    problems: Problems,
    options: ReadOptions,
) -> Dataset:
    """Pair annotation files, read already, with their images."""
    dataset, read = Dataset(name, path), dict(files)
    if not read:
        report_none(name, path, problems)
    folder = image_folder(path, options.images)
    images = list_images(folder)
    found = pair(list(read), images, problems)
    for (file, words), image in zip(read.items(), found, strict=True):
        if image is None:
            dataset.unpaired.append(file)
        place = image or folder / label_stem(file.name)
        dataset.images.append(
            AnnotatedImage(place, words=words, name=place.relative_to(folder).as_posix(), source=file)
        )
    if path.is_dir():  # twins of a paired image with another suffix were named in a warning already
        paired = {image.with_suffix("") for image in found if image is not None}
        dataset.unlabelled = [image for image in images if image.with_suffix("") not in paired]
    return dataset


def report_none(name: str, path: Path, problems: Problems) -> None:
    """Report that there is no file of the format."""
    fix = "give the folder that holds them, or another --format"
    At(path, problems).error("no-annotations", f"there is no file of the format {name}", fix)


def target_files(
    dataset: Dataset, target: Path, pattern: str, losses: Losses
) -> Iterator[tuple[AnnotatedImage, Path]]:
    """Each image and the file to write for it, `pattern` filled with its stem.

    Of images whose files would be one and the same, the first is kept; the others are noted losses.
    """
    seen: set[Path] = set()
    for image in dataset.images:
        name = without_suffix(safe_name(image.name))
        file = target / name.parent / pattern.format(name.name)
        if file in seen:
            losses.add("images left out: another of the same stem was written", image.name)
            continue
        seen.add(file)
        yield image, file


def one_line(text: str, losses: Losses, where: str) -> str:
    """The text with line breaks turned into spaces, since the format has one word per line."""
    if not _LINE_BREAK.search(text):
        return text
    losses.add("line breaks in texts became spaces", where)
    return _LINE_BREAK.sub(" ", text)
