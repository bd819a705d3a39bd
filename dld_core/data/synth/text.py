"""What the pages say: dictionary words, sign words, names, numbers, prices, addresses, codes and symbols."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from numpy.random import Generator

from dld_core.data.synth.sampling import Weighted, chance, integer, pick, uniform
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
_PLAIN_SYMBOLS = ("&", "&", "&", "-", "+", "@", "#", "/", "*", "=", ">", "<", "!", "?", "|", "%", "$", "~")
_WRAPPERS = (("(", ")"), ("(", ")"), ('"', '"'), ("'", "'"), ("[", "]"), ("*", "*"), ("{", "}"), ("<", ">"))
_TAILS = (".", ",", ":", "!", "!", "?", ";", "...", "!!", "%", "*", "'s", "-", "/", "+", "&", "'", ")", '"')
_HEADS = ("#", "@", "(", '"', "'", "-", "*", "$", "+", "&", "/", "~", "<", ">", "^", "_")


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


def _digits(rng: Generator, count: int) -> str:
    return "".join(str(d) for d in rng.integers(0, 10, count))


def _from(rng: Generator, alphabet: str, count: int) -> str:
    return "".join(alphabet[i] for i in rng.integers(0, len(alphabet), count))


def _brand(rng: Generator) -> str:
    """A pronounceable word that no dictionary holds, like a brand."""
    word = ""
    for _ in range(integer(rng, 1, 3)):
        word += pick(rng, _LETTERS) + pick(rng, _VOWELS) + pick(rng, _SYLLABLE_ENDS)
    return word.capitalize()


def _price(rng: Generator) -> str:
    amount = str(integer(rng, 0, 99)) if chance(rng, 0.7) else f"{integer(rng, 1, 99)},{_digits(rng, 3)}"
    cents = pick(rng, (".00", ".90", ".50", ".99", ".95", "")) if chance(rng, 0.8) else "." + _digits(rng, 2)
    return (pick(rng, _CURRENCIES) if chance(rng, 0.75) else "") + amount + cents


def _time(rng: Generator) -> str:
    clock = f"{integer(rng, 0, 23)}{pick(rng, (':', '.', ':'))}{integer(rng, 0, 59):02d}"
    return pick(
        rng, (clock, clock + "pm", clock + "AM", f"{integer(rng, 1, 12)}pm", f"{integer(rng, 1, 12)}am")
    )


def _phone(rng: Generator) -> str:
    parts = (_digits(rng, 3), _digits(rng, 3), _digits(rng, 4))
    return pick(
        rng, (_digits(rng, 8), _digits(rng, 4), "-".join(parts), f"+{_digits(rng, 2)}", "".join(parts[1:]))
    )


def _date(rng: Generator) -> str:
    day, month, year = integer(rng, 1, 31), integer(rng, 1, 12), integer(rng, 1950, 2029)
    forms = (f"{day}/{month}/{year}", f"{day:02d}.{month:02d}.{year % 100:02d}", f"{day}{_MONTHS[month - 1]}")
    return pick(rng, (*forms, f"{year}", f"{year}-{month:02d}-{day:02d}", f"{day}th", f"'{year % 100:02d}"))


def _code(rng: Generator) -> str:
    upper = _LETTERS.upper()
    forms = (
        _from(rng, upper, integer(rng, 1, 3)) + _digits(rng, integer(rng, 1, 4)),
        f"{_from(rng, upper, 1)}{_digits(rng, 1)}-{_digits(rng, 2)}",
        f"#{_digits(rng, 2)}-{_digits(rng, 2)}",
        _from(rng, upper, 3) + _digits(rng, 4) + _from(rng, upper, 1),
        _digits(rng, integer(rng, 1, 2)) + _from(rng, upper, 1),
        f"{_digits(rng, 2)}/{_digits(rng, 2)}",
        f"{integer(rng, 1, 9)}x{integer(rng, 1, 99)}",
    )
    return pick(rng, forms)


def _quantity(rng: Generator) -> str:
    unit = pick(
        rng, ("%", "%", "%", "g", "kg", "ml", "L", "m", "km", "cm", "mm", "V", "W", "th", "F", "+", "hr")
    )
    number = str(integer(rng, 1, 100)) if chance(rng, 0.8) else f"{integer(rng, 0, 9)}.{integer(rng, 0, 9)}"
    return number + unit


def _number(rng: Generator) -> str:
    return (
        str(integer(rng, 0, 10 ** integer(rng, 1, 5)))
        if chance(rng, 0.85)
        else _digits(rng, integer(rng, 4, 8))
    )


def _address(rng: Generator) -> str:
    word = pick(rng, lexicon("common")).replace("'", "").lower()[:10]
    domain = pick(rng, _DOMAINS)
    forms = (
        f"www.{word}{domain}",
        f"{word}{domain}",
        f"{word[:6]}@{_brand(rng).lower()}{domain}",
        f"#{word}",
        f"@{word}",
    )
    return pick(rng, (*forms, f"/{word}", f"http://{word}{domain}", f"{word}_{_digits(rng, 2)}"))


def _soup(rng: Generator) -> str:
    """Anything, so that every character is learnt; every other time mostly punctuation."""
    return _from(rng, PRINTABLE if chance(rng, 0.5) else _RARE, integer(rng, 1, 6))


def _letters(rng: Generator) -> str:
    return _from(rng, _LETTERS, integer(rng, 1, 7))


def _compound(rng: Generator) -> str:
    joint = pick(rng, ("-", "/", "&", "-", "+", ".", "_", "|", "\\", ":"))
    return pick(rng, lexicon("signs"))[:10] + joint + pick(rng, lexicon("common"))[:10]


_NUMERIC: Weighted[Callable[[Generator], str]] = Weighted(
    [(_number, 5), (_price, 2), (_time, 1), (_phone, 1.5), (_date, 1), (_code, 2.5), (_quantity, 1.5)]
)


def _numeric(rng: Generator) -> str:
    return _NUMERIC.draw(rng)(rng)


_KINDS: Weighted[str | Callable[[Generator], str]] = Weighted(
    [
        ("common", 40),
        ("signs", 15),
        ("more", 14),
        ("names", 8),
        ("abbreviations", 4),
        (_brand, 4),
        (_numeric, 9),
        (_address, 1.2),
        (_compound, 1.0),
        (_letters, 1.5),
        (_soup, 2.2),
    ]
)
_CASED = (_brand, _letters, _compound)
_CASES = Weighted([("upper", 52), ("title", 22), ("lower", 23), ("mixed", 3)])


def set_case(rng: Generator, word: str, case: str) -> str:
    """The word in upper, title, lower or mixed case ("keep" leaves it)."""
    if case == "upper":
        return word.upper()
    if case == "title":
        return word[:1].upper() + word[1:].lower()
    if case == "lower":
        return word.lower()
    if case == "mixed":
        return "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in word)
    return word


class TextSource:
    """Draws words; those of one group share their case, as on a real sign."""

    def __init__(self, vocabulary: Path | None = None) -> None:
        self.extra = read_vocabulary(vocabulary) if vocabulary else ()

    def case(self, rng: Generator) -> str:
        """The case of a group of words."""
        return _CASES.draw(rng)

    def word(self, rng: Generator, case: str) -> str:
        """One word: 1 to 24 printable ASCII characters, no space."""
        if self.extra and chance(rng, 0.25):
            return pick(rng, self.extra)
        kind = _KINDS.draw(rng)
        if not isinstance(kind, str):
            made = kind(rng)
            return (set_case(rng, made, case) if kind in _CASED else made)[:LONGEST]
        word = pick(rng, lexicon(kind))
        if kind == "names" and case == "lower":
            case = "title"
        if kind == "abbreviations" and chance(rng, 0.8):
            case = "upper"
        return self._punctuate(rng, set_case(rng, word, case))[:LONGEST]

    def _punctuate(self, rng: Generator, word: str) -> str:
        dice = uniform(rng, 0.0, 1.0)
        if dice < 0.015:
            left, right = pick(rng, _WRAPPERS)
            return left + word + right
        if dice < 0.07:
            tail = pick(rng, _TAILS)
            return word + (tail.upper() if word.isupper() else tail)
        if dice < 0.08:
            return pick(rng, _HEADS) + word
        if dice < 0.088:
            return pick(rng, _PLAIN_SYMBOLS)
        return word
