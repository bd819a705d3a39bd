"""Writes the bundled networks of PP-OCRv6 small anew, in fp16, from the ONNX files in the wheel of rapidocr.

pip install "dld[rapidocr]" && python docs/recipes/bundle_ppocr.py
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save_file

from dld_core.decoders.line_encoder import (
    CHARACTERS,
    HEIGHT,
    LATIN,
    Classifier,
    characters_of,
    with_characters,
)
from dld_plugins.ppocr.conversion import convert
from dld_plugins.ppocr.files import DETECTOR, ROWS

_PUNCTUATION = "–—‘’“”†‡•…‰′″€™"  # noqa: RUF001 (typographic signs are what is meant)
_LATIN_EXTENDED_B = 0x250  # the first code point beyond it


def main() -> None:
    spec = find_spec("rapidocr")
    assert spec is not None
    assert spec.origin is not None
    models = Path(spec.origin).parent / "models"
    reader = convert(models / "PP-OCRv6_rec_small.onnx", (2, 3, HEIGHT, 96))
    kept = {c for c in characters_of(reader) if ord(c) < _LATIN_EXTENDED_B} | set(_PUNCTUATION)
    for path in (LATIN, DETECTOR):
        path.parent.mkdir(exist_ok=True)
    with_characters(reader, kept).save(LATIN, half=True)
    convert(models / "PP-OCRv6_det_small.onnx", (1, 3, 64, 96)).save(DETECTOR, half=True)
    end, own = Classifier.of(reader), kept | {" "}
    rest = torch.tensor([False, *(character not in own for character in characters_of(reader))])
    rows = {
        "weight": reader.constants[end.weight][:, rest].half(),
        "bias": reader.constants[end.bias][rest],
    }
    save_file(rows, ROWS, {CHARACTERS: reader.metadata[CHARACTERS]})
    for path in (LATIN, DETECTOR, ROWS):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
