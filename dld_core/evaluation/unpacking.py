"""The entries of a zip of many small files, several times faster than one `ZipFile.read` after another.

zipfile builds objects per entry, which for thousands of entries of some hundred bytes is most of the work.
Here the directory of a plain archive is read in one loop, and the bytes are cut from the archive in memory.
Whatever is out of the ordinary (ZIP64, comments, names beyond ASCII, encryption) is left to zipfile.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENTRY = struct.Struct("<4s4xHH4xLLLHHH8xL")
_END = struct.Struct("<4s6xHLLH")
_LOCAL_SIGNATURE, _ENTRY_SIGNATURE, _END_SIGNATURE = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_ELSEWHERE = 0xFFFFFFFF  # stands in for a number that only ZIP64 can hold
_ENCRYPTED = 1

FAULTS = (
    zipfile.BadZipFile,
    RuntimeError,
    NotImplementedError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    zlib.error,
    struct.error,
)
"""What opening a damaged zip or reading an entry of it may raise."""


class Entry(NamedTuple):
    """What the directory says of one file."""

    filename: str
    flag_bits: int
    compress_type: int
    CRC: int
    compress_size: int
    file_size: int
    header_offset: int


class Archive:
    """A zip in memory. Raises `FAULTS` where it is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = path.read_bytes()
        self._entries = _plain_directory(self._bytes) or _any_directory(path)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def read(self, entry: Entry) -> bytes:
        """The entry's content, checked; never more than the directory says it holds. Raises `FAULTS`."""
        known = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if entry.flag_bits & _ENCRYPTED or not known:
            with zipfile.ZipFile(self._path) as archive:
                return archive.read(entry.filename)
        signature, name, extra = _LOCAL_HEADER.unpack_from(self._bytes, entry.header_offset)
        start = entry.header_offset + _LOCAL_HEADER.size + name + extra
        data = self._bytes[start : start + entry.compress_size]
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max(entry.file_size, 1))
        if signature != _LOCAL_SIGNATURE or zlib.crc32(data) != entry.CRC:
            raise zipfile.BadZipFile("its content is not what its checksum says")
        return data


def _any_directory(path: Path) -> list[Entry]:
    with zipfile.ZipFile(path) as archive:
        return [Entry(*(getattr(info, name) for name in Entry._fields)) for info in archive.infolist()]


def _plain_directory(data: bytes) -> list[Entry] | None:
    """The directory of an archive in its simplest form; None for any other, sound or not."""
    stop = len(data) - _END.size
    if stop < 0:
        return None
    signature, number, size, place, comment = _END.unpack_from(data, stop)
    if signature != _END_SIGNATURE or place + size != stop or comment:
        return None
    entries = []
    while place + _ENTRY.size <= stop:
        signature, flags, method, crc, packed, full, *lengths, header = _ENTRY.unpack_from(data, place)
        name = data[place + _ENTRY.size : place + _ENTRY.size + lengths[0]]
        ordinary = signature == _ENTRY_SIGNATURE and name.isascii() and b"\0" not in name
        if not ordinary or _ELSEWHERE in (packed, full, header):
            return None
        entries.append(Entry(name.decode("ascii"), flags, method, crc, packed, full, header))
        place += _ENTRY.size + sum(lengths)
    return entries if place == stop and len(entries) == number else None
