"""Where the lines of a text, and the fields between their commas, begin and end: all of them in one pass.

Whole numbers, which nearly all fields in front of a transcription are, are read on the way. A line that the
quick pass cannot be sure of (spaces, decimals, exponents) is looked at by itself, by the exact grammar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.numbers import whole_numbers

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

_COMMA, _NEWLINE = ord(","), ord("\n")
# Possessive, so that the engine never backs into a number; whole numbers first, the usual case.
_NUMBER = rb"[ \t]*+[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?[ \t]*+"
_LEADING = re.compile(rb"(?:-?+[0-9]++,|%b,)*+" % _NUMBER)
_ONE_NUMBER = re.compile(_NUMBER)
# What a number may begin with. Other fields are no numbers, whatever follows.
_MAY_BEGIN_NUMBER = np.isin(np.arange(256), np.frombuffer(b" \t+-.0123456789", np.uint8))


@dataclass(frozen=True, slots=True)
class Fields:
    """The L lines of a text and their F fields.

    Attributes:
        text: UTF-8, lines ended by a newline, the last one too.
        begins, ends: [F] where each field lies in the text.
        values: [F] whole numbers; NaN for every other field.
        first, last: [L] the first and the last field of each line.
        leading: [L] how many numbers with a comma behind stand in front of each line.
    """

    text: bytes
    begins: Indices
    ends: Indices
    values: Floats
    first: Indices
    last: Indices
    leading: Indices

    @classmethod
    def of(cls, text: bytes) -> Fields:
        """Take a text apart."""
        characters = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero((characters == _COMMA) | (characters == _NEWLINE))
        begins = np.append(0, ends[:-1] + 1)
        values = whole_numbers(text, begins, ends)
        ends_line = characters[ends] == _NEWLINE
        last = np.flatnonzero(ends_line)
        first = np.append(0, last[:-1] + 1)
        # The first field of each line that is no number with a comma behind; its last field is none at least.
        stops = np.flatnonzero(ends_line | np.isnan(values))
        stops = stops[np.append(True, ends_line[stops[:-1]])]
        leading = stops - first
        doubtful = (stops != last) & _MAY_BEGIN_NUMBER[characters[begins[stops]]]
        for line in np.flatnonzero(doubtful).tolist():
            leading[line] = _leading(text, int(begins[first[line]]))
        return cls(text, begins, ends, values, first, last, leading)

    @property
    def filled(self) -> NDArray[np.bool_]:
        """[L] which lines are not empty."""
        filled: NDArray[np.bool_] = self.begins[self.first] != self.ends[self.last]
        return filled

    def line(self, index: int) -> bytes:
        """One line, without its newline."""
        return self.text[self.begins[self.first[index]] : self.ends[self.last[index]]]

    def all_numbers(self, lines: Indices) -> bool:
        """Whether these lines are numbers alone, down to their last field."""
        last = self.last[lines]
        if not np.array_equal(self.leading[lines], last - self.first[lines]):
            return False
        doubtful = last[np.isnan(self.values[last])].tolist()
        return all(_ONE_NUMBER.fullmatch(self.text, self.begins[i], self.ends[i]) for i in doubtful)

    def numbers(self, chosen: Indices) -> Floats:
        """The values [M] of fields that are numbers by the exact grammar."""
        values = self.values[chosen]
        for place in np.flatnonzero(np.isnan(values)).tolist():
            field = chosen[place]
            values[place] = float(self.text[self.begins[field] : self.ends[field]])
        return values

    def rest(self, lines: Indices, skipped: Indices) -> list[str]:
        """What follows the first `skipped` [M] fields of these lines [M]."""
        if not len(lines):
            return []
        stop = self.ends[self.last[lines]]
        start = np.minimum(np.append(self.begins, len(self.text))[self.first[lines] + skipped], stop)
        cuts = zip(start.tolist(), stop.tolist(), strict=True)
        return b"\n".join([self.text[a:b] for a, b in cuts]).decode().split("\n")


def _leading(text: bytes, start: int) -> int:
    """How many numbers with a comma behind follow each other from here."""
    found = _LEADING.match(text, start)
    return found.group().count(b",") if found else 0
