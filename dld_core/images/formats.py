"""Which format a file has, and its header read without decoding anything and without printing anything.

Formats are opened through Pillow's table of plugins, not `Image.open`: that one obeys a process-wide limit
(`Image.MAX_IMAGE_PIXELS`), which a library must not change and which threads share.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from PIL import Image, _imaging

from dld_core.errors import ImageError

# Tried in this order. Formats that run other programs or that have no signature (EPS, WMF, TGA) stay out.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM", "ICO", "HEIF")
_HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"hevc", b"msf1")


def identify(file: IO[bytes], label: str) -> Image.Image:
    """The picture in a seekable binary file, its header read and nothing decoded.

    Args:
        label: the name of the file in messages.

    Raises:
        ImageError: empty, no known format, or a damaged header.
    """
    file.seek(0)
    head = file.read(64)
    if not head:
        raise ImageError(f"{label} is empty (0 bytes); copy or download it again")
    Image.init()
    if _is_heif(head):
        _register_heif()
    damage: Exception | None = None
    for name in _FORMATS:
        factory, accepts = Image.OPEN.get(name, (None, None))
        if factory is None or accepts is None:
            continue
        try:
            answer = accepts(head)
            if isinstance(answer, str) or not answer:
                continue  # a plugin says no, or in words why it cannot (a codec it was built without)
            file.seek(0)
            return factory(file, label)
        except Exception as error:  # plugins fail on damaged headers in any way they like
            damage = error
    if damage is not None:
        raise damaged(label, damage) from damage
    raise ImageError(f"{label} is not an image that can be read: {_what_it_is(head)}")


def damaged(label: str, error: Exception) -> ImageError:
    """The error for a file that begins like an image and does not go on like one."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(f"{label} is too large for Pillow ({reason}); shrink or cut it")
    return ImageError(f"{label} is truncated or damaged ({reason}); copy, download or save it again")


class _Silence(threading.local):
    """A warning filter that ignores Pillow's warnings in this thread while `on`.

    `warnings.catch_warnings` would change the filters of all threads, and other libraries' warnings that are
    to be shown once would be shown again.
    """

    on = False

    def match(self, module: str) -> bool:
        """Whether to ignore a warning of this module; called by `warnings` for every one."""
        return self.on and module.startswith("PIL")

    def __reduce__(self) -> str:  # some libraries send the filters to other processes
        return "_silence"


_silence = _Silence()
_FILTER: Any = ("ignore", None, Warning, _silence, 0)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings about a broken file off the console. Its errors are still raised."""
    filters: Any = warnings.filters
    if filters[:1] != [_FILTER]:
        filters[:] = [_FILTER, *(known for known in filters if known != _FILTER)]
    _silence.on = True
    try:
        yield
    finally:
        _silence.on = False


def _silence_libtiff() -> None:
    """Remove the error handler of Pillow's libtiff, which prints to stderr. Pillow raises the errors anyway.

    The handler belongs to the whole process; a libtiff of another library is not touched.
    """
    try:
        set_handler = ctypes.CDLL(str(_imaging.__file__)).TIFFSetErrorHandler
    except (AttributeError, OSError):  # linked in with its names hidden, as on Windows
        return
    set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    set_handler(None)


_silence_libtiff()
# Without a handler of its own, Pillow's logged errors reach stderr where the application sets up no log.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _register_heif() -> None:
    """Let pillow-heif, where it is installed, take part (iPhones write HEIC)."""
    try:
        from pillow_heif import register_heif_opener  # optional
    except ImportError:
        return
    register_heif_opener()


def _what_it_is(head: bytes) -> str:
    """What a file that no plugin takes seems to be, and what to do."""
    if _is_heif(head):
        return "it is HEIC/HEIF, which needs an extra (pip install pillow-heif); or save it as JPEG"
    if head.startswith(b"%PDF"):
        return "it is a PDF; render its pages to images first (pdftoppm -r 200 -png FILE page)"
    if head.lstrip().lower().startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")):
        return "it is SVG, XML or a web page; save the picture itself as PNG or JPEG"
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        return "it is an archive; unpack it first"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the real file (git lfs pull)"
    if not any(byte < 9 for byte in head):
        return "it holds text; check that the right file is named"
    return "its format is unknown; save it as PNG, JPEG, WebP, TIFF, BMP or GIF"
