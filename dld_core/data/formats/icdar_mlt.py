"""ICDAR multi-lingual text (MLT 2017 and 2019): `x1,y1,...,x4,y4,script,text`, one file per image."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dld_core.data.formats.base import Format, Losses, ReadOptions, marked_text, own_extras
from dld_core.data.formats.coordinates import flat, is_numeric, parse_numbers, to_polygon
from dld_core.data.formats.icdar import DONT_CARE
from dld_core.data.formats.model import AnnotatedWord, Dataset
from dld_core.data.formats.perfile import one_line, read_per_image, sniff_lines, write_per_image
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.quads import to_quad
from dld_core.data.formats.textfile import split_lines

SCRIPTS = frozenset(
    ["Arabic", "Bangla", "Chinese", "Hindi", "Japanese", "Korean", "Latin", "Mixed", "None", "Symbols"]
)


class IcdarMltFormat(Format):
    """MLT txt: four points, the script, the text."""

    name: ClassVar[str] = "icdar-mlt"
    summary: ClassVar[str] = "ICDAR MLT txt per image: x1,y1,...,x4,y4,script,text"

    def sniff(self, path: Path) -> float:
        """See Format."""
        share = sniff_lines(path, lambda line: _is_script(line.split(",")))
        return share if share > 0.5 else 0.0  # a word may well read "Korean"

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format."""
        return read_per_image(self.name, path, problems, options, _parse_file)

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format."""
        return write_per_image(dataset, target, "gt_{}.txt", losses, _format_word)


def _is_script(fields: list[str]) -> bool:
    return len(fields) >= 10 and all(map(is_numeric, fields[:8])) and fields[8].strip() in SCRIPTS


def _parse_file(text: str, file: Path, problems: Problems, options: ReadOptions) -> list[AnnotatedWord]:
    del options
    lines = split_lines(text)
    words = (_parse_line(line, file, f"line {number}", problems) for number, line in lines)
    return [word for word in words if word is not None]


def _parse_line(line: str, file: Path, where: str, problems: Problems) -> AnnotatedWord | None:
    fields = line.split(",")
    if len(fields) < 10:
        message = f"the line has {len(fields)} fields, not 10 (eight coordinates, script, text)"
        problems.error("wrong-count", file, where, message, "write x1,y1,x2,y2,x3,y3,x4,y4,script,text")
        return None
    values = parse_numbers(fields[:8], file, where, problems)
    if values is None:
        return None
    script, text = fields[8].strip(), ",".join(fields[9:])
    if script not in SCRIPTS:
        message = f"{script!r} is none of the scripts of MLT"
        problems.warning("unknown-script", file, where, message, f"write one of {', '.join(sorted(SCRIPTS))}")
    return AnnotatedWord(to_polygon(values), text, text == DONT_CARE, {"language": script}, where)


def _format_word(word: AnnotatedWord, losses: Losses, where: str) -> str:
    extra = own_extras("icdar-mlt", word.extra, frozenset({"language"}), losses, where)
    coordinates = ",".join(str(value) for value in flat(to_quad(word.polygon, losses, where)))
    text = one_line(marked_text(word, (DONT_CARE,), losses, where), losses, where)
    return f"{coordinates},{one_line(str(extra.get('language', 'None')), losses, where)},{text}"
