"""Which font files draw Latin text: symbol, icon and other scripts' fonts are told by rendering them.

A scan of a system with a thousand fonts takes ten seconds, so what was found is kept on disk, keyed by the
file's path, size and time of change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from dld_core.config import home, write_file
from dld_core.data.synth.fonts import Face, bundled_folder, glyph, load
from dld_core.data.synth.text import PRINTABLE

SUFFIXES = {".ttf", ".otf", ".ttc"}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DISTINCT = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
_PROBE = "ABCDEFGHJKLMNPQRSTUVWXYZabdefghkmnpqrt2345678"
_LIKE_LATIN = 0.6
_TEMPLATE = 20
_VERSION = 1
_NOT_FOR_READING = re.compile(
    r"symbol|emoji|dingbat|math|music|icon|wingding|awesome|barcode|phonetic|braille|jsmath|stixsize|stixnonuni"
    r"|stixvar|stixint|d050000l|lastresort|fallback|musix|chess|ellhnikh|ellen[ib]|emmentaler|feta|phon|babel"
    r"|conakry|abecedario|nushu|alfa-beta|opendyslexic",
    re.I,
)


def _templates(font: ImageFont.FreeTypeFont, characters: str) -> NDArray[np.float32]:
    """Each character stretched to a square, centred and of unit norm: [n, 400]."""
    rows = []
    for character in characters:
        square = cv2.resize(glyph(font, character), (_TEMPLATE, _TEMPLATE), interpolation=cv2.INTER_AREA)
        flat = cv2.GaussianBlur(square, (0, 0), 1.0).astype(np.float32).ravel()
        flat -= flat.mean()
        rows.append(flat / max(float(np.linalg.norm(flat)), 1e-6))
    return np.stack(rows)


@cache
def _references() -> NDArray[np.float32]:
    """Templates of the bundled fonts, [fonts, characters, 400]: what Latin letters look like."""
    paths = sorted(p for p in bundled_folder().rglob("*") if p.suffix.lower() in SUFFIXES)
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
    """The face of a file, or None where it is no Latin text font (symbols, icons, other scripts, damaged)."""
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
    drawn = [(bitmaps[c].shape, bitmaps[c].tobytes()) for c in _DISTINCT]
    if not missing.isdisjoint(_LETTERS) or len(set(drawn)) < len(drawn):
        return None
    capital = bitmaps["H"].shape[0] / 32
    if not 0.3 < capital < 1.2 or latin_likeness(font) < _LIKE_LATIN:
        return None
    return Face(str(path), _family(font, path), capital, missing)


def scan(folders: Iterable[Path]) -> list[Face]:
    """Every usable face below the folders, sorted by path."""
    paths = sorted({p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES})
    known = _recall()
    fresh: dict[str, Face | None] = {}
    faces = []
    for path in paths:
        key = _key(path)
        face = known[key] if key in known else fresh.setdefault(key, inspect(path))
        if face is not None:
            faces.append(face)
    if len(fresh) > 20:
        _remember({**known, **fresh})
    return faces


def _key(path: Path) -> str:
    facts = path.stat()
    return f"{path}|{facts.st_size}|{facts.st_mtime_ns}"


def _store() -> Path:
    return home() / f"fonts-{_VERSION}.json"


def _recall() -> dict[str, Face | None]:
    """Faces of an earlier scan; none where the file is absent, damaged or of another version."""
    try:
        stored = json.loads(_store().read_text(encoding="utf-8"))
        return {
            key: Face(v[0], v[1], float(v[2]), frozenset(v[3])) if v else None for key, v in stored.items()
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def _remember(faces: dict[str, Face | None]) -> None:
    """Keep the scan for the next process; a folder that cannot be written costs time, nothing else."""
    rows = {
        k: [f.path, f.family, f.capital, "".join(sorted(f.missing))] if f else None for k, f in faces.items()
    }
    with suppress(OSError):
        write_file(_store(), json.dumps(rows))
