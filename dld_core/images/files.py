"""Image files: list those of a folder or pattern, open one by name. "-" is standard input."""

from __future__ import annotations

import glob
import io
import os
import re
import stat
import sys
from pathlib import Path
from typing import IO
from urllib.request import url2pathname

from dld_core.errors import ImageError

STANDARD_INPUT = "-"
_SUFFIXES = "jpg jpeg jpe jfif png webp bmp dib tif tiff gif avif jp2 j2k ppm pgm pbm pnm ico heic heif"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
_LOCAL = re.compile(r"file:(//(localhost)?)?(?=/(?!/))", re.IGNORECASE)
_read_input: list[bytes] = []
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def list_images(source: str | os.PathLike[str], recursive: bool = False) -> list[Path]:
    """The image files that a path, a folder or a glob pattern names, in natural order (2 before 10).

    Args:
        source: one file (taken whatever its suffix; "-" is standard input), a folder (its images, by
            suffix), a pattern such as "photos/**/*.jpg" (its images, by suffix), or any of them as file://.
        recursive: look into the folders of a folder too.

    Raises:
        ImageError: nothing is there, nothing there is an image, or it is an address on the network.
    """
    name = local_path(os.fspath(source))
    path = Path(name)
    if name == STANDARD_INPUT:
        return [path]
    if _exists(path):
        if not path.is_dir():
            return [path if path.name != STANDARD_INPUT else path.absolute()]
        found = list(path.rglob("*") if recursive else path.iterdir())
    elif glob.has_magic(name):
        found = [Path(match) for match in glob.glob(name, recursive=True)]
    else:
        raise ImageError(f"{name} does not exist; check the path (looked in {os.getcwd()})")
    images = [file for file in found if _looks_like_image(file)]
    if not images:
        hint = f"; its folders are not searched, so use a pattern: '{path}/**/*.jpg'" if _exists(path) else ""
        raise ImageError(f"{name} holds no images (known suffixes: {_SUFFIXES}){'' if recursive else hint}")
    return sorted(images, key=lambda file: (_natural(str(file.parent)), _natural(file.name)))


def local_path(name: str) -> str:
    """The path that a name stands for: ~ is expanded, and file:// taken off.

    Raises:
        ImageError: an address on the network.
    """
    if local := _LOCAL.match(name):
        return url2pathname(name[local.end() :])
    if _ADDRESS.match(name):
        raise ImageError(f"{name} is an address, and nothing is fetched from the network: download it first")
    return os.path.expanduser(name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, or one with a null character in it
        return False


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _natural(text: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", text)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def open_file(path: str, max_bytes: int) -> IO[bytes]:
    """A file for reading. Pipes and standard input ("-") are read whole; devices and the like are refused.

    Args:
        max_bytes: the most that is taken from a pipe.

    Raises:
        ImageError: it names the file, what is wrong and the fix.
    """
    if path == STANDARD_INPUT:
        return io.BytesIO(_standard_input(max_bytes))
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{path} is a folder, not an image; name a file in it, or list_images(folder)")
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise ImageError(f"{path} is not a regular file; copy the image into a file first")
        if stat.S_ISREG(mode):
            return open(path, "rb")
        with open(path, "rb") as pipe:
            return io.BytesIO(read_whole(pipe, path, max_bytes))
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist; check the path (looked in {os.getcwd()})") from None
    except PermissionError:
        raise ImageError(f"{path} may not be read; give yourself the right to (chmod +r {path})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path!r} cannot be opened ({reason}); check the path") from None


def _standard_input(max_bytes: int) -> bytes:
    """Its content, kept because it can be read once only and a page that is drawn opens its image again."""
    if not _read_input:
        if sys.stdin is None or sys.stdin.isatty():
            raise ImageError("standard input is a terminal; pipe an image into it, or name a file")
        _read_input.append(read_whole(sys.stdin.buffer, "standard input", max_bytes))
    return _read_input[0]


def read_whole(file: IO[bytes], label: str, max_bytes: int) -> bytes:
    """All that a stream still gives. Raises ImageError where that is more than `max_bytes`, or text."""
    content = bytearray()
    while part := file.read(1 << 20):
        if not isinstance(part, bytes):
            raise ImageError(f"{label} gives text, not bytes; open it in binary mode ('rb')")
        content += part
        if len(content) > max_bytes:
            raise ImageError(
                f"{label} gives more than {max_bytes} bytes; save it to a file, or raise the limit with "
                "ImageLimits(max_bytes=...) if you trust it"
            )
    return bytes(content)
