"""Text to numbers, a million at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_COMMA, _MINUS, _ZERO = ord(","), ord("-"), ord("0")
_MOST_DIGITS = 15  # exact in float64


def parse_numbers(text: str) -> NDArray[np.float64]:
    """The numbers of `1,2,3,...` (a trailing comma is fine), which must all be well-formed.

    Whole numbers, the usual case, are read digit position by digit position for all numbers at once, which is
    several times faster than numpy's own reader.
    """
    text = text.rstrip(",")
    if not text:
        return np.zeros(0)
    whole = _whole_numbers(np.frombuffer(text.encode("ascii"), np.uint8))
    return np.fromstring(text, sep=",") if whole is None else whole


def _whole_numbers(characters: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """None where something is neither a digit, a comma nor a minus, or a number is very long."""
    commas = np.flatnonzero(characters == _COMMA)
    starts, ends = np.append(0, commas + 1), np.append(commas, len(characters))
    negative = characters[starts] == _MINUS
    starts += negative
    digits = characters - _ZERO  # wraps below zero, so that one comparison finds all that is no digit
    strange = np.count_nonzero(digits > 9) - len(commas) - np.count_nonzero(negative)
    lengths = ends - starts
    if strange or lengths.max() > _MOST_DIGITS:
        return None
    values = np.zeros(len(starts))
    for position in range(int(lengths.max())):
        longer = lengths > position
        values[longer] = values[longer] * 10 + digits[starts[longer] + position]
    return np.where(negative, -values, values)
