"""When two transcriptions count as the same word, by the rules of the ICDAR 2015 challenge.

All comparisons are of upper-cased strings (Python's `str.upper`, as in the challenge's script).
"""

from __future__ import annotations

import re
from functools import cache

# Latin letters with accents, Greek, and the inner hyphen: what word spotting takes for a word.
_LETTERS = re.compile("[a-zA-Z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01bf\u01c4-\u027f\u0386-\u03ff-]*")


def same_text(truth: str, read: str, special: str) -> bool:
    """End-to-end: equal, or equal once `truth` loses one leading, one trailing or both special characters."""
    truth, read = truth.upper(), read.upper()
    if truth == read:
        return True
    if not truth:
        return False
    starts, ends = truth[0] in special, truth[-1] in special
    return (
        (starts and truth[1:] == read)
        or (ends and truth[:-1] == read)
        or (starts and ends and truth[1:-1] == read)
    )


def spotting_form(truth: str, special: str, min_length: int) -> str | None:
    """Word spotting: the bare word of an annotation, or None where word spotting does not care for it.

    A final 's, outer hyphens and special characters go. What is left is cared for when it is one run (no
    inner space) of at least `min_length` Latin or Greek letters or hyphens.
    """
    if truth.isalpha() and truth.isascii():  # the usual case, for speed
        return truth if len(truth) >= min_length else None
    word = truth[:-2] if truth[-2:] in ("'s", "'S") else truth
    word = word.strip("-")
    word = word.translate(_spaces(special)).strip()
    if " " in word or len(word) < min_length or not _LETTERS.fullmatch(word):
        return None
    return word


@cache
def _spaces(special: str) -> dict[int, str]:
    """A table that turns special characters into spaces."""
    return {ord(character): " " for character in special}
