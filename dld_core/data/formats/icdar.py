"""ICDAR text files, one per image with one word per line; "###" marks ignore regions.

- 2015 (and curved sets): `x1,y1,...,xn,yn,text`, four points or any number of them. `dld evaluate` reads its
  ground truth and predictions by the same functions, the latter with a score before the text.
- 2013: `x1 y1 x2 y2 "text"` (training) and `x1, y1, x2, y2, "text"` (test), upright rectangles.
- MLT: `x1,y1,...,x4,y4,script,text`.

How many points a line of the first kind has is not written in it: a number can be a coordinate or begin the
text. The lines of the whole set decide, see `LineLayout.of`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dld_core.data.formats.files import TextFile, lines_of, read_text
from dld_core.data.formats.model import AnnotatedWord, Dataset, Losses
from dld_core.data.formats.pairing import image_folder, label_files, label_stem, list_images
from dld_core.data.formats.perimage import Texts, by_line, one_line, share_of_lines, target_files, words_of
from dld_core.data.formats.polygons import (
    MAX_COORDINATE,
    MAX_POINTS,
    NUMBER,
    bounds,
    flat,
    is_number,
    is_rectangle,
    numbers,
    rectangle,
    to_polygon,
)
from dld_core.data.formats.problems import At, MalformedError, Problems, short

DONT_CARE = "###"
SCRIPTS = frozenset(
    ["Arabic", "Bangla", "Chinese", "Hindi", "Japanese", "Korean", "Latin", "Mixed", "None", "Symbols"]
)
_LEADING = re.compile(rf"(?:[ \t]{{0,40}}+{NUMBER}[ \t]{{0,40}}+,)*+")
_SEPARATOR = re.compile(r"[ \t]*+####")  # AdelaiDet and its descendants set the text off so
_QUOTED = re.compile(r'\s*"(.*)"\s*', re.DOTALL)
_POLYGON_SHARE = 0.05  # a set has polygons where more of its lines than this begin with ten numbers
_RECTANGLE = re.compile(r"\s*([^\s,]+)[\s,]+([^\s,]+)[\s,]+([^\s,]+)[\s,]+([^\s,]+)(?:(?:\s*,\s*|\s+)(.*))?")


class Line(NamedTuple):
    """A line and what stands before its text.

    Attributes:
        number: of the line in its file.
        text: all of it.
        numbers: how many numbers with a comma behind it begins with.
        rest: what follows them.
        whole: whether the rest is one more number.
    """

    number: int
    text: str
    numbers: int
    rest: str
    whole: bool

    @classmethod
    def of(cls, number: int, text: str) -> Line:
        """Take a line apart."""
        match = _LEADING.match(text)
        end = match.end() if match else 0
        return cls(number, text, text.count(",", 0, end), text[end:], is_number(text[end:]))


@dataclass(frozen=True, slots=True)
class LineLayout:
    """How the lines of a set of files are laid out.

    Attributes:
        points: of each line: 4, or 2 (left, top, right, bottom), or another number; 0: as many as a line has
            numbers for.
        scored: whether a score in [0, 1] stands between the coordinates and the text.
        textless: whether every line consists of coordinates alone.
    """

    points: int
    scored: bool = False
    textless: bool = False

    @classmethod
    def of(cls, lines: Sequence[Line], points: int | None = None, scored: bool = False) -> LineLayout:
        """The layout that fits a whole set; `points` other than None are taken as given.

        A set has four points a line unless more than 5% of the lines whose text is no number begin with ten
        numbers, or one of them begins with twelve. Where all texts are numbers, all of the lines count.
        """
        wholes = [line.numbers + 1 for line in lines if line.whole]
        textless = not scored and bool(lines) and len(wholes) == len(lines)
        # Ten numbers alone are four points and "1,500"; other even numbers are points.
        textless = textless and not any(n % 2 for n in wholes) and any(n != 10 for n in wholes)
        if points is not None:
            return cls(points, scored, textless)
        counts = _clear_counts(lines, scored)
        if not counts:
            counts = wholes if textless else [n - 1 - scored for n in wholes if n != 10 + scored]
        long = sum(n >= 10 for n in counts)
        polygons = long > _POLYGON_SHARE * len(counts) or any(n >= 12 for n in counts)
        return cls(0 if polygons else 4, scored, textless)

    def coordinates(self, line: Line) -> int:
        """How many fields of a line are coordinates; too few or too many where it is malformed."""
        if self.points:
            return 2 * self.points
        if line.whole and not self.scored and (self.textless or line.numbers in (5, 7)):
            return line.numbers + 1
        count = line.numbers - self.scored
        if count == 7 or (count < 8 and is_number("".join(line.text.split(",", 8)[7:8]))):
            return 8  # another of the first eight should be a number
        return count - count % 2


def _clear_counts(lines: Sequence[Line], scored: bool = False) -> list[int]:
    """How many coordinates begin the lines with four points or more whose text is no number."""
    counts = (line.numbers - scored for line in lines if not line.whole)
    return [count for count in counts if count >= 8]


def parse_set(
    files: Sequence[TextFile], problems: Problems, points: int | None = None, scored: bool = False
) -> list[list[AnnotatedWord]]:
    """The words of the files of one set; malformed lines are reported and left out.

    Args:
        files: what was read.
        problems: takes what is malformed.
        points: how many points every line has, 0 for as many as it has numbers; None to tell from the set.
        scored: lines hold a score before the text, which becomes the extra "score".
    """
    parts = [(file, [Line.of(*line) for line in lines_of(file, problems)]) for file in files]
    lines = [line for _, part in parts for line in part]
    layout = LineLayout.of(lines, points, scored)
    clear = _clear_counts(lines, scored)
    quads = sum(count < 10 for count in clear)
    if points is None and 0 < quads < len(clear):
        message = f"{quads} lines of the set have four points, {len(clear) - quads} begin with more numbers"
        fix = "if these belong to the texts, say so: --points 4"
        At(files[0].path, problems).info("mixed-points", message, fix)
    places = [
        [(line, At(file.path, problems, f"line {line.number}")) for line in part] for file, part in parts
    ]
    return [words_of(lambda line, at: _word(line, layout, at), part) for part in places]


def parse(text: str, file: Path | str, problems: Problems, points: int | None = None) -> list[AnnotatedWord]:
    """The words of one file's text, as a set of its own; see `parse_set`."""
    return parse_set([TextFile(str(file), file, text)], problems, points)[0]


def _word(line: Line, layout: LineLayout, at: At) -> AnnotatedWord:
    separated = _SEPARATOR.match(line.rest)
    size = line.numbers - layout.scored if separated else layout.coordinates(line)
    needed = size + layout.scored
    bare = line.whole and not layout.scored and line.numbers == size - 1  # coordinates alone
    least = 4 if layout.points == 2 else 6
    if size % 2 or not least <= size <= 2 * MAX_POINTS or not (bare or line.numbers >= needed):
        raise _malformed(line, size, layout, at)
    fields = line.text.split(",", needed)
    values = [float(field) for field in fields[:needed]]
    extra: dict[str, Any] = {"no_text": True} if bare else {}
    if layout.scored:
        score = extra["score"] = values.pop()
        if not 0 <= score <= 1:
            message = f"the score {short(fields[size])} is not in [0, 1]"
            raise at.malformed("bad-score", message, "write a confidence")
    if not max(map(abs, values)) <= MAX_COORDINATE:
        numbers(fields[:size], at)
    text = line.rest[separated.end() :] if separated else "" if bare else unquote(fields[needed])
    polygon = rectangle(*values) if size == 4 else to_polygon(values)
    return AnnotatedWord(polygon, text, text == DONT_CARE, extra, at.line)


def _malformed(line: Line, size: int, layout: LineLayout, at: At) -> MalformedError:
    """Report what a line lacks: a coordinate among others that is no number, or some of them altogether."""
    fields = line.text.split(",", max(size, 0))
    if len(fields) > size >= 6 and any(character.isdigit() for character in fields[size - 1]):
        numbers(fields[:size], at)
    found = line.numbers + line.whole
    wanted = f"{size} coordinates" if layout.points else f"the coordinates of 3 to {MAX_POINTS} points"
    wanted += f"{', a score' if layout.scored else ''} and a text"
    hint = " (a rectangle? then --format icdar13, or --layout rectangle)" if found in (4, 5) else ""
    message = f"the line begins with {found} numbers, not with {wanted}"
    return at.malformed("wrong-count", message, f"write x1,y1,x2,y2,x3,y3,x4,y4,text{hint}")


def unquote(text: str) -> str:
    r"""The competition's rule: "..." is the transcription between the quotes, with \" and \\ unescaped."""
    quoted = _QUOTED.fullmatch(text)
    return quoted[1].replace("\\\\", "\\").replace('\\"', '"') if quoted else text


def quote(text: str) -> str:
    r"""The text between quotes, with \" and \\ escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def text_field(text: str, quads: bool = True) -> str:
    """The text as it follows the coordinates, quoted where a reader would not give it back else.

    That is so for a text in quotes, one that begins with ####, and one that begins with two numbers, or with
    one in a set that is not all `quads`.
    """
    line = Line.of(0, text)
    numeric = line.numbers > 1 or (not quads and (line.numbers > 0 or line.whole))
    return quote(text) if numeric or _QUOTED.fullmatch(text) or _SEPARATOR.match(text) else text


def _line_2015(word: AnnotatedWord, losses: Losses, where: str, quads: bool = True) -> str:
    losses.extras("icdar", word.extra, where)
    coordinates = ",".join(map(str, flat(word.polygon)))
    if word.extra.get("no_text"):
        return coordinates
    return f"{coordinates},{text_field(one_line(losses.text(word, where), losses, where), quads)}"


def _fits_2015(line: str) -> bool:
    found = Line.of(0, line)
    return found.numbers + found.whole >= 8


def _resembles_2015(line: str) -> bool:
    fields = line.split(",", 8)
    return len(fields) >= 3 and sum(map(is_number, fields[:8])) >= 2


class Icdar2015(Texts):
    """The first kind: whose lines do not say how many points they have."""

    def likely(self, path: Path) -> float:
        """How surely a path is of this format; so are files in bad shape, or empty, where nothing else
        fits.
        """
        sure = super().likely(path) or 0.1 * share_of_lines(path, _resembles_2015)
        files = [file for file in label_files(path, ".txt") if file.suffix.lower() == ".txt"]
        if sure or not files:
            return sure
        stems = {image.stem for image in list_images(image_folder(path))}
        return 0.01 * any(label_stem(file.name) != file.stem or file.stem in stems for file in files)

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """Write a set, and note the words whose points cannot be told from its files alone."""
        quads = all(len(word.polygon) == 4 for image in dataset.images for word in image.words)
        writer = replace(self, line=partial(_line_2015, quads=quads))
        written = Texts.write(writer, dataset, target, losses)
        again = parse_set([TextFile(f.name, f, read_text(f, Problems()) or "") for f in written], Problems())
        what = "point counts that cannot be told from the files (--points says them, where all have as many)"
        images = target_files(dataset, target, self.pattern, Losses())
        for (image, _), words in zip(images, again, strict=True):
            read = {word.where: len(word.polygon) for word in words}
            for number, word in enumerate(image.words, start=1):
                if read.get(f"line {number}") != len(word.polygon):
                    losses.add(what, image.place_of(word))
        return written


def _word_2013(line: str, at: At) -> AnnotatedWord:
    match = _RECTANGLE.fullmatch(line)
    if match is None:
        message = "the line does not begin with the four coordinates of a rectangle"
        raise at.malformed("wrong-count", message, 'write x1 y1 x2 y2 "text"')
    values, text = numbers(match.groups()[:4], at), unquote(match[5] or "")
    extra = {"no_text": True} if match[5] is None else {}
    return AnnotatedWord(rectangle(*values), text, text == DONT_CARE, extra, at.line)


def _line_2013(word: AnnotatedWord, losses: Losses, where: str) -> str:
    losses.extras("icdar13", word.extra, where)
    if not is_rectangle(word.polygon):
        losses.add("polygons reduced to upright rectangles", where)
    coordinates = " ".join(map(str, bounds(word.polygon)))
    if word.extra.get("no_text"):
        return coordinates
    return f"{coordinates} {quote(one_line(losses.text(word, where), losses, where))}"


def _fits_2013(line: str) -> bool:
    match = _RECTANGLE.fullmatch(line)
    if match is None or not all(map(is_number, match.groups()[:4])):
        return False
    return not is_number(re.split(r"[\s,]+", match[5] or "", maxsplit=1)[0])  # a fifth is of a third point


def _word_mlt(line: str, at: At) -> AnnotatedWord:
    fields = line.split(",", 9)
    if len(fields) < 10:
        message = f"the line has {len(fields)} fields, not 10 (eight coordinates, script, text)"
        raise at.malformed("wrong-count", message, "write x1,y1,x2,y2,x3,y3,x4,y4,script,text")
    values, script, text = numbers(fields[:8], at), fields[8].strip(), fields[9]
    if script not in SCRIPTS:
        fix = f"write one of {', '.join(sorted(SCRIPTS))}"
        at.warning("unknown-script", f"{short(script)} is none of the scripts of MLT", fix)
    return AnnotatedWord(to_polygon(values), text, text == DONT_CARE, {"language": script}, at.line)


def _line_mlt(word: AnnotatedWord, losses: Losses, where: str) -> str:
    extra = losses.extras("icdar-mlt", word.extra, where, {"language"})
    coordinates = ",".join(map(str, flat(losses.quad(word.polygon, where))))
    script = one_line(str(extra.get("language", "None")), losses, where)
    return f"{coordinates},{script},{one_line(losses.text(word, where), losses, where)}"


def _fits_mlt(line: str) -> bool:
    fields = line.split(",", 9)
    return len(fields) == 10 and all(map(is_number, fields[:8])) and fields[8].strip() in SCRIPTS


ICDAR = Icdar2015(
    "icdar",
    "gt_{}.txt",
    _fits_2015,
    lambda share: 0.8 * share,
    lambda files, problems, options: parse_set(files, problems, options.points),
    _line_2015,
)
ICDAR13 = Texts(
    "icdar13", "gt_{}.txt", _fits_2013, lambda share: 0.8 * share, by_line(_word_2013), _line_2013
)
ICDAR_MLT = Texts(  # a word of another set may well read "Korean"
    "icdar-mlt", "gt_{}.txt", _fits_mlt, lambda share: share * (share > 0.5), by_line(_word_mlt), _line_mlt
)
