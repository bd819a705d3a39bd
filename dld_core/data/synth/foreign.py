"""Words in scripts that the charset does not cover: on real photos they are there, and are don't-care."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from numpy.random import Generator

from dld_core.data.synth.fontcheck import SUFFIXES
from dld_core.data.synth.fonts import Face, glyph, load
from dld_core.data.synth.sampling import integer, pick

# Script fonts by file name, and the first and last code point of letters that stand well alone.
_SCRIPTS: tuple[tuple[str, int, int], ...] = (
    (
        r"cjk|wqy|droidsansfallback|aoyagi|ipa(ex)?[gm]|takao|msyh|simsun|pingfang|hiragino|mplus-?1|uming",
        0x4E00,
        0x5E00,
    ),
    (r"cjk|aoyagi|ipa(ex)?[gm]|takao|mplus|hiragino|meiryo|msgothic", 0x3042, 0x30F6),
    (r"cjk|nanum|malgun|unbatang", 0xAC00, 0xB000),
    (r"notos(ans|erif)thai|loma|garuda|tahoma", 0x0E01, 0x0E2E),
    (r"notos(ans|erif)tamil|lohit-tamil|latha", 0x0B85, 0x0BB9),
    (r"notos(ans|erif)devanagari|lohit-devanagari|mangal", 0x0905, 0x0939),
    (r"notos(ans|erif)hebrew|frank|david", 0x05D0, 0x05EA),
    (r"notos(ans|erif)bengali|lohit-bengali|vrinda", 0x0985, 0x09B9),
    (r"notonaskharabic|notosansarabic|amiri|kacst", 0x0621, 0x064A),
    (r"dejavus|liberations|noto(sans|serif)-|arial|times|verdana|pts|roboto-", 0x0410, 0x044F),
    (r"notos(ans|erif)(georgian|armenian|khmer|lao|ethiopic)", 0x10D0, 0x10F0),
)
_PER_SCRIPT = 4
_SAMPLE = 120


class ForeignBook:
    """Faces of non-Latin scripts, with letters that they really have. Empty where the system has none."""

    def __init__(self, folders: Iterable[Path]) -> None:
        paths = sorted({p for f in folders for p in f.rglob("*") if p.suffix.lower() in SUFFIXES})
        self.scripts: list[list[tuple[Face, str]]] = []
        for pattern, first, last in _SCRIPTS:
            matching = [p for p in paths if re.search(pattern, p.name, re.I)]
            found = [entry for p in matching[:_PER_SCRIPT] if (entry := _letters(p, first, last))]
            if found:
                self.scripts.append(found)

    def words(self, rng: Generator, count: int) -> tuple[Face, list[str]]:
        """A face and some random words in its script. Only where `scripts` is not empty."""
        face, letters = pick(rng, pick(rng, self.scripts))
        return face, ["".join(pick(rng, letters) for _ in range(integer(rng, 1, 6))) for _ in range(count)]


def _letters(path: Path, first: int, last: int) -> tuple[Face, str] | None:
    """The face and those letters of a range that it draws, or None where there are hardly any."""
    try:
        font = load(str(path), 32)
        absent = {glyph(font, c).tobytes() for c in "\ufffe\U0010ffff"} | {b""}
        step = max(1, (last - first) // _SAMPLE)
        drawn = {c: glyph(font, c) for c in map(chr, range(first, last + 1, step))}
    except (OSError, ValueError):
        return None
    letters = "".join(c for c, bitmap in drawn.items() if bitmap.tobytes() not in absent)
    if len(letters) < 10:
        return None
    tallest = max(drawn[c].shape[0] for c in letters)
    return Face(str(path), path.stem, max(tallest / 32, 0.3)), letters
