"""Fonts: the bundled ones, those of the system, or a folder's; weighed by family and checked by rendering."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dld_core.data.synth.dice import Weighted, pick
from dld_core.data.synth.text import PRINTABLE
from dld_core.errors import DataError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SUFFIXES = {".ttf", ".otf", ".ttc"}
_NOT_FOR_READING = re.compile(
    r"symbol|emoji|dingbat|math|music|icon|wingding|awesome|barcode|phonetic|braille|jsmath|stixsize|stixnonuni"
    r"|stixvar|stixint|opensymbol|d050000l|lastresort|fallback|mathjax|musix|chess|ellhnikh|ellen[ib]|emmentaler|feta"
    r"|phon|babel|conakry|abecedario|nushu|alfa-beta|opendyslexic",
    re.I,
)
# Real signs are mostly set in plain sans faces; a uniform draw over families would drown them in oddities.
_SIGN_LIKE = re.compile(
    r"liberation ?sans|nimbus ?sans|open ?sans|roboto|lato|dejavu ?sans|noto ?sans|cabin|carlito|pt ?sans|free ?sans"
    r"|arial|helvet|bebas|oswald|league|montserrat|karla|yanone|urw ?gothic|verdana|tahoma|segoe|ubuntu|cantarell",
    re.I,
)
_TEMPLATE = 20


@dataclass(frozen=True, slots=True)
class Face:
    """One usable font file.

    Attributes:
        path: the file.
        family: key of its family; draws are even over families, not files.
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


def system_folders() -> list[Path]:
    """Where this system keeps its fonts (folders that exist)."""
    home = Path.home()
    if sys.platform == "win32":
        known = [Path("C:/Windows/Fonts"), home / "AppData/Local/Microsoft/Windows/Fonts"]
    elif sys.platform == "darwin":
        known = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    else:
        known = [
            Path("/usr/share/fonts"),
            Path("/usr/local/share/fonts"),
            home / ".local/share/fonts",
            home / ".fonts",
        ]
    return [folder for folder in known if folder.is_dir()]


def bundled_folder() -> Path:
    """The openly licensed fonts that ship with the package."""
    return Path(str(files("dld_core.data").joinpath("fonts")))


@lru_cache(maxsize=384)
def load(path: str, size: int) -> ImageFont.FreeTypeFont:
    """A font at a size in pixels, cached. Basic layout, so that the result does not depend on libraqm."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def glyph(font: ImageFont.FreeTypeFont, character: str) -> NDArray[np.uint8]:
    """The tight bitmap of a character, uint8 [h, w]; empty (0, 0) where nothing is drawn."""
    left, top, right, bottom = (int(v) for v in font.getbbox(character))
    if right <= left or bottom <= top:
        return np.zeros((0, 0), np.uint8)
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), character, fill=255, font=font)
    bitmap = np.asarray(image)
    rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
    if not len(rows):
        return np.zeros((0, 0), np.uint8)
    return bitmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _templates(font: ImageFont.FreeTypeFont, characters: str) -> NDArray[np.float32]:
    """Each character stretched to a square, centred and of unit norm: [n, 400]."""
    rows = []
    for character in characters:
        square = cv2.resize(glyph(font, character), (_TEMPLATE, _TEMPLATE), interpolation=cv2.INTER_AREA)
        flat = cv2.GaussianBlur(square, (0, 0), 1.0).astype(np.float32).ravel()
        flat -= flat.mean()
        rows.append(flat / max(float(np.linalg.norm(flat)), 1e-6))
    return np.stack(rows)


_PROBE = "ABCDEFGHJKLMNPQRSTUVWXYZabdefghkmnpqrt2345678"


@cache
def _references() -> NDArray[np.float32]:
    """Templates of the bundled fonts, [fonts, characters, 400]: what Latin letters look like."""
    paths = sorted(p for p in bundled_folder().rglob("*") if p.suffix.lower() in _SUFFIXES)
    return np.stack([_templates(load(str(path), 32), _PROBE) for path in paths])


def latin_likeness(font: ImageFont.FreeTypeFont) -> float:
    """Median over letters of the best correlation with a bundled font, in [-1, 1]; Latin faces exceed 0.6."""
    own = _templates(font, _PROBE)
    return float(np.median(np.einsum("fcp,cp->fc", _references(), own).max(0)))


def _family(font: ImageFont.FreeTypeFont, path: Path) -> str:
    """Two words of the family name tell designs apart and hold the weights and widths of one together."""
    name = font.getname()[0] or path.stem
    words = re.sub(r"[^a-z ]|bold|italic|condensed|light|medium|semi|extra", " ", name.lower()).split()
    return " ".join(words[:1] if words[:1] in (["tiresias"], ["spleen"]) else words[:2]) or path.stem.lower()


@cache
def inspect(path: Path) -> Face | None:
    """The face of a file, or None where it is not a Latin text font (symbols, icons, other scripts, damaged)."""
    if _NOT_FOR_READING.search(path.stem):
        return None
    try:
        font = load(str(path), 32)
        if _NOT_FOR_READING.search(font.getname()[0] or ""):
            return None
        absent = {glyph(font, c).tobytes() for c in "\ufffe\U0010ffff"} | {b""}
        if any(glyph(font, c).tobytes() in absent for c in "Rag5"):
            return None
        bitmaps = {c: glyph(font, c) for c in PRINTABLE}
    except (OSError, ValueError, MemoryError):
        return None
    missing = frozenset(c for c, bitmap in bitmaps.items() if bitmap.tobytes() in absent)
    drawn = [bitmaps[c].shape + (bitmaps[c].tobytes(),) for c in "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"]
    if not missing.isdisjoint(LETTERS) or len(set(drawn)) < len(drawn):
        return None
    capital = bitmaps["H"].shape[0] / 32
    if not 0.3 < capital < 1.2 or latin_likeness(font) < 0.6:
        return None
    return Face(str(path), _family(font, path), capital, missing)


def scan(folders: Iterable[Path]) -> list[Face]:
    """Every usable face below the folders, sorted by path."""
    paths = sorted({p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES})
    return [face for face in map(inspect, paths) if face is not None]


class FontBook:
    """Draws faces evenly over families, plain sign-like ones more often.

    Raises:
        DataError: the folder is missing, or no usable font was found anywhere.
    """

    def __init__(self, folder: Path | None = None, system: bool = True) -> None:
        if folder is not None and not folder.is_dir():
            raise DataError(f"the font folder {folder} does not exist; give a folder with .ttf or .otf files")
        folders = [folder] if folder else [bundled_folder(), *(system_folders() if system else [])]
        self.faces = scan(folders)
        if not self.faces:
            places = ", ".join(str(f) for f in folders)
            raise DataError(
                f"no font with Latin letters was found in {places}; install fonts (Debian: apt install "
                "fonts-dejavu fonts-liberation) or name a folder of .ttf or .otf files"
            )
        families: dict[str, list[Face]] = {}
        for face in self.faces:
            families.setdefault(face.family, []).append(face)
        self._families = Weighted(
            [(faces, 4.0 if _SIGN_LIKE.search(name) else 1.0) for name, faces in sorted(families.items())]
        )

    def draw(self, rng: Generator) -> Face:
        """One face."""
        return pick(rng, self._families.draw(rng))

    def draw_for(self, rng: Generator, text: str) -> Face:
        """A face that has every character of `text`, or the most complete of those tried."""
        tried = self.draw(rng)
        for _ in range(8):
            if tried.can_draw(text):
                return tried
            other = self.draw(rng)
            if len(other.missing) <= len(tried.missing):
                tried = other
        return tried
