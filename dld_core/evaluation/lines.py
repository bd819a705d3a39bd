"""Lines `x1,y1,x2,y2,...[,score],text` of many files: polygons of any number of points, texts with commas.

Where a text starts with numbers, a line alone does not tell where the polygon ends. The set of files does:
sets of quadrilaterals hold (almost) no line with ten leading numbers, sets of longer polygons hold many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.archive import Problems, TextFile
from dld_core.evaluation.numbers import parse_numbers
from dld_core.evaluation.words import ImageWords

Layout = Literal["auto", "quad", "polygon", "rectangle"]

DONT_CARE = "###"
# Beyond any photo; larger numbers are damage, and their areas would lose digits.
LARGEST_COORDINATE = 1_000_000
# Possessive, so that the engine never backs into a number; whole numbers first, the usual case.
_NUMBER = r"[ \t]*+[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?[ \t]*+"
_LINE = re.compile(rf"^((?:-?+[0-9]++,|{_NUMBER},)*+)(.*+)", re.MULTILINE)
_ONE_NUMBER = re.compile(_NUMBER)
_QUOTED = re.compile(r'\s*"(.*)"\s*')
# A set is one of longer polygons when this share of its lines has ten leading numbers, or one has twelve.
_POLYGON_SHARE = 0.05
_EMPTY = ("", "")


# A line, cut where the last field begins or the first that is no number: the numbers before that, each with
# its comma, and what follows. Plain tuples, because a data set has very many lines.
Row = tuple[str, str]


def _leading(row: Row) -> int:
    return row[0].count(",")


def _only_coordinates(row: Row) -> bool:
    """Whether a line can be read as coordinates and nothing else."""
    return _leading(row) % 2 == 1 and _ONE_NUMBER.fullmatch(row[1]) is not None


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How the lines of a set of files are laid out.

    Attributes:
        layout: four points, any number of points, or left, top, right, bottom.
        scored: whether a confidence follows the coordinates.
        textless: whether lines are coordinates alone.
    """

    layout: Literal["quad", "polygon", "rectangle"]
    scored: bool = False
    textless: bool = False

    @classmethod
    def of(cls, rows: Sequence[Row], layout: Layout = "auto", scored: bool = False) -> LineFormat:
        """The format that fits a whole set; `layout` other than "auto" is taken as given."""
        filled = [row for row in rows if row != _EMPTY]
        textless = bool(filled) and not scored and all(_only_coordinates(row) for row in filled)
        if layout != "auto":
            return cls(layout, scored, textless)
        leading = np.array([numbers.count(",") for numbers, _ in filled], np.int64) - scored + textless
        long = np.count_nonzero(leading >= 10)
        polygons = long > _POLYGON_SHARE * len(leading) or bool((leading >= 12).any())
        return cls("polygon" if polygons else "quad", scored, textless)

    def coordinates(self, leading: int) -> int | None:
        """How many numbers of a line are coordinates when so many lead it; None where they are too few."""
        available = leading - self.scored + self.textless
        if self.layout == "polygon":
            return available - available % 2 if available >= 6 else None
        wanted = 8 if self.layout == "quad" else 4
        return wanted if available >= wanted and not (self.textless and available > wanted) else None


def rows_of(text: str) -> list[Row]:
    """The lines of a file, empty ones included save at the end; any line ending."""
    return _LINE.findall(text.replace("\r", "").rstrip("\n"))


class Sheet:
    """The lines of many files, taken apart one by one and turned into numbers all at once."""

    def __init__(self, form: LineFormat, problems: Problems) -> None:
        self.form = form
        self.problems = problems
        self._files: list[tuple[TextFile, int]] = []
        self._numbers: list[str] = []
        self._counts: list[int] = []
        self._texts: list[str] = []
        self._lines: list[int] = []

    def add(self, file: TextFile, rows: Sequence[Row]) -> None:
        """Take in one file; faulty lines go to `problems`."""
        if self._add_usual(file, rows):
            return
        before = len(self._texts)
        for line, row in enumerate(rows, 1):
            leading = row[0].count(",")
            wanted = self.form.coordinates(leading)
            if wanted is not None:
                taken = wanted + self.form.scored
                head, text = row if leading == taken else _cut(row, taken, self.form.textless)
                self._numbers.append(head)
                self._counts.append(wanted // 2)
                self._texts.append(_unquote(text) if '"' in text else text)
                self._lines.append(line)
            elif row != _EMPTY:
                self.problems.add(file.path, line, _complaint(row, self.form))
        self._files.append((file, len(self._texts) - before))

    def _add_usual(self, file: TextFile, rows: Sequence[Row]) -> bool:
        """Take in a file of lines of coordinates and a text alone, as most are; False where it is none."""
        if self.form.layout == "rectangle" or self.form.scored or self.form.textless or '"' in file.text:
            return False
        leading = [row[0].count(",") for row in rows]
        quads = leading.count(8) == len(rows)
        if not quads and (self.form.layout == "quad" or any(n < 6 or n % 2 for n in leading)):
            return False
        self._numbers += [row[0] for row in rows]
        self._texts += [row[1] for row in rows]
        self._counts += [n // 2 for n in leading]
        self._lines += range(1, len(rows) + 1)
        self._files.append((file, len(rows)))
        return True

    def words(self) -> dict[str, ImageWords]:
        """Every file's words by image; `###` is don't-care. Values out of range go to `problems`."""
        counts = np.array(self._counts, np.int64)
        values = parse_numbers("".join(self._numbers))
        scores = None
        if self.form.scored:
            at = np.cumsum(counts * 2 + 1) - 1
            scores, values = values[at], np.delete(values, at)
            self._report(
                np.flatnonzero(~((scores >= 0) & (scores <= 1))), "the score is not in [0, 1]; mend it"
            )
        wild = np.flatnonzero(~(np.abs(values) <= LARGEST_COORDINATE))
        owners = np.unique(np.searchsorted(np.cumsum(counts * 2), wild, side="right"))
        self._report(owners, f"a coordinate is beyond {LARGEST_COORDINATE} pixels; mend or remove the line")
        points = values.reshape(-1, 2)
        if self.form.layout == "rectangle":
            points, counts = _corners(points), np.full(len(counts), 4, np.int64)
        ignore = np.array([text == DONT_CARE for text in self._texts], bool)
        return self._divide(points, counts, ignore, scores)

    def _divide(
        self,
        points: NDArray[np.float64],
        counts: NDArray[np.int64],
        ignore: NDArray[np.bool_],
        scores: NDArray[np.float64] | None,
    ) -> dict[str, ImageWords]:
        ends = np.concatenate([[0], np.cumsum(counts)]).tolist()
        words: dict[str, ImageWords] = {}
        first = 0
        for file, size in self._files:
            last = first + size
            words[file.image] = ImageWords(
                points[ends[first] : ends[last]],
                counts[first:last],
                self._texts[first:last],
                ignore[first:last],
                None if scores is None else scores[first:last],
            )
            first = last
        return words

    def _report(self, words: NDArray[np.int64], what: str) -> None:
        if not len(words):
            return
        files = [file for file, size in self._files for _ in range(size)]
        for index in words.tolist():
            self.problems.add(files[index].path, self._lines[index], what)


def _cut(row: Row, wanted: int, textless: bool) -> Row:
    """The wanted numbers, each with its comma, and the transcription."""
    if textless:
        return f"{row[0]}{row[1]},", ""
    fields = row[0].split(",")
    return ",".join(fields[:wanted]) + ",", ",".join(fields[wanted:]) + row[1]


def _unquote(text: str) -> str:
    """A transcription in double quotes loses them and its escapes, as in the challenge's script."""
    quoted = _QUOTED.fullmatch(text)
    return quoted.group(1).replace("\\\\", "\\").replace('\\"', '"') if quoted else text


def _complaint(row: Row, form: LineFormat) -> str:
    leading = _leading(row)
    wanted = {"quad": "8 coordinates", "polygon": "at least 6 coordinates", "rectangle": "4 coordinates"}
    need = wanted[form.layout] + (", a score" if form.scored else "") + " and a text"
    bad = row[1].split(",", 1)[0]
    if _only_coordinates(row):
        return f"{leading + 1} numbers and no text; expected {need}: append the text, or ### for don't-care"
    hint = " (left, top, right, bottom? then use --layout rectangle)" if leading in (4, 5) else ""
    return f"only {leading} numbers before {bad[:40]!r}; expected {need}, with commas between{hint}"


def _corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Left, top, right, bottom [2N, 2] -> corners clockwise from top left [4N, 2]."""
    left, top, right, bottom = points.reshape(-1, 4).T
    return np.stack([left, top, right, top, right, bottom, left, bottom], axis=1).reshape(-1, 2)
