"""The fonts of a renderer: the bundled ones, those of the system, or a folder's; Latin and other scripts.

Looking through a system with a thousand fonts takes ten seconds, so what was found is kept on disk, keyed by
the file's path, size and time of change.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from numpy.random import Generator

from dld_core.config import home, write_file
from dld_core.data.synth.faces import Face, bundled_folder, font_files, glyphs, inspect
from dld_core.data.synth.sampling import Weighted, integer, pick
from dld_core.errors import DataError

_VERSION = 1
# Real signs are mostly set in plain sans faces; sampling families evenly would drown them in oddities.
_SIGN_LIKE = re.compile(
    r"liberation ?sans|nimbus ?sans|open ?sans|roboto|lato|dejavu ?sans|noto ?sans|cabin|carlito|pt ?sans"
    r"|free ?sans|arial|helvet|bebas|oswald|league|montserrat|karla|yanone|urw ?gothic|verdana|tahoma"
    r"|segoe|ubuntu|cantarell",
    re.I,
)
# Fonts of other scripts by file name, and the first and last code point of letters that stand well alone.
_CHINESE = r"cjk|wqy|droidsansfallback|aoyagi|ipa(ex)?[gm]|takao|msyh|simsun|pingfang|hiragino|mplus-?1|uming"
_SCRIPTS = (
    (_CHINESE, 0x4E00, 0x5E00),
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
_PER_SCRIPT, _LETTERS, _FEWEST = 4, 120, 10


def system_folders() -> tuple[Path, ...]:
    """Where this system keeps its fonts (folders that exist)."""
    own = Path.home()
    if sys.platform == "win32":
        known = [Path("C:/Windows/Fonts"), own / "AppData/Local/Microsoft/Windows/Fonts"]
    elif sys.platform == "darwin":
        known = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), own / "Library/Fonts"]
    else:
        known = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
        known += [own / ".local/share/fonts", own / ".fonts"]
    return tuple(folder for folder in known if folder.is_dir())


def scan(folders: Iterable[Path]) -> list[Face]:
    """Every usable face below the folders, sorted by path."""
    store = home() / f"fonts-{_VERSION}.json"
    known = _recall(store)
    found: dict[str, Face | None] = {}
    for path in font_files(folders):
        facts = path.stat()
        key = f"{path}|{facts.st_size}|{facts.st_mtime_ns}"
        found[key] = known[key] if key in known else inspect(path)
    if len(found.keys() - known.keys()) > 20:
        rows = {
            key: face and [face.path, face.family, face.capital, "".join(sorted(face.missing))]
            for key, face in (known | found).items()
        }
        with suppress(OSError):  # it costs time to look again, nothing else
            write_file(store, json.dumps(rows))
    return [face for face in found.values() if face]


def _recall(store: Path) -> dict[str, Face | None]:
    """Faces of an earlier scan; none where the file is absent, damaged or of another version."""
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
        return {
            key: Face(v[0], v[1], float(v[2]), frozenset(v[3])) if v else None for key, v in stored.items()
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


class FontBook:
    """Samples faces evenly over families, plain sign-like ones more often.

    Raises:
        DataError: the folder is missing, or no usable font was found anywhere.
    """

    def __init__(self, folder: Path | None = None, system: bool = True) -> None:
        if folder is not None and not folder.is_dir():
            raise DataError(f"the font folder {folder} does not exist; give a folder with .ttf or .otf files")
        folders = [folder] if folder else [bundled_folder(), *(system_folders() if system else ())]
        families: dict[str, list[Face]] = {}
        for face in scan(folders):
            families.setdefault(face.family, []).append(face)
        if not families:
            raise DataError(
                f"no font with Latin letters was found in {', '.join(map(str, folders))}; install fonts "
                "(Debian: apt install fonts-dejavu fonts-liberation) or name a folder of .ttf or .otf files"
            )
        names = sorted(families)
        weights = [4.0 if _SIGN_LIKE.search(name) else 1.0 for name in names]
        self._families = Weighted([families[name] for name in names], weights)

    def sample(self, rng: Generator, text: str = "") -> Face:
        """A face that has every character of a text, or the most complete of those tried."""
        best = pick(rng, self._families.sample(rng))
        for _ in range(8):
            if best.can_draw(text):
                break
            other = pick(rng, self._families.sample(rng))
            best = min(other, best, key=lambda face: len(face.missing))
        return best


class ForeignBook:
    """Faces of scripts that the charset does not cover, with letters that they have.

    Real photos show such words; they are ignore regions. Empty where the system has no such fonts.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        paths = font_files(folders)
        self.scripts: list[list[tuple[Face, str]]] = []
        for pattern, first, last in _SCRIPTS:
            matching = [path for path in paths if re.search(pattern, path.name, re.I)][:_PER_SCRIPT]
            faces = [entry for path in matching if (entry := _with_letters(path, first, last))]
            if faces:
                self.scripts.append(faces)

    def words(self, rng: Generator, count: int) -> tuple[Face, list[str]]:
        """A face and some random words in its script. Only where `scripts` is not empty."""
        face, letters = pick(rng, pick(rng, self.scripts))
        return face, ["".join(pick(rng, letters) for _ in range(integer(rng, 1, 6))) for _ in range(count)]


def _with_letters(path: Path, first: int, last: int) -> tuple[Face, str] | None:
    """The face and its letters of a range, or None where there are hardly any."""
    try:
        letters = glyphs(path, map(chr, range(first, last + 1, max(1, (last - first) // _LETTERS))))
    except (OSError, ValueError):
        return None
    if len(letters) < _FEWEST:
        return None
    tallest = max(bitmap.shape[0] for bitmap in letters.values())
    return Face(str(path), path.stem, max(tallest / 32, 0.3)), "".join(letters)
