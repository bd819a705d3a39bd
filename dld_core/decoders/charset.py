"""Which characters a spotter can read, and the numbers that stand for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

PRINTABLE_ASCII = "".join(chr(code) for code in range(32, 127))
"""The 95 printable ASCII characters, space included (the paper's charset)."""


class Charset:
    """A fixed order of distinct characters.

    Args:
        characters: every character that can be read, each once.

    Raises:
        ValueError: a character occurs twice, or there are none.
    """

    def __init__(self, characters: str = PRINTABLE_ASCII) -> None:
        if not characters:
            raise ValueError("a charset needs at least one character")
        repeated = sorted({c for c in characters if characters.count(c) > 1})
        if repeated:
            raise ValueError(f"each character may occur once in a charset; repeated: {repeated}")
        self.characters = characters
        self._index = {c: i for i, c in enumerate(characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        return character in self._index

    def ids(self, text: str) -> list[int]:
        """The indices of the characters of `text`; characters outside the charset are left out."""
        return [self._index[c] for c in text if c in self._index]

    def text(self, ids: Iterable[int]) -> str:
        """The characters at these indices; indices outside [0, len) are left out."""
        return "".join(self.characters[i] for i in ids if 0 <= i < len(self.characters))


@dataclass(slots=True)
class Coverage:
    """How many words a charset can spell.

    Attributes:
        words: that are not empty.
        readable: of these, all of whose characters are in the charset.
        missing: how often each character occurs that is not.
    """

    words: int = 0
    readable: int = 0
    missing: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        shown = ", ".join(f"{c!r} (U+{ord(c):04X}, {n} times)" for c, n in self.missing.most_common(8))
        more = f" and {len(self.missing) - 8} other characters" if len(self.missing) > 8 else ""
        return f"{self.words - self.readable} of {self.words} words hold {shown}{more}"


def coverage(texts: Iterable[str], characters: str) -> Coverage:
    """Count the words that `characters` can spell, and the characters that it lacks."""
    known, found = frozenset(characters), Coverage()
    for text in filter(None, texts):
        lacking = [c for c in text if c not in known]
        found.words += 1
        found.readable += not lacking
        found.missing.update(lacking)
    return found
