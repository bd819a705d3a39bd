"""Total-Text txt: `x: [[259 313 ...]], y: [[542 462 ...]], ornt: [u'c'], transcriptions: [u'PAUL']` per word.

The arrays are as numpy prints them, so a long one goes on in the next line; texts are Python literals. The
orientation is c (curved), h (horizontal), m (multi-oriented) or # (don't-care). Files of the other layout
that goes by the name, `x1,y1,...,xn,yn,text`, are read too (as ICDAR txt with any number of points).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from dld_core.data.formats import icdar
from dld_core.data.formats.base import Format, Losses, ReadOptions, own_extras
from dld_core.data.formats.coordinates import Polygon, is_rectangle, parse_numbers, plain, to_polygon
from dld_core.data.formats.model import AnnotatedWord, Dataset
from dld_core.data.formats.perfile import one_line, read_per_image, sniff_lines, write_per_image
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.textfile import split_lines

DONT_CARE = "#"
ORIENTATIONS = frozenset("chm#")
_RECORD = re.compile(
    r"\s*x:\s*\[\[(?P<x>[^\]]*)\]\]\s*,\s*y:\s*\[\[(?P<y>[^\]]*)\]\]\s*"
    r"(?:,\s*ornt:\s*\[(?P<ornt>[^\]]*)\]\s*)?(?:,\s*transcriptions:\s*\[(?P<text>.*)\]\s*)?",
    re.DOTALL,
)
_LITERAL = re.compile(r"""[uU]?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class TotalTextFormat(Format):
    """Total-Text txt."""

    name: ClassVar[str] = "totaltext"
    summary: ClassVar[str] = "Total-Text txt per image: x: [[...]], y: [[...]], ornt: [u'c'], ..."

    def sniff(self, path: Path) -> float:
        """See Format."""
        return 0.95 * (sniff_lines(path, lambda line: line.lstrip().startswith("x:")) > 0)

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format."""
        return read_per_image(self.name, path, problems, options, _parse_file)

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format."""
        return write_per_image(dataset, target, "poly_gt_{}.txt", losses, _format_word)


def _parse_file(text: str, file: Path, problems: Problems, options: ReadOptions) -> list[AnnotatedWord]:
    lines = split_lines(text)
    if lines and not any(line.lstrip().startswith("x:") for _, line in lines):
        return icdar.parse(text, file, problems, options.points)
    words = (parse_record(record, file, f"line {number}", problems) for number, record in _records(lines))
    return [word for word in words if word is not None]


def _records(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines joined so that each begins with "x:", numbered by their first line."""
    start, parts = 0, list[str]()
    for number, line in lines:
        if line.lstrip().startswith("x:") and parts:
            yield start, " ".join(parts)
            parts = []
        start = start if parts else number
        parts.append(line)
    if parts:
        yield start, " ".join(parts)


def parse_record(record: str, file: Path, where: str, problems: Problems) -> AnnotatedWord | None:
    """The word of one joined record; None and a reported problem where it is malformed."""
    match = _RECORD.fullmatch(record)
    if match is None:
        message = "this is no record of Total-Text"
        fix = "write x: [[x1 x2 ...]], y: [[y1 y2 ...]], ornt: [u'c'], transcriptions: [u'text']"
        problems.error("bad-record", file, where, message, fix)
        return None
    polygon = zip_points(_numbers(match["x"]), _numbers(match["y"]), file, where, problems)
    text = None if match["text"] is None else _literals(match["text"], file, where, problems)
    return None if polygon is None else make_word(polygon, text, _letter(match["ornt"]), where)


def make_word(polygon: Polygon, text: str | None, orientation: str, where: str) -> AnnotatedWord:
    """A word from its columns; a text of None is one that the annotations do not have."""
    extra: dict[str, object] = {"orientation": orientation} if orientation else {}
    if text is None:
        extra["no_text"] = True
    ignore = orientation == DONT_CARE or text == DONT_CARE
    return AnnotatedWord(polygon, text or "", ignore, extra, where)


def zip_points(
    xs: list[object], ys: list[object], file: Path, where: str, problems: Problems
) -> Polygon | None:
    """x and y coordinates to points; None and a reported problem where they do not fit together."""
    if len(xs) != len(ys) or len(xs) < 3:
        message = f"there are {len(xs)} x and {len(ys)} y coordinates; a polygon has 3 of each or more"
        problems.error("wrong-count", file, where, message, "write one x and one y per point")
        return None
    values = parse_numbers([v for pair in zip(xs, ys, strict=True) for v in pair], file, where, problems)
    return None if values is None else to_polygon(values)


def _numbers(text: str) -> list[object]:
    return list(re.split(r"[\s,]+", text.strip(" \t\r\n,"))) if text.strip(" \t\r\n,") else []


def _letter(text: str | None) -> str:
    match = re.search(r"[chm#]", re.sub(r"[uU]?['\"]", "", text or ""))
    return match[0] if match else ""


def _literals(text: str, file: Path, where: str, problems: Problems) -> str:
    """Python string literals to their text; several (a word with commas, split once) are joined again."""
    if not text.strip():
        return ""
    found = [_ESCAPE.sub(_known_escape, match[1]) for match in _LITERAL.finditer(text)]
    try:
        values = [str(ast.literal_eval(literal)) for literal in found]
    except (ValueError, SyntaxError):
        values = []
    if not values:
        message = f"the transcription {text.strip()!r} is not in quotes"
        problems.error("bad-record", file, where, message, "write transcriptions: [u'text']")
    return ",".join(values).encode("utf-8", "replace").decode()


def _known_escape(match: re.Match[str]) -> str:
    """An escape that Python knows as it is; a lone backslash before anything else doubled."""
    return match[0] if match[1] in "\\'\"abfnrtvx01234567NuU\n" else "\\" + match[0]


def guess_orientation(word: AnnotatedWord) -> str:
    """The letter that the annotations give, else the one that the polygon's shape suggests."""
    if word.ignore:
        return DONT_CARE
    given = word.extra.get("orientation")
    if given in ORIENTATIONS - {DONT_CARE}:
        return str(given)
    return "h" if is_rectangle(word.polygon) else "c" if len(word.polygon) > 4 else "m"


def plain_text(word: AnnotatedWord, losses: Losses, where: str) -> str:
    """The transcription, or what stands for the missing one of a don't-care word."""
    if word.ignore and word.text not in (DONT_CARE, ""):
        if word.text not in ("###", "*", "."):
            losses.add("texts of don't-care words", where)
        return DONT_CARE
    if not word.ignore and word.text == DONT_CARE:
        losses.add("words that read '#' became don't-care", where)
    return word.text or (DONT_CARE if word.ignore else "")


def _format_word(word: AnnotatedWord, losses: Losses, where: str) -> str:
    own_extras("totaltext", word.extra, frozenset({"orientation"}), losses, where)
    xs = " ".join(str(plain(x)) for x in word.polygon[:, 0])
    ys = " ".join(str(plain(y)) for y in word.polygon[:, 1])
    text = one_line(plain_text(word, losses, where), losses, where)
    return f"x: [[{xs}]], y: [[{ys}]], ornt: [u'{guess_orientation(word)}'], transcriptions: [u{text!r}]"
