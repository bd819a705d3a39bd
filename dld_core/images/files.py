"""Image files on disk: finding those of a folder or pattern, and opening one for reading."""

from __future__ import annotations

import glob
import io
import os
import re
import stat
from pathlib import Path
from typing import IO

from dld_core.errors import ImageError

_SUFFIXES = "jpg jpeg jpe jfif png webp bmp dib tif tiff gif avif jp2 j2k ppm pgm pbm pnm ico heic heif"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
_ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def list_images(source: str | os.PathLike[str], recursive: bool = False) -> list[Path]:
    """The image files that a path, a folder or a glob pattern names, in natural order (2 before 10).

    Args:
        source: one file (taken whatever its suffix), a folder (its images, by suffix), or a pattern such
            as "photos/**/*.jpg" (its images, by suffix).
        recursive: look into the folders of a folder too.

    Raises:
        ImageError: nothing is there, or nothing there is an image.
    """
    name = os.fspath(source)
    path = Path(name).expanduser()
    if _exists(path):
        if not path.is_dir():
            return [path]
        found = list(path.rglob("*") if recursive else path.iterdir())
    elif glob.has_magic(name):
        found = [Path(match) for match in glob.glob(str(path), recursive=True)]
    elif _ADDRESS.match(name):
        raise ImageError(f"{name} is an address, and nothing is fetched from the network: download it first")
    else:
        raise ImageError(f"{name} does not exist; check the path (looked in {os.getcwd()})")
    images = [file for file in found if _looks_like_image(file)]
    if not images:
        hint = f"; its folders are not searched, so use a pattern: '{path}/**/*.jpg'" if _exists(path) else ""
        raise ImageError(f"{name} holds no images (known suffixes: {_SUFFIXES}){'' if recursive else hint}")
    return sorted(images, key=lambda file: (_natural(str(file.parent)), _natural(file.name)))


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


def open_file(name: str) -> IO[bytes]:
    """A file for reading. Pipes are read whole; folders, devices and the like are refused.

    Raises:
        ImageError: it names the file, what is wrong and the fix.
    """
    if _ADDRESS.match(name):
        raise ImageError(f"{name} is an address, and nothing is fetched from the network: download it first")
    path = os.path.expanduser(name)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{name} is a folder, not an image; name a file in it, or list_images(folder)")
        if stat.S_ISFIFO(mode):
            return io.BytesIO(Path(path).read_bytes())
        if not stat.S_ISREG(mode):
            raise ImageError(f"{name} is not a regular file; copy the image into a file first")
        return open(path, "rb")
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist; check the path (looked in {os.getcwd()})") from None
    except PermissionError:
        raise ImageError(f"{name} may not be read; give yourself the right to (chmod +r {name})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name!r} cannot be opened ({reason}); check the path") from None
