"""Tesseract's program and language data: where they are, and which characters a language can answer with."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from dld_core.errors import MissingExtraError, WeightsError

_INSTALL = {
    "linux": "`apt-get install tesseract-ocr` (Debian, Ubuntu) or `dnf install tesseract` (Fedora)",
    "darwin": "`brew install tesseract`",
    "win32": "`winget install UB-Mannheim.TesseractOCR`",
}
_PATIENCE = 60  # seconds for a question that takes a tenth of one
_LSTM_UNICHARSET = (
    21  # the place of the characters among the parts of a .traineddata file (tessdatamanager.h)
)
_SPECIAL = {"NULL", "Joined", "|Broken|0|1"}


def install_line() -> str:
    """How Tesseract is installed on this platform."""
    return _INSTALL.get(sys.platform, _INSTALL["linux"])


def program(name: str) -> str:
    """The full path of the program. Raises MissingExtraError with the install line of this platform."""
    found = shutil.which(name)
    if found is None:
        raise MissingExtraError(
            f"there is no program '{name}' on the PATH; install Tesseract: {install_line()}, "
            "or give its path: --option binary=/path/to/tesseract"
        )
    return found


def languages(binary: str, folder: Path | None) -> tuple[Path | None, set[str]]:
    """The folder of the language data, as far as it is told, and the languages in it.

    Args:
        folder: where to look; None for Tesseract's own place.

    Raises:
        WeightsError: the program does not run, or the folder holds no data.
    """
    place = [] if folder is None else ["--tessdata-dir", str(folder)]
    try:
        run = subprocess.run(
            [binary, "--list-langs", *place], capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(f"{binary} does not run: {error}; install it again: {install_line()}") from error
    told = (run.stdout + run.stderr).decode("utf-8", "replace")
    if run.returncode != 0:
        raise WeightsError(f"Tesseract finds no language data: {told.strip()}; install them or set weights=")
    named = re.search(r'in "([^"]+)"', told)
    listed = {line.strip() for line in told.splitlines() if line.strip() and not line.rstrip().endswith(":")}
    return folder or (Path(named.group(1)) if named else None), listed


def check_languages(asked: str, available: set[str]) -> None:
    """Raises WeightsError naming the languages of `asked` ("eng+deu") that are not installed, and the fix."""
    lacking = [language for language in asked.split("+") if language not in available]
    if lacking:
        packages = " ".join(f"tesseract-ocr-{language.replace('_', '-').lower()}" for language in lacking)
        raise WeightsError(
            f"Tesseract has no data for {', '.join(lacking)} (installed: {', '.join(sorted(available))}); "
            f"install them, on Debian and Ubuntu with `apt-get install {packages}`, or put the .traineddata "
            "files in a folder and give it as weights="
        )


def characters(folder: Path | None, asked: str) -> str:
    """The distinct characters that the networks of the languages can answer with; "" where unreadable."""
    found: dict[str, None] = {}
    for language in asked.split("+"):
        file = None if folder is None else folder / f"{language}.traineddata"
        found.update(dict.fromkeys(_unicharset(file) if file is not None and file.is_file() else ()))
    return "".join(found)


def _unicharset(file: Path) -> list[str]:
    """The characters of one .traineddata file: a count, the offsets of its parts, then the parts.

    The part in question is text: the number of lines, then one unit a line, its characters first.
    """
    data = file.read_bytes()
    try:
        (count,) = struct.unpack_from("<i", data)
        offsets = struct.unpack_from(f"<{count}q", data, 4)
        start = offsets[_LSTM_UNICHARSET]
        later = [offset for offset in offsets if offset > start]
        text = data[start : min(later, default=len(data))].decode("utf-8") if start > 0 else ""
    except (struct.error, IndexError, UnicodeDecodeError):
        return []
    units = [line.split(" ", 1)[0] for line in text.splitlines()[1:]]
    return [character for unit in units if unit not in _SPECIAL for character in unit]
