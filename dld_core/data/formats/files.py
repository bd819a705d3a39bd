"""Annotation files that others made: regular files only, of bounded size, and no question about a path
raises.

`os.path.isfile`, `isdir` and `exists` are used throughout, because pathlib's raise for names that are too
long or hold a null character.
"""

from __future__ import annotations

import codecs
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dld_core.data.formats.problems import At, Problems
from dld_core.errors import ConfigError, DataError

MAX_TEXT_BYTES = 16 * 2**20  # of one file; a page of 100,000 words has under 10 MB
MAX_LINES = 100_000  # of one file
MAX_LINE = 32_768  # characters of one line
MAX_SET_BYTES = 128 * 2**20  # of the text files of a folder or archive together
MAX_ARCHIVE_BYTES = 32 * 2**20
MAX_RATIO = 100  # of unpacked to packed bytes; annotations reach 10
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE_END = re.compile(r"\r\n|\n|\r")  # not str.splitlines: U+2028, form feeds... may stand in a text
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound on memory


class TextFile(NamedTuple):
    """A text file: its name, the path to show in messages, and its text."""

    name: str
    path: Path | str
    text: str


def existing(path: Path | str) -> Path:
    """The path, where a file or folder is. Raises DataError."""
    if not os.path.exists(path):
        raise DataError(f"There is nothing at {str(path)!r} (it does not exist); check the path.")
    return Path(path)


def write_file(path: Path, data: bytes) -> None:
    """Write a file, its folders too. Raises DataError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot write {str(path)!r} ({reason}); choose another name or folder") from None


def read_bytes(path: Path, problems: Problems, limit: int = MAX_TEXT_BYTES) -> bytes | None:
    """The bytes of a regular file of at most `limit` bytes, or None and a reported problem."""
    at = At(path, problems)
    if not os.path.isfile(path):  # a FIFO or device would block for ever
        at.error("unreadable-file", "this is not a regular file", "give a file")
        return None
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1) if path.stat().st_size <= limit else b" " * (limit + 1)
    except OSError as error:
        message = f"the file cannot be read ({error.strerror})"
        at.error("unreadable-file", message, "check its path and permissions")
        return None
    if len(data) > limit:
        _report_huge(at, f"more than {limit:,} bytes")
        return None
    return data


def _report_huge(at: At, size: str) -> None:
    at.error(
        "huge-file", f"the file has {size}, too much for annotations", "check that it is one, or split it"
    )


def read_text(
    path: Path, problems: Problems, encoding: str = "utf-8", limit: int = MAX_TEXT_BYTES
) -> str | None:
    """The text of a file without its BOM, or None (and a reported problem) where it has none."""
    data = read_bytes(path, problems, limit)
    return None if data is None else decode(data, path, problems, encoding)


def decode(data: bytes, path: Path | str, problems: Problems, encoding: str = "utf-8") -> str | None:
    """Bytes to text; None where they are binary. `path` is for the messages alone.

    Bytes in a broken encoding are reported and read as Latin-1, so that other problems are found too.
    """
    if data.startswith(_UTF16):
        fix = f"save it as UTF-8: iconv -f UTF-16 -t UTF-8 {path}"
        At(path, problems).error("encoding", "the file is UTF-16", fix)
        return data.decode("utf-16", errors="replace")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        message = "the file holds NUL bytes: it is binary, not text"
        fix = "give the text file, or remove this one"
        At(path, problems, f"line {line}").error("binary-file", message, fix)
        return None
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data.count(b"\n", 0, start) + 1
        message = f"byte 0x{data[start]:02x} is not valid {encoding}; it is read as Latin-1"
        fix = f"save it as UTF-8: iconv -f LATIN1 -t UTF-8 {path} (or pass the right --encoding)"
        At(path, problems, f"line {line}").error("encoding", message, fix)
        return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def lines_of(file: TextFile, problems: Problems) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) that are not blank, without their line ends; overlong ones are reported."""
    for number, line in enumerate(split_lines(file.text), start=1):
        if number > MAX_LINES:
            _report_huge(At(file.path, problems), f"more than {MAX_LINES:,} lines")
            return
        if len(line) > MAX_LINE:
            at = At(file.path, problems, f"line {number}")
            message = (
                f"the line has {len(line):,} characters, more than the {MAX_LINE:,} that a word can take"
            )
            at.error("bad-record", message, "check that this is an annotation file")
        elif line.strip():
            yield number, line


def split_lines(text: str) -> list[str]:
    """The lines of a text, ended by LF, CRLF or CR and by nothing else."""
    return _LINE_END.split(text)


def text_files(source: Path | str, what: str, problems: Problems) -> list[TextFile]:
    """Every `.txt` of a folder (not of its folders) or anywhere in a zip, in natural order of the names.

    Args:
        source: the folder or zip.
        what: what the files are, for messages ("ground truth").
        problems: takes files that are damaged, binary or too large.

    Raises:
        DataError: there is no such folder or zip, or it holds no `.txt`, or more than 128 MiB of them.
    """
    path = existing(source)
    files, total = [], 0
    for name, shown, data in _folder(path, problems) if path.is_dir() else _zip(path, what, problems):
        total += len(data)
        if total > MAX_SET_BYTES:
            raise DataError(
                f"the {what} {path} holds over {MAX_SET_BYTES:,} bytes of text; check it, or split it"
            )
        text = decode(data, shown, problems)
        if text is not None:
            files.append(TextFile(name, shown, text))
    if not files and not problems:
        raise DataError(f"the {what} {path} holds no .txt files; expected one per image, such as img_1.txt")
    return sorted(files, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts img_2 before img_10."""
    # Numbers are compared as text: int() refuses 4,300 digits.
    return tuple(
        (0, len(part.lstrip("0")), part.lstrip("0")) if index % 2 else (1, 0, part)
        for index, part in enumerate(re.split("([0-9]+)", name))
        if part
    )


def _folder(path: Path, problems: Problems) -> Iterator[tuple[str, str, bytes]]:
    for file in listed(path):
        if _is_text(file.name) and os.path.isfile(file):
            data = read_bytes(file, problems)
            if data is not None:
                yield file.name, str(file), data


def listed(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name. Raises DataError where it may not be looked into."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"cannot read the folder {folder} ({error.strerror}); check its permissions"
        ) from None


def _zip(path: Path, what: str, problems: Problems) -> Iterator[tuple[str, str, bytes]]:
    if not os.path.isfile(path) or path.stat().st_size > MAX_ARCHIVE_BYTES:
        raise DataError(
            f"the {what} {path} is neither a folder nor a zip of up to {MAX_ARCHIVE_BYTES:,} bytes; give one"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.rpartition("/")[2]
                if _is_text(name) and "__MACOSX" not in entry.filename and not entry.is_dir():
                    shown = f"{path}!{entry.filename}"
                    data = _unpack(archive, entry, At(shown, problems))
                    if data is not None:
                        yield name, shown, data
    except Exception as error:  # zipfile fails on damaged files in any way it likes
        raise DataError(
            f"the {what} {path} is neither a folder nor a readable zip ({error}); write it again"
        ) from None


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, at: At) -> bytes | None:
    """The bytes of one entry, never more than it may have; None and a reported problem where it is
    damaged.
    """
    if entry.file_size > min(MAX_TEXT_BYTES, 2**20 + MAX_RATIO * entry.compress_size):
        _report_huge(at, f"{entry.file_size:,} bytes out of {entry.compress_size:,} packed ones")
        return None
    try:
        if entry.compress_type not in _METHODS:
            raise ValueError("it is packed by another method than deflate")
        with archive.open(entry) as stream:
            return stream.read(entry.file_size + 1)
    except Exception as error:  # zipfile fails on damaged entries in any way it likes
        at.error(
            "unreadable-file", f"the entry cannot be unpacked ({error})", "write the zip again, by deflate"
        )
        return None


def _is_text(name: str) -> bool:
    return name.lower().endswith(".txt") and not name.startswith(".")


def known_encoding(name: str) -> str:
    """The name if Python knows such a text encoding. Raises ConfigError with a hint where it does not."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ConfigError(f"There is no encoding '{name}'; try utf-8, latin-1, gbk or shift_jis.") from None
    return name
