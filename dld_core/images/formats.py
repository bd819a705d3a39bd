"""Which format a file has, and its header read without decoding anything.

Formats are opened through Pillow's table of plugins, not `Image.open`: that one obeys a process-wide limit
(`Image.MAX_IMAGE_PIXELS`), which a library must not change and which threads share.
"""

from __future__ import annotations

import struct
from typing import IO

from PIL import Image

from dld_core.errors import ImageError

# Tried in this order. Formats that run other programs or that have no signature (EPS, WMF, TGA) stay out.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM", "ICO", "HEIF")
_HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"hevc", b"msf1")


def identify(file: IO[bytes], head: bytes, label: str) -> Image.Image:
    """The picture in a file, its header read and nothing decoded.

    Args:
        file: a seekable binary file.
        head: its first 64 bytes.
        label: what to call it in messages.

    Raises:
        ImageError: no known format, or a damaged header.
    """
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
    return ImageError(f"{label} is truncated or damaged ({reason}); copy, download or save it again")


def webp_size(head: bytes) -> tuple[int, int] | None:
    """(width, height) that a WebP header declares (RFC 9649), None for anything else.

    Needed before `identify`: the decoder of WebP takes memory for the whole canvas when it is created.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _register_heif() -> None:
    """Let pillow-heif, where it is installed, take part (iPhones write HEIC)."""
    try:
        from pillow_heif import register_heif_opener
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
