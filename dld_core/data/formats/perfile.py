"""What formats with one file per image share: finding, pairing, reading and writing the files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from dld_core.data.formats.base import Losses, ReadOptions, place_of
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import (
    image_folder,
    is_image,
    label_files,
    label_stem,
    list_images,
    pair,
    safe_name,
)
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.textfile import decode, read_text, split_lines

ParseFile = Callable[[str, Path, Problems, ReadOptions], list[AnnotatedWord]]
FormatWord = Callable[[AnnotatedWord, Losses, str], str]
SNIFF_FILES, SNIFF_BYTES = 20, 65_536
_LINE_BREAK = re.compile(r"\r\n|\n|\r")


def read_per_image(
    name: str, path: Path, problems: Problems, options: ReadOptions, parse_file: ParseFile
) -> Dataset:
    """Read one txt file per image and pair each with its image."""

    def words_of(file: Path) -> list[AnnotatedWord]:
        text = read_text(file, problems, encoding=options.encoding)
        return [] if text is None else parse_file(text, file, problems, options)

    return per_image_dataset(name, path, label_files(path, ".txt"), problems, options, words_of)


def per_image_dataset(
    name: str,
    path: Path,
    files: Sequence[Path],
    problems: Problems,
    options: ReadOptions,
    words_of: Callable[[Path], list[AnnotatedWord]],
) -> Dataset:
    """Pair annotation files with images and read each with `words_of`."""
    dataset = Dataset(name, path)
    if not files:
        fix = "give the folder that holds them, or another --format"
        problems.error("no-annotations", path, "", f"there is no file of the format {name}", fix)
    folder = image_folder(path, options.images)
    pairing = pair(files, list_images(folder) if folder.is_dir() else [], problems)
    dataset.unlabelled = pairing.unlabelled if path.is_dir() else []
    for file, image in pairing.pairs:
        if image is None:
            dataset.unpaired.append(file)
        dataset.images.append(_annotated(image, folder, file, words_of(file)))
    return dataset


def _annotated(image: Path | None, folder: Path, file: Path, words: list[AnnotatedWord]) -> AnnotatedImage:
    path = image if image is not None else folder / label_stem(file)
    return AnnotatedImage(path, words=words, name=path.relative_to(folder).as_posix(), source=file)


def sniff_lines(path: Path, fits: Callable[[str], bool]) -> float:
    """The share of lines that fit, over the beginnings of the first files; 0 where there is no text."""
    total = fitting = 0
    for file in islice(label_files(path, ".txt"), SNIFF_FILES):
        lines = [line for _, line in split_lines(_beginning(file))]
        total += len(lines)
        fitting += sum(map(fits, lines))
    return fitting / total if total else 0.0


def _beginning(file: Path) -> str:
    if file.suffix.lower() != ".txt" or not file.is_file():
        return ""
    try:
        with file.open("rb") as stream:
            data = stream.read(SNIFF_BYTES)
    except OSError:
        return ""
    return decode(data, file, Problems(), encoding="utf-8") or ""


def target_files(
    dataset: Dataset, target: Path, pattern: str, losses: Losses
) -> Iterator[tuple[AnnotatedImage, Path]]:
    """Each image and the file to write for it (folders made), `pattern` filled with its stem.

    Of images whose files would be one and the same, the first is kept; the others are noted losses.
    """
    target.mkdir(parents=True, exist_ok=True)
    seen: set[Path] = set()
    for image in dataset.images:
        name = without_suffix(safe_name(image.name))
        file = target / name.parent / pattern.format(name.name)
        if file in seen:
            losses.add("images left out: another of the same stem was written", image.name)
            continue
        seen.add(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        yield image, file


def write_per_image(
    dataset: Dataset,
    target: Path,
    pattern: str,
    losses: Losses,
    format_word: FormatWord,
    review: Callable[[AnnotatedImage, str, Losses], None] | None = None,
) -> list[Path]:
    """Write one UTF-8 file per image, one line per word; `review` sees the text of each file."""
    written = []
    for image, file in target_files(dataset, target, pattern, losses):
        lines = [format_word(word, losses, place_of(word, image.source)) for word in image.words]
        text = "".join(f"{line}\n" for line in lines)
        if review is not None:
            review(image, text, losses)
        file.write_bytes(text.encode("utf-8", "replace"))
        written.append(file)
    return written


def without_suffix(name: Path) -> Path:
    """The name less the suffix of an image (a dot in a name without one stays: "receipt.12")."""
    return name.with_suffix("") if is_image(name) else name


def one_line(text: str, losses: Losses, where: str) -> str:
    """The text with line breaks turned into spaces, since the format has one word per line."""
    if not _LINE_BREAK.search(text):
        return text
    losses.add("line breaks in texts became spaces", where)
    return _LINE_BREAK.sub(" ", text)
