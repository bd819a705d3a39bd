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


@dataclass(frozen=True, slots=True)
class Row:
    """One line, cut where the last field begins or the first that is no number.

    Attributes:
        line: its number in the file, from 1.
        numbers: the numbers before that, each with its comma.
        rest: what follows.
    """

    line: int
    numbers: str
    rest: str

    @property
    def leading(self) -> int:
        return self.numbers.count(",")

    @property
    def textless(self) -> bool:
        """Whether the line can be read as coordinates and nothing else."""
        return self.leading % 2 == 1 and _ONE_NUMBER.fullmatch(self.rest) is not None


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
        textless = bool(rows) and not scored and all(row.textless for row in rows)
        leading = [row.leading - scored + textless for row in rows]
        if layout != "auto":
            return cls(layout, scored, textless)
        long = sum(count >= 10 for count in leading)
        polygons = long > _POLYGON_SHARE * len(leading) or max(leading, default=0) >= 12
        return cls("polygon" if polygons else "quad", scored, textless)

    def coordinates(self, row: Row) -> int | None:
        """How many of the leading numbers are coordinates; None where there are too few."""
        available = row.leading - self.scored + self.textless
        if self.layout == "polygon":
            return available - available % 2 if available >= 6 else None
        wanted = 8 if self.layout == "quad" else 4
        return wanted if available >= wanted and not (self.textless and available > wanted) else None


def rows_of(text: str) -> list[Row]:
    """The lines of a file that are not empty; any line ending."""
    found = _LINE.findall(text.replace("\r", ""))
    return [Row(number, *groups) for number, groups in enumerate(found, 1) if groups[0] or groups[1]]


def words_of(file: TextFile, rows: Sequence[Row], form: LineFormat, problems: Problems) -> ImageWords:
    """The words of one file; `###` is don't-care. Faults go to `problems` with file and line."""
    counts: list[int] = []
    numbers: list[str] = []
    texts: list[str] = []
    kept: list[int] = []
    for row in rows:
        wanted = form.coordinates(row)
        if wanted is None:
            problems.add(file.path, row.line, _complaint(row, form))
            continue
        head, text = _cut(row, wanted + form.scored, form.textless)
        counts.append(wanted // 2)
        numbers.append(head)
        texts.append(text)
        kept.append(row.line)
    values = np.fromstring("".join(numbers).rstrip(","), sep=",")
    return _pack(file, values, np.array(counts, np.int64), texts, kept, form, problems)


def _cut(row: Row, wanted: int, textless: bool) -> tuple[str, str]:
    """The wanted numbers, each with its comma, and the transcription."""
    if textless:
        return f"{row.numbers}{row.rest},", ""
    if row.leading == wanted:
        return row.numbers, _unquote(row.rest)
    fields = row.numbers.split(",")
    return ",".join(fields[:wanted]) + ",", _unquote(",".join(fields[wanted:]) + row.rest)


def _unquote(text: str) -> str:
    """A transcription in double quotes loses them and its escapes, as in the challenge's script."""
    quoted = _QUOTED.fullmatch(text) if '"' in text else None
    return quoted.group(1).replace("\\\\", "\\").replace('\\"', '"') if quoted else text


def _complaint(row: Row, form: LineFormat) -> str:
    wanted = {"quad": "8 coordinates", "polygon": "at least 6 coordinates", "rectangle": "4 coordinates"}
    need = wanted[form.layout] + (", a score" if form.scored else "") + " and a text"
    bad = row.rest.split(",", 1)[0]
    if row.textless:
        return (
            f"{row.leading + 1} numbers and no text; expected {need}: append the text, or ### for don't-care"
        )
    hint = " (left, top, right, bottom? then use --layout rectangle)" if row.leading in (4, 5) else ""
    return f"only {row.leading} numbers before {bad[:40]!r}; expected {need}, with commas between{hint}"


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
