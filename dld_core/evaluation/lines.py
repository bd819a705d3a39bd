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
from dld_core.evaluation.fields import Fields
from dld_core.evaluation.ragged import spans, starts_of
from dld_core.evaluation.table import WordTable

Layout = Literal["auto", "quad", "polygon", "rectangle"]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

DONT_CARE = "###"
# Beyond any photo; larger numbers are damage, and their areas would lose digits.
LARGEST_COORDINATE = 1_000_000
_QUOTED = re.compile(r'\s*"(.*)"\s*')
# A set is one of longer polygons when this share of its lines has ten leading numbers, or one has twelve.
_POLYGON_SHARE = 0.05


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
    def of(cls, fields: Fields, layout: Layout = "auto", scored: bool = False) -> LineFormat:
        """The format that fits a whole set; `layout` other than "auto" is taken as given."""
        filled = np.flatnonzero(fields.filled)
        textless = bool(len(filled)) and not scored and _only_coordinates(fields, filled)
        if layout != "auto":
            return cls(layout, scored, textless)
        leading = fields.leading[filled] - scored + textless
        long = np.count_nonzero(leading >= 10)
        polygons = long > _POLYGON_SHARE * len(leading) or bool((leading >= 12).any())
        return cls("polygon" if polygons else "quad", scored, textless)

    def coordinates(self, leading: Indices) -> Indices:
        """How many numbers of each line are coordinates when so many lead it; 0 where they are too few."""
        available = leading - self.scored + self.textless
        if self.layout == "polygon":
            return np.where(available >= 6, available - available % 2, 0)
        wanted = 8 if self.layout == "quad" else 4
        fits = available == wanted if self.textless else available >= wanted
        return np.where(fits, wanted, 0)


def _only_coordinates(fields: Fields, lines: Indices) -> bool:
    """Whether these lines can be read as coordinates and nothing else."""
    return bool((fields.leading[lines] % 2 == 1).all()) and fields.all_numbers(lines)


def read_lines(files: Sequence[TextFile], layout: Layout, scored: bool, problems: Problems) -> WordTable:
    """Every file's words by image, all files at once; `###` is don't-care. Faulty lines go to `problems`."""
    fields = Fields.of(b"".join(file.data + b"\n" for file in files) or b"\n")
    form = LineFormat.of(fields, layout, scored)
    sources = _Sources(files, np.array([file.data.count(b"\n") + 1 for file in files], np.int64), problems)
    wanted = form.coordinates(fields.leading)
    for line in np.flatnonzero((wanted == 0) & fields.filled).tolist():
        sources.report(line, _complaint(fields, line, form))
    lines = np.flatnonzero(wanted)
    taken = wanted[lines] + scored
    values = fields.numbers(spans(fields.first[lines], taken))
    scores = None
    if scored:
        at = np.cumsum(taken) - 1
        scores, values = values[at], np.delete(values, at)
    _check_range(values, scores, lines, wanted[lines], sources)
    points, counts = values.reshape(-1, 2), wanted[lines] // 2
    if form.layout == "rectangle":
        points, counts = _corners(points), np.full(len(lines), 4, np.int64)
    texts = _texts(fields, lines, taken)
    ignore = np.array([text == DONT_CARE for text in texts], bool)
    names = [file.image for file in files]
    return WordTable(names, sources.count(lines), points, counts, texts, ignore, scores)


@dataclass(frozen=True, slots=True)
class _Sources:
    """Which file a line comes from, and where to tell of its faults."""

    files: Sequence[TextFile]
    sizes: Indices
    problems: Problems

    def count(self, lines: Indices) -> Indices:
        """[files] how many of these lines (rising) each file has."""
        ends = np.searchsorted(lines, np.cumsum(self.sizes))
        return np.diff(ends, prepend=0)

    def report(self, line: int, what: str) -> None:
        """Note a fault of one line, all files' lines being counted through."""
        file = int(np.searchsorted(np.cumsum(self.sizes), line, side="right"))
        number = line - int(starts_of(self.sizes)[file]) + 1
        self.problems.add(self.files[file].path, number, what)


def _check_range(
    values: Floats, scores: Floats | None, lines: Indices, sizes: Indices, sources: _Sources
) -> None:
    """Report the lines whose score or coordinates (so many each) are out of range."""
    if scores is not None:
        for line in lines[~((scores >= 0) & (scores <= 1))].tolist():
            sources.report(line, "the score is not in [0, 1]; mend it")
    wild = np.flatnonzero(~(np.abs(values) <= LARGEST_COORDINATE))
    owners = np.unique(np.searchsorted(np.cumsum(sizes), wild, side="right"))
    for line in lines[owners].tolist():
        sources.report(line, f"a coordinate is beyond {LARGEST_COORDINATE} pixels; mend or remove the line")


def _texts(fields: Fields, lines: Indices, taken: Indices) -> list[str]:
    """The transcription of each line; one in double quotes loses them and its escapes, as in the script."""
    texts = fields.rest(lines, taken)
    if b'"' not in fields.text:
        return texts
    return [_unquote(text) if '"' in text else text for text in texts]


def _unquote(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return quoted.group(1).replace("\\\\", "\\").replace('\\"', '"') if quoted else text


def _complaint(fields: Fields, line: int, form: LineFormat) -> str:
    leading = int(fields.leading[line])
    wanted = {"quad": "8 coordinates", "polygon": "at least 6 coordinates", "rectangle": "4 coordinates"}
    need = wanted[form.layout] + (", a score" if form.scored else "") + " and a text"
    if _only_coordinates(fields, np.array([line])):
        return f"{leading + 1} numbers and no text; expected {need}: append the text, or ### for don't-care"
    bad = fields.line(line).split(b",")[leading].decode()
    hint = " (left, top, right, bottom? then use --layout rectangle)" if leading in (4, 5) else ""
    return f"only {leading} numbers before {bad[:40]!r}; expected {need}, with commas between{hint}"


def _corners(points: Floats) -> Floats:
    """Left, top, right, bottom [2N, 2] -> corners clockwise from top left [4N, 2]."""
    left, top, right, bottom = points.reshape(-1, 4).T
    return np.stack([left, top, right, top, right, bottom, left, bottom], axis=1).reshape(-1, 2)
