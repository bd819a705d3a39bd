"""Which characters a spotter can read, and the numbers that stand for them."""

from __future__ import annotations

from collections.abc import Iterable

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
