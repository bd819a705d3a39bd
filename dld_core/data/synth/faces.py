"""Font files: their faces, and which of them draw Latin text.

Fonts of symbols, icons and other scripts are recognised by rendering them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from dld_core.data.photometric import Image
from dld_core.data.synth.text import PRINTABLE

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DISTINCT = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
_PROBE = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghkmnpqrt2345678"
_LIKE_LATIN = 0.6
_TEMPLATE = 20
_SIZE = 32  # pixels at which fonts are looked at
_NOT_FOR_READING = re.compile(
    r"symbol|emoji|dingbat|math|music|icon|wingding|awesome|barcode|phonetic|braille|jsmath|stixsize|stixnonuni"
    r"|stixvar|stixint|d050000l|lastresort|fallback|musix|chess|ellhnikh|ellen[ib]|emmentaler|feta|phon|babel"
    r"|conakry|abecedario|nushu|alfa-beta|opendyslexic",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Face:
    """One usable font file.

    Attributes:
        path: the file.
        family: key of its family; sampling is even over families, not files.
        capital: height of a capital letter, as a fraction of the font size.
        missing: printable ASCII characters that it cannot draw.
    """

    path: str
    family: str
    capital: float
    missing: frozenset[str] = frozenset()

    def can_draw(self, text: str) -> bool:
        """Whether every character has a glyph."""
        return self.missing.isdisjoint(text)


def bundled_folder() -> Path:
    """The openly licensed fonts that ship with the package."""
    return Path(str(files("dld_core.data").joinpath("fonts")))


def font_files(folders: Iterable[Path]) -> list[Path]:
    """The font files below folders, sorted."""
    suffixes = {".ttf", ".otf", ".ttc"}
    return sorted({p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in suffixes})


@lru_cache(maxsize=384)
def load(path: str, size: int) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels, cached. Basic layout, so that the result does not depend on libraqm."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def glyphs(path: Path, characters: Iterable[str]) -> dict[str, Image]:
    """Tight bitmaps, uint8 [h, w], of those characters that a font draws and has a glyph for.

    Raises:
        OSError, ValueError: it is no font.
    """
    font = load(str(path), _SIZE)
    absent = {_glyph(font, character).tobytes() for character in "\ufffe\U0010ffff"} | {b""}
    bitmaps = {character: _glyph(font, character) for character in characters}
    return {character: bitmap for character, bitmap in bitmaps.items() if bitmap.tobytes() not in absent}


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> Image:
    left, top, right, bottom = (int(v) for v in font.getbbox(character))
    canvas = Pillow.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(canvas).text((-left, -top), character, fill=255, font=font)
    bitmap = np.asarray(canvas)
    x, y, wide, tall = cv2.boundingRect(bitmap)
    return bitmap[y : y + tall, x : x + wide]


def _templates(bitmaps: dict[str, Image]) -> NDArray[np.float32]:
    """The probed characters stretched to a square, centred and of unit norm: [n, 400]."""
    rows = []
    for character in _PROBE:
        square = cv2.resize(bitmaps[character], (_TEMPLATE, _TEMPLATE), interpolation=cv2.INTER_AREA)
        flat = cv2.GaussianBlur(square, (0, 0), 1.0).astype(np.float32).ravel()
        flat -= flat.mean()
        rows.append(flat / max(float(np.linalg.norm(flat)), 1e-6))
    return np.stack(rows)


@cache
def _references() -> NDArray[np.float32]:
    """Templates of the bundled fonts, [fonts, characters, 400]: what Latin letters look like."""
    return np.stack([_templates(glyphs(path, _PROBE)) for path in font_files([bundled_folder()])])


def _latin_likeness(bitmaps: dict[str, Image]) -> float:
    """Median over letters of the best correlation with a bundled font, in [-1, 1]; Latin faces exceed 0.6."""
    return float(np.median(np.einsum("fcp,cp->fc", _references(), _templates(bitmaps)).max(0)))


def _family(name: str, path: Path) -> str:
    """Two words of the family name tell designs apart and hold the weights and widths of one together."""
    words = re.sub(r"[^a-z ]|bold|italic|condensed|light|medium|semi|extra", " ", name.lower()).split()
    return " ".join(words[:1] if words[:1] in (["tiresias"], ["spleen"]) else words[:2]) or path.stem.lower()


@cache
def inspect(path: Path) -> Face | None:
    """The face of a file, or None where it is no Latin text font (symbols, icons, other scripts, damaged)."""
    if _NOT_FOR_READING.search(path.stem):
        return None
    try:
        name = load(str(path), _SIZE).getname()[0] or path.stem
        if _NOT_FOR_READING.search(name) or len(glyphs(path, "Rag5")) < 4:
            return None
        bitmaps = glyphs(path, PRINTABLE)
    except (OSError, ValueError, MemoryError):
        return None
    if not bitmaps.keys() >= set(_LETTERS):
        return None
    if len({(bitmaps[c].shape, bitmaps[c].tobytes()) for c in _DISTINCT}) < len(_DISTINCT):
        return None
    capital = bitmaps["H"].shape[0] / _SIZE
    if not 0.3 < capital < 1.2 or _latin_likeness(bitmaps) < _LIKE_LATIN:
        return None
    return Face(str(path), _family(name, path), capital, frozenset(PRINTABLE) - bitmaps.keys())
