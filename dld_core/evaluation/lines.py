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
from dld_core.evaluation.words import ImageWords

Layout = Literal["auto", "quad", "polygon", "rectangle"]

DONT_CARE = "###"
# Beyond any photo; larger numbers are damage, and their areas would lose digits.
LARGEST_COORDINATE = 1_000_000
_NUMBER = r"[ \t]*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[ \t]*"
_LINE = re.compile(rf"^((?:{_NUMBER},)*)(.*)$", re.MULTILINE)
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
        leading = [_leading(row) - scored + textless for row in filled]
        long = sum(count >= 10 for count in leading)
        polygons = long > _POLYGON_SHARE * len(leading) or max(leading, default=0) >= 12
        return cls("polygon" if polygons else "quad", scored, textless)

    def coordinates(self, leading: int) -> int | None:
        """How many numbers of a line are coordinates when so many lead it; None where they are too few."""
        available = leading - self.scored + self.textless
        if self.layout == "polygon":
            return available - available % 2 if available >= 6 else None
        wanted = 8 if self.layout == "quad" else 4
        return wanted if available >= wanted and not (self.textless and available > wanted) else None


def rows_of(text: str) -> list[Row]:
    """The lines of a file, empty ones included; any line ending."""
    return _LINE.findall(text.replace("\r", ""))


def words_of(file: TextFile, rows: Sequence[Row], form: LineFormat, problems: Problems) -> ImageWords:
    """The words of one file; `###` is don't-care. Faults go to `problems` with file and line."""
    counts: list[int] = []
    numbers: list[str] = []
    texts: list[str] = []
    lines: list[int] = []
    for line, row in enumerate(rows, 1):
        leading = row[0].count(",")
        wanted = form.coordinates(leading)
        if wanted is not None:
            head, text = row if leading == wanted else _cut(row, wanted + form.scored, form.textless)
            counts.append(wanted // 2)
            numbers.append(head)
            texts.append(_unquote(text) if '"' in text else text)
            lines.append(line)
        elif row != _EMPTY:
            problems.add(file.path, line, _complaint(row, form))
    values = np.fromstring("".join(numbers).rstrip(","), sep=",")
    return _pack(file, values, np.array(counts, np.int64), texts, lines, form, problems)


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


def _pack(
    file: TextFile,
    values: NDArray[np.float64],
    counts: NDArray[np.int64],
    texts: list[str],
    lines: list[int],
    form: LineFormat,
    problems: Problems,
) -> ImageWords:
    scores = None
    if form.scored:
        at = np.cumsum(counts * 2 + 1) - 1
        scores, values = values[at], np.delete(values, at)
        for index in np.flatnonzero(~((scores >= 0) & (scores <= 1))):
            problems.add(file.path, lines[index], f"the score {scores[index]:g} is not in [0, 1]")
    wild = np.flatnonzero(~(np.abs(values) <= LARGEST_COORDINATE))
    for index in dict.fromkeys(np.searchsorted(np.cumsum(counts * 2), wild, side="right").tolist()):
        problems.add(
            file.path, lines[index], f"a coordinate beyond {LARGEST_COORDINATE} pixels; mend or remove it"
        )
    points = values.reshape(-1, 2)
    if form.layout == "rectangle":
        points, counts = _corners(points), np.full(len(counts), 4, np.int64)
    return ImageWords(points, counts, texts, np.array([text == DONT_CARE for text in texts], bool), scores)


def _corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Left, top, right, bottom [2N, 2] -> corners clockwise from top left [4N, 2]."""
    left, top, right, bottom = points.reshape(-1, 4).T
    return np.stack([left, top, right, top, right, bottom, left, bottom], axis=1).reshape(-1, 2)
