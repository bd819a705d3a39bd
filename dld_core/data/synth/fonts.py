"""Fonts: the bundled ones, those of the system, or a folder's; weighed by family and checked by rendering."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dld_core.data.synth.sampling import Weighted, pick
from dld_core.errors import DataError

# Real signs are mostly set in plain sans faces; a uniform draw over families would drown them in oddities.
_SIGN_LIKE = re.compile(
    r"liberation ?sans|nimbus ?sans|open ?sans|roboto|lato|dejavu ?sans|noto ?sans|cabin|carlito|pt ?sans"
    r"|free ?sans|arial|helvet|bebas|oswald|league|montserrat|karla|yanone|urw ?gothic|verdana|tahoma"
    r"|segoe|ubuntu|cantarell",
    re.I,
)


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


class FontBook:
    """Draws faces evenly over families, plain sign-like ones more often.

    Raises:
        DataError: the folder is missing, or no usable font was found anywhere.
    """

    def __init__(self, folder: Path | None = None, system: bool = True) -> None:
        if folder is not None and not folder.is_dir():
            raise DataError(f"the font folder {folder} does not exist; give a folder with .ttf or .otf files")
        from dld_core.data.synth.fontcheck import scan

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
