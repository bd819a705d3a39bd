"""Total-Text: `x: [[259 313 ...]], y: [[542 462 ...]], ornt: [u'c'], transcriptions: [u'PAUL']` per word.

The arrays are as numpy prints them, so a long one goes on in the next line; texts are Python literals. The
orientation is c (curved), h (horizontal), m (multi-oriented) or # (ignore region). Files of the other layout
that goes by the name, `x1,y1,...,xn,yn,text`, are read too (as ICDAR txt with any number of points).
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from dld_core.data.formats import icdar
from dld_core.data.formats.files import MAX_LINE, TextFile, lines_of, split_lines
from dld_core.data.formats.model import AnnotatedWord, Losses, ReadOptions
from dld_core.data.formats.perimage import Texts, one_line, words_of
from dld_core.data.formats.polygons import MAX_POINTS, is_rectangle, numbers, plain, to_polygon
from dld_core.data.formats.problems import At, Problems, short

DONT_CARE = "#"
_RECORD = re.compile(
    r"\s*x:\s*\[\[(?P<x>[^\]]*)\]\]\s*,\s*y:\s*\[\[(?P<y>[^\]]*)\]\]\s*"
    r"(?:,\s*ornt:\s*\[(?P<ornt>[^\]]*)\]\s*)?(?:,\s*transcriptions:\s*\[(?P<text>.*)\]\s*)?",
    re.DOTALL,
)
_LITERAL = re.compile(r"""[uU]?('(?:[^'\\]|\\.)*+(?:'|$)|"(?:[^"\\]|\\.)*+(?:"|$))""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _begins_record(line: str) -> bool:
    return line.lstrip().startswith("x:")


def parse(files: Sequence[TextFile], problems: Problems, options: ReadOptions) -> list[list[AnnotatedWord]]:
    """The words of txt files; those without a record are read as ICDAR txt, as a set of their own."""
    records = [any(map(_begins_record, split_lines(file.text))) for file in files]
    plain_files = [file for file, record in zip(files, records, strict=True) if not record]
    others = iter(icdar.parse_set(plain_files, problems, options.points))
    return [
        words_of(_word, _records(file, problems)) if record else next(others)
        for file, record in zip(files, records, strict=True)
    ]


def _records(file: TextFile, problems: Problems) -> Iterator[tuple[str, At]]:
    """Lines joined so that each begins with "x:", with the place of their first line."""
    first, parts = 0, list[str]()
    for number, line in lines_of(file, problems):
        if _begins_record(line) and parts:
            yield " ".join(parts), At(file.path, problems, f"line {first}")
            parts = []
        first = first if parts else number
        parts.append(line)
    if parts:
        yield " ".join(parts), At(file.path, problems, f"line {first}")


def _word(record: str, at: At) -> AnnotatedWord:
    match = _RECORD.fullmatch(record) if len(record) <= MAX_LINE else None
    if match is None:
        fix = "write x: [[x1 x2 ...]], y: [[y1 y2 ...]], ornt: [u'c'], transcriptions: [u'text']"
        raise at.malformed("bad-record", "this is no record of Total-Text", fix)
    xs, ys = (re.split(r"[\s,]+", match[axis].strip(" \t\r\n,")) for axis in "xy")
    letter = re.search("[chm#]", re.sub(r"[uU]?['\"]", "", match["ornt"] or ""))
    text = None if match["text"] is None else _literals(match["text"], at)
    return make_word(xs, ys, text, letter[0] if letter else "", at)


def make_word(
    xs: Sequence[Any], ys: Sequence[Any], text: str | None, orientation: str, at: At
) -> AnnotatedWord:
    """A word from its columns; a text of None is one that the annotations do not have."""
    if len(xs) != len(ys) or not 3 <= len(xs) <= MAX_POINTS:
        message = f"there are {len(xs)} x and {len(ys)} y coordinates, not 3 to {MAX_POINTS} of each"
        raise at.malformed("wrong-count", message, "write one x and one y per point")
    values = numbers([value for pair in zip(xs, ys, strict=True) for value in pair], at)
    extra: dict[str, Any] = {"orientation": orientation} if orientation else {}
    if text is None:
        extra["no_text"] = True
    ignore = DONT_CARE in (orientation, text)
    return AnnotatedWord(to_polygon(values), text or "", ignore, extra, at.line)


def _literals(text: str, at: At) -> str:
    """Python string literals to their text; several (a word with commas, split once) are joined again."""
    if not text.strip():
        return ""
    found = [_ESCAPE.sub(_known_escape, match[1]) for match in _LITERAL.finditer(text)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of octal escapes beyond a byte
            values = [str(ast.literal_eval(literal)) for literal in found]
    except (ValueError, SyntaxError):
        values = []
    if not values:
        message = f"the transcription {short(text.strip())} is not in quotes"
        at.error("bad-record", message, "write transcriptions: [u'text']")
    return ",".join(values).encode("utf-8", "replace").decode()


def _known_escape(match: re.Match[str]) -> str:
    """An escape that Python knows as it is; a lone backslash before anything else doubled."""
    return match[0] if match[1] in "\\'\"abfnrtvx01234567NuU\n" else "\\" + match[0]


def columns(word: AnnotatedWord, losses: Losses, where: str) -> tuple[str, str]:
    """The text and the orientation to write: the letter that is known, else what the shape suggests."""
    losses.extras("totaltext", word.extra, where, {"orientation"})
    text = losses.text(word, where, (DONT_CARE,))
    letter = word.extra.get("orientation")
    if word.ignore:
        letter = DONT_CARE
    elif letter not in ("c", "h", "m"):
        letter = "h" if is_rectangle(word.polygon) else "c" if len(word.polygon) > 4 else "m"
    return text, str(letter)


def line(word: AnnotatedWord, losses: Losses, where: str) -> str:
    """The record of a word in the txt files."""
    text, letter = columns(word, losses, where)
    xs, ys = (" ".join(str(plain(value)) for value in axis) for axis in word.polygon.T)
    text = one_line(text, losses, where)
    return f"x: [[{xs}]], y: [[{ys}]], ornt: [u'{letter}'], transcriptions: [u{text!r}]"


TOTALTEXT = Texts(
    "totaltext", "poly_gt_{}.txt", _begins_record, lambda share: 0.95 * (share > 0), parse, line
)
