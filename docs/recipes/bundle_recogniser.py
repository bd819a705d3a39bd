"""Writes the bundled recogniser anew: PP-OCRv6 small from the wheel of rapidocr, cut to Latin rows, in fp16.

python docs/recipes/bundle_recogniser.py
"""

from __future__ import annotations

from dld_core.decoders.line_encoder import HEIGHT, LATIN, characters_of, with_characters
from dld_plugins.ppocr.conversion import convert
from dld_plugins.ppocr.files import ModelFiles

_PUNCTUATION = "–—‘’“”†‡•…‰′″€™"  # noqa: RUF001 (typographic signs are what is meant)
_LATIN_EXTENDED_B = 0x250  # the first code point beyond it


def main() -> None:
    graph = convert(ModelFiles.of("small").reader, (2, 3, HEIGHT, 96))
    latin = {c for c in characters_of(graph) if ord(c) < _LATIN_EXTENDED_B}
    cut = with_characters(graph, "".join(sorted(latin)) + _PUNCTUATION)
    LATIN.parent.mkdir(exist_ok=True)
    cut.save(LATIN, half=True)
    print(f"{LATIN}: {len(characters_of(cut))} characters")


if __name__ == "__main__":
    main()
