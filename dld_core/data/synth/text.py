"""Words of the pages: dictionary words, sign words, names, numbers, prices, addresses, codes and symbols."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from numpy.random import Generator

from dld_core.data.synth.sampling import Weighted, integer, pick
from dld_core.errors import DataError

PRINTABLE = "".join(chr(code) for code in range(33, 127))
LONGEST = 24
_RARE = "".join(c for c in PRINTABLE if not c.isalnum()) + "0123456789JQXZjqxz"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VOWELS = "aeiou"
_SYLLABLE_ENDS = ("", "", "n", "r", "s", "l", "x", "m", "t")
_DOMAINS = (".com", ".com", ".net", ".org", ".sg", ".co.uk", ".de", ".info", ".com.sg", ".io")
_CURRENCIES = ("$", "$", "$", "S$", "US$", "RM", "EUR")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_UNITS = ("%", "%", "%", "g", "kg", "ml", "L", "m", "km", "cm", "mm", "V", "W", "th", "F", "+", "hr")
_PLAIN_SYMBOLS = "&&&-+@#/*=><!?|%$~"
_WRAPPERS = (("(", ")"), ("(", ")"), ('"', '"'), ("'", "'"), ("[", "]"), ("*", "*"), ("{", "}"), ("<", ">"))
_TAILS = (".", ",", ":", "!", "!", "?", ";", "...", "!!", "%", "*", "'s", "-", "/", "+", "&", "'", ")", '"')
_HEADS = "#@(\"'-*$+&/~<>^_"


@cache
def lexicon(name: str) -> tuple[str, ...]:
    """The words of a bundled list: common, more, names, abbreviations or signs."""
    text = files("dld_core.data.synth").joinpath(f"lexicon/{name}.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """Words of a file, separated by white space; characters outside printable ASCII are left out.

    Raises:
        DataError: it cannot be read or holds no word.
    """
    try:
        raw = path.read_text(encoding="utf-8-sig", errors="replace").split()
    except OSError as error:
        raise DataError(f"cannot read the vocabulary {path}: {error.strerror}; check the path") from None
    words = tuple(w for w in ("".join(c for c in word if c in PRINTABLE)[:LONGEST] for word in raw) if w)
    if not words:
        raise DataError(
            f"the vocabulary {path} holds no word; put words into it, separated by spaces or lines"
        )
    return words


def _fill(rng: Generator, *patterns: str) -> str:
    """One of the patterns with a digit for each 0 and a capital for each A."""
    fills = {"0": "0123456789", "A": _LETTERS.upper()}
    return "".join(pick(rng, fills[c]) if c in fills else c for c in pick(rng, patterns))


def _from(rng: Generator, alphabet: str, most: int) -> str:
    return "".join(alphabet[i] for i in rng.integers(0, len(alphabet), integer(rng, 1, most)))


def _brand(rng: Generator) -> str:
    """A pronounceable word that no dictionary holds, like a brand."""
    parts = (_LETTERS, _VOWELS, _SYLLABLE_ENDS) * integer(rng, 1, 3)
    return "".join(pick(rng, part) for part in parts).capitalize()


def _price(rng: Generator) -> str:
    amount = str(integer(rng, 0, 99)) if rng.random() < 0.7 else str(integer(rng, 1, 99)) + _fill(rng, ",000")
    cents = _fill(rng, ".00") if rng.random() < 0.2 else pick(rng, (".00", ".90", ".50", ".99", ".95", ""))
    return (pick(rng, _CURRENCIES) if rng.random() < 0.75 else "") + amount + cents


def _time(rng: Generator) -> str:
    if rng.random() < 0.4:
        return f"{integer(rng, 1, 12)}{pick(rng, ('pm', 'am'))}"
    return f"{integer(rng, 0, 23)}{pick(rng, '::.')}{integer(rng, 0, 59):02d}{pick(rng, ('', 'pm', 'AM'))}"


def _phone(rng: Generator) -> str:
    return _fill(rng, "00000000", "0000", "000-000-0000", "+00", "0000000")


def _date(rng: Generator) -> str:
    day, month, year = integer(rng, 1, 31), integer(rng, 1, 12), integer(rng, 1950, 2029)
    forms = (f"{day}/{month}/{year}", f"{day:02d}.{month:02d}.{year % 100:02d}", f"{day}{_MONTHS[month - 1]}")
    return pick(rng, (*forms, f"{year}", f"{year}-{month:02d}-{day:02d}", f"{day}th", f"'{year % 100:02d}"))


def _code(rng: Generator) -> str:
    plate = "A" * integer(rng, 1, 3) + "0" * integer(rng, 1, 4)
    return _fill(rng, plate, "A0-00", "#00-00", "AAA0000A", "0A", "00A", "00/00", "0x0", "0x00")


def _quantity(rng: Generator) -> str:
    number = str(integer(rng, 1, 100)) if rng.random() < 0.8 else _fill(rng, "0.0")
    return number + pick(rng, _UNITS)


def _number(rng: Generator) -> str:
    if rng.random() < 0.15:
        return _fill(rng, "0" * integer(rng, 4, 8))
    return str(integer(rng, 0, 10 ** integer(rng, 1, 5)))


def _address(rng: Generator) -> str:
    word, domain = pick(rng, lexicon("common")).replace("'", "").lower()[:10], pick(rng, _DOMAINS)
    site, mail = f"{word}{domain}", f"{word[:6]}@{_brand(rng).lower()}{domain}"
    forms = (f"www.{site}", site, mail, f"#{word}", f"@{word}", f"/{word}", f"http://{site}", f"{word}_00")
    return _fill(rng, *forms)


def _soup(rng: Generator) -> str:
    """Anything, so that every character is learnt; every other time mostly punctuation."""
    return _from(rng, PRINTABLE if rng.random() < 0.5 else _RARE, 6)


def _letters(rng: Generator) -> str:
    return _from(rng, _LETTERS, 7)


def _compound(rng: Generator) -> str:
    return pick(rng, lexicon("signs"))[:10] + pick(rng, "-/&-+._|\\:") + pick(rng, lexicon("common"))[:10]


Maker = Callable[[Generator], str]
_NUMERIC: Weighted[Maker] = Weighted(
    (_number, _price, _time, _phone, _date, _code, _quantity), (5, 2, 1, 1.5, 1, 2.5, 1.5)
)


def _numeric(rng: Generator) -> str:
    return _NUMERIC.sample(rng)(rng)


_LISTED = Weighted(("common", "signs", "more", "names", "abbreviations"), (40, 15, 14, 8, 4))
_MADE: Weighted[Maker] = Weighted(
    (_brand, _numeric, _address, _compound, _letters, _soup), (4, 9, 1.2, 1.0, 1.5, 2.2)
)
_MADE_RATE = 0.19
_CASED = (_brand, _letters, _compound)
_CASES = Weighted(("upper", "title", "lower", "mixed"), (52, 22, 23, 3))


def set_case(rng: Generator, word: str, case: str) -> str:
    """The word in upper, title, lower or mixed case."""
    if case == "title":
        return word[:1].upper() + word[1:].lower()
    if case == "mixed":
        return "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in word)
    return word.upper() if case == "upper" else word.lower()


class TextSource:
    """Samples words; those of one group share their case, as on a real sign."""

    def __init__(self, vocabulary: Path | None = None) -> None:
        self.extra = read_vocabulary(vocabulary) if vocabulary else ()

    def case(self, rng: Generator) -> str:
        """The case of a group of words."""
        return _CASES.sample(rng)

    def word(self, rng: Generator, case: str) -> str:
        """One word: 1 to 24 printable ASCII characters, no space."""
        if self.extra and rng.random() < 0.25:
            return pick(rng, self.extra)
        if rng.random() < _MADE_RATE:
            maker = _MADE.sample(rng)
            made = maker(rng)
            return (set_case(rng, made, case) if maker in _CASED else made)[:LONGEST]
        kind = _LISTED.sample(rng)
        if kind == "names" and case == "lower":
            case = "title"
        if kind == "abbreviations" and rng.random() < 0.8:
            case = "upper"
        return _punctuated(rng, set_case(rng, pick(rng, lexicon(kind)), case))[:LONGEST]


def _punctuated(rng: Generator, word: str) -> str:
    """The word, at times with punctuation or a symbol instead."""
    kind = rng.random()
    if kind < 0.015:
        left, right = pick(rng, _WRAPPERS)
        return left + word + right
    if kind < 0.07:
        tail = pick(rng, _TAILS)
        return word + (tail.upper() if word.isupper() else tail)
    if kind < 0.08:
        return pick(rng, _HEADS) + word
    return pick(rng, _PLAIN_SYMBOLS) if kind < 0.088 else word
