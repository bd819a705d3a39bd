"""Reading annotation text safely: bounded, BOM and line ends understood, trouble reported with its line."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from dld_core.data.formats.problems import Problems
from dld_core.errors import ConfigError

MAX_TEXT_BYTES = 16 * 2**20  # a page of 100,000 words is under 10 MB
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE_END = re.compile(r"\r\n|\n|\r")  # not str.splitlines: U+2028, form feeds... may stand in a text


def read_text(
    path: Path, problems: Problems, *, encoding: str = "utf-8", limit: int = MAX_TEXT_BYTES
) -> str | None:
    """The text of a file without its BOM, or None (and a reported problem) where it has none.

    A file in a broken encoding is reported and read as Latin-1, so that its other problems are found too.

    Args:
        path: the file.
        problems: where trouble goes.
        encoding: what the file should be in.
        limit: bytes; a larger file is not read.
    """
    data = read_bytes(path, problems, limit=limit)
    return None if data is None else decode(data, path, problems, encoding=encoding)


def read_bytes(path: Path, problems: Problems, *, limit: int = MAX_TEXT_BYTES) -> bytes | None:
    """The bytes of a regular file of at most `limit` bytes, or None and a reported problem."""
    try:
        if not path.is_file():  # a FIFO or device would block for ever
            problems.error("unreadable-file", path, "", "this is not a regular file", "give a file")
            return None
        size = path.stat().st_size
        if size > limit:
            message = f"the file has {size:,} bytes, more than the {limit:,} that an annotation file may have"
            problems.error("huge-file", path, "", message, "check that it is an annotation file; split it")
            return None
        with path.open("rb") as stream:
            return stream.read(limit)
    except OSError as error:
        message = f"the file cannot be read ({error.strerror})"
        problems.error("unreadable-file", path, "", message, "check its path and permissions")
        return None


def decode(data: bytes, path: Path | str, problems: Problems, *, encoding: str = "utf-8") -> str | None:
    """Bytes to text; None where they are binary. `path` is for the messages alone."""
    if data.startswith(_UTF16):
        problems.error(
            "encoding", path, "", "the file is UTF-16", f"save it as UTF-8: iconv -f UTF-16 -t UTF-8 {path}"
        )
        return data.decode("utf-16", errors="replace")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        message = "the file holds NUL bytes: it is binary, not text"
        problems.error("binary-file", path, f"line {line}", message, "give the text file, or remove this one")
        return None
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not valid {encoding}; it is read as Latin-1"
        fix = f"save it as UTF-8: iconv -f LATIN1 -t UTF-8 {path} (or pass the right --encoding)"
        problems.error("encoding", path, f"line {line}", message, fix)
        return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def split_lines(text: str) -> list[tuple[int, str]]:
    """Numbered lines (from 1) that are not blank, without their line ends."""
    lines = enumerate(_LINE_END.split(text), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def known_encoding(name: str) -> str:
    """The name if Python knows such a text encoding. Raises ConfigError with a hint where it does not."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ConfigError(f"There is no encoding '{name}'; try utf-8, latin-1, gbk or shift_jis.") from None
    return name
