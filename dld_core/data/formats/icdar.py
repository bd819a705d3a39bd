"""ICDAR txt: one file per image, one word per line, `x1,y1,...,xn,yn,text`, "###" for don't-care.

The layout of the Robust Reading Competition's task 4 of 2015, with any number of points (as curved-text
sets are often passed around). A BOM, CRLF, decimals, negative numbers, commas in the text, a "####"
before the text, and quoted texts (unquoted by the competition's own rule) are understood.

How many points a line has is not written in it. A number can be a coordinate or belong to the text, so
the file as a whole decides: see `guess_quads`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from dld_core.data.formats.base import Format, Losses, ReadOptions, marked_text, own_extras, place_of
from dld_core.data.formats.coordinates import flat, is_number, is_numeric, parse_numbers, to_polygon
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import image_folder, label_files, label_stem, list_images
from dld_core.data.formats.perfile import one_line, read_per_image, sniff_lines, write_per_image
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.textfile import split_lines

DONT_CARE = "###"
_QUOTED = re.compile(r'\s*"(.*)"\s*', re.DOTALL)
_SEPARATOR = re.compile(r",\s*####")  # AdelaiDet and its descendants set the text off so


def parse(text: str, file: Path | str, problems: Problems, points: int | None = None) -> list[AnnotatedWord]:
    """The words of one file's text; malformed lines are reported and left out.

    Args:
        text: the decoded file.
        file: for messages.
        problems: where trouble goes.
        points: how many points every line has; None to tell from the file.
    """
    lines = split_lines(text)
    if points is None:
        points = 4 if guess_quads([line for _, line in lines]) else None
        _warn_if_mixed([line for _, line in lines], points, file, problems)
    words = (_parse_line(line, points, file, f"line {number}", problems) for number, line in lines)
    return [word for word in words if word is not None]


def guess_quads(lines: Sequence[str]) -> bool:
    """Whether every line has exactly four points, judged from lines whose text does not look like a number.

    Such a line with 8 or 9 numbers in front (9: "12,rue Haute" after four points) speaks for quadrilaterals,
    one with 10 or more speaks against. Without either, lines of 9 or 10 numbers do: "x1,...,y4,1,500".
    """
    clear = _clear_counts(lines)
    if clear:
        return all(leading in (8, 9) for leading in clear)
    counts = [(count_leading(fields), len(fields)) for fields in map(_fields, lines)]
    return all(total in (9, 10) for leading, total in counts if leading == total and total > 8)


def _clear_counts(lines: Sequence[str]) -> list[int]:
    """How many numbers begin each line whose text does not look like a number."""
    counts = [(count_leading(fields), len(fields)) for fields in map(_fields, lines)]
    return [leading for leading, total in counts if 8 <= leading < total]


def _fields(line: str) -> list[str]:
    return _SEPARATOR.split(line, maxsplit=1)[0].split(",")


def _warn_if_mixed(lines: Sequence[str], points: int | None, file: Path | str, problems: Problems) -> None:
    """Where lines of four and of more points stand together, a text that begins with numbers is ambiguous."""
    clear = [] if points else _clear_counts(lines)
    quads = sum(count in (8, 9) for count in clear)
    if 0 < quads < len(clear):
        message = f"{quads} lines have four points and {len(clear) - quads} begin with more numbers"
        fix = "if the numbers belong to the texts, say so: --points 4"
        problems.info("mixed-points", file, "", message, fix)


def count_leading(fields: list[str]) -> int:
    """How many fields at the front are numbers; nan and inf count only where four points need them."""
    for index, field in enumerate(fields):
        if not (is_number(field) or (index < 8 and is_numeric(field))):
            return index
    return len(fields)


def _parse_line(
    line: str, points: int | None, file: Path | str, where: str, problems: Problems
) -> AnnotatedWord | None:
    separated = _SEPARATOR.search(line)
    if separated:
        fields, text = line[: separated.start()].split(","), line[separated.end() :]
        size = len(fields)
    else:
        fields = line.split(",")
        size = 2 * points if points else _coordinates(fields)
        text = unquote(",".join(fields[size:]))
    if not _enough(fields, size, file, where, problems):
        return None
    values = parse_numbers(fields[:size], file, where, problems)
    if values is None:
        return None
    extra = {} if separated or len(fields) > size else {"no_text": True}
    return AnnotatedWord(to_polygon(values), text, text == DONT_CARE, extra, where)


def _coordinates(fields: list[str]) -> int:
    """How many fields of a line of unknown layout are coordinates: an even number, at least 8."""
    leading = count_leading(fields)
    if leading == len(fields) and leading > 8 and leading % 2 == 1:
        leading -= 1  # the text is a number
    return max(8, leading - leading % 2)


def _enough(fields: list[str], size: int, file: Path | str, where: str, problems: Problems) -> bool:
    """Whether there are as many coordinates as needed; reports a count that cannot be, in words."""
    leading = count_leading(fields[:size])
    missing = len(fields) < size or (leading < size and not _mostly_numbers(fields[leading:size]))
    if size % 2 == 0 and size >= 6 and not missing:
        return True
    found = len(fields) if size % 2 else leading
    hint = "; `--format icdar13` reads `x1 y1 x2 y2 text` rectangles" if leading == 4 else ""
    message = f"the line begins with {found} coordinate(s), not with {max(size, 6)} (x,y of each point)"
    fix = f"write x1,y1,x2,y2,x3,y3,x4,y4,text{hint}"
    problems.error("wrong-count", file, where, message, fix)
    return False


def _mostly_numbers(fields: list[str]) -> bool:
    """Whether a field that is no number stands among coordinates (a typo) rather than begins the text."""
    if len(fields) == 1:
        return any(character.isdigit() for character in fields[0])
    return sum(is_numeric(field) for field in fields) * 2 >= len(fields)


def unquote(text: str) -> str:
    r"""The competition's rule: "..." is the transcription between the quotes, with \" and \\ unescaped."""
    quoted = _QUOTED.fullmatch(text)
    return re.sub(r'\\(["\\])', r"\1", quoted[1]) if quoted else text


def quote_if_needed(text: str) -> str:
    """The text such that `unquote` gives it back."""
    return quote(text) if _QUOTED.fullmatch(text) else text


def quote(text: str) -> str:
    r"""The text between quotes, with \" and \\ escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class IcdarFormat(Format):
    """ICDAR 2015 txt with 4 or n points."""

    name: ClassVar[str] = "icdar"
    summary: ClassVar[str] = "ICDAR 2015 txt per image: x1,y1,...,xn,yn,text"

    def sniff(self, path: Path) -> float:
        """See Format. Files in bad shape, or empty, are still taken for ICDAR where nothing else fits."""
        sure = 0.8 * sniff_lines(path, lambda line: count_leading(line.split(",")) >= 8)
        return sure or 0.1 * sniff_lines(path, _resembles) or 0.01 * _named_like_labels(path)

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format."""
        return read_per_image(self.name, path, problems, options, _parse_file)

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format."""
        return write_per_image(dataset, target, "gt_{}.txt", losses, _format_word, _note_ambiguous)


def _resembles(line: str) -> bool:
    fields = line.split(",")
    return len(fields) >= 3 and sum(map(is_number, fields[:8])) >= 2


def _named_like_labels(path: Path) -> bool:
    """Whether a txt file is named gt_... or res_..., or as an image beside it."""
    files = [file for file in label_files(path, ".txt") if file.suffix.lower() == ".txt"]
    if any(label_stem(file) != file.stem for file in files):
        return True
    folder = image_folder(path)
    stems = {image.stem for image in list_images(folder)} if files and folder.is_dir() else set()
    return any(file.stem in stems for file in files)


def _parse_file(text: str, file: Path, problems: Problems, options: ReadOptions) -> list[AnnotatedWord]:
    return parse(text, file, problems, options.points)


def _note_ambiguous(image: AnnotatedImage, text: str, losses: Losses) -> None:
    """The number of points is not written, so a text that begins with numbers may be taken for points."""
    read = {word.where: word for word in parse(text, "", Problems())}
    for number, word in enumerate(image.words, start=1):
        again = read.get(f"line {number}")
        if again is None or len(again.polygon) != len(word.polygon):
            what = (
                "point counts that cannot be told from the file (--points says them, where all have as many)"
            )
            losses.add(what, place_of(word, image.source))


def _format_word(word: AnnotatedWord, losses: Losses, where: str) -> str:
    own_extras("icdar", word.extra, frozenset(), losses, where)
    coordinates = ",".join(str(value) for value in flat(word.polygon))
    if word.extra.get("no_text"):
        return coordinates
    text = one_line(marked_text(word, (DONT_CARE,), losses, where), losses, where)
    return f"{coordinates},{quote_if_needed(text)}"
