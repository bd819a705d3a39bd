"""ICDAR 2013 focused scene text: `x1 y1 x2 y2 "text"` (training) and `x1, y1, x2, y2, "text"` (test).

Upright rectangles by their left top and right bottom corners; don't-care is "###".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from dld_core.data.formats.base import Format, Losses, ReadOptions, marked_text, own_extras
from dld_core.data.formats.coordinates import bounds, is_number, is_rectangle, parse_numbers, plain, rectangle
from dld_core.data.formats.icdar import DONT_CARE, quote, unquote
from dld_core.data.formats.model import AnnotatedWord, Dataset
from dld_core.data.formats.perfile import one_line, read_per_image, sniff_lines, write_per_image
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.textfile import split_lines

_LINE = re.compile(r"\s*([^\s,]+)[\s,]+([^\s,]+)[\s,]+([^\s,]+)[\s,]+([^\s,]+)(?:(?:\s*,\s*|\s+)(.*))?")


class Icdar13Format(Format):
    """ICDAR 2013 txt: rectangles."""

    name: ClassVar[str] = "icdar13"
    summary: ClassVar[str] = 'ICDAR 2013 txt per image: x1 y1 x2 y2 "text"'

    def sniff(self, path: Path) -> float:
        """See Format."""
        return 0.8 * sniff_lines(path, _fits)

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format."""
        return read_per_image(self.name, path, problems, options, _parse_file)

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format."""
        return write_per_image(dataset, target, "gt_{}.txt", losses, _format_word)


def _fits(line: str) -> bool:
    match = _LINE.fullmatch(line)
    if match is None or not all(map(is_number, match.groups()[:4])):
        return False
    return not is_number(re.split(r"[\s,]+", match[5] or "")[0])  # a fifth number: more than two points


def _parse_file(text: str, file: Path, problems: Problems, options: ReadOptions) -> list[AnnotatedWord]:
    del options
    lines = split_lines(text)
    words = (_parse_line(line, file, f"line {number}", problems) for number, line in lines)
    return [word for word in words if word is not None]


def _parse_line(line: str, file: Path, where: str, problems: Problems) -> AnnotatedWord | None:
    match = _LINE.fullmatch(line)
    if match is None:
        message = "the line does not begin with the four coordinates of a rectangle"
        problems.error("wrong-count", file, where, message, 'write x1 y1 x2 y2 "text"')
        return None
    values = parse_numbers(match.groups()[:4], file, where, problems)
    if values is None:
        return None
    extra = {"no_text": True} if match[5] is None else {}
    text = unquote(match[5] or "")
    return AnnotatedWord(rectangle(*values), text, text == DONT_CARE, extra, where)


def _format_word(word: AnnotatedWord, losses: Losses, where: str) -> str:
    own_extras("icdar13", word.extra, frozenset(), losses, where)
    if not is_rectangle(word.polygon):
        losses.add("polygons reduced to upright rectangles", where)
    coordinates = " ".join(str(plain(value)) for value in bounds(word.polygon))
    if word.extra.get("no_text"):
        return coordinates
    text = one_line(marked_text(word, (DONT_CARE,), losses, where), losses, where)
    return f"{coordinates} {quote(text)}"
