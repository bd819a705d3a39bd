"""Pixels of every kind (grey, alpha, palette, CMYK, 1, 10 to 16 and 32 bit, float) as RGB uint8 [H, W, 3].

Two rules hold for files and arrays alike: which value is white (`white_level`), and which colour transparent
areas get (`paper_for`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dld_core.errors import ImageError

_STRIP_PIXELS = 4_000_000  # a big picture is converted in strips of this size, so copies stay small
_SAMPLED_PIXELS = 16_000_000  # a picture of more is sampled to choose its paper
_WIDE_MODES = ("I", "F")  # and every mode that starts with "I;"
_CLEAR_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_PAPERS = {255: "white", 0: "black", 128: "grey"}
_NEAR = 4  # pixels around what is transparent in which ink is looked for
_CONTRAST = 64  # grey levels between ink and paper below which letters are taken for lost
_FEW = 0.02  # the share of ink that may be lost on white

Rgb = tuple[NDArray[np.uint8], list[str]]
"""Pixels, RGB uint8 [H, W, 3], and notes for the user."""


def white_level(dtype: np.dtype[Any], low: float, high: float, name: str) -> int:
    """The value that stands for white in pixels of this type that lie in [low, high].

    - bool: True. uint8: 255.
    - other integers: the largest value of 8, 10, 12, 14 or 16 bits, the fewest that hold the data (with 16
      bits, 257 or 256 times an 8-bit value gives that value back).
    - floats: 1 where nothing exceeds 1.1, else 255. Overshoot of a tenth of the range is clipped; values
      further below 0 are what normalisation leaves, and refused.

    Raises:
        ImageError: values outside those ranges, or not numbers.
    """
    if dtype.kind == "b":
        return 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{name} holds NaN or infinite values; give finite values in 0..1 or 0..255")
    if dtype.kind in "ui":
        if low < 0 or high > 65535:
            raise ImageError(f"{name} holds integers from {low:g} to {high:g}; scale them to 0..255 first")
        return next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if high < 2**bits)
    white = 1 if high <= 1.1 else 255
    if low < -0.1 * max(1, min(high, white)) or high > 1.1 * white:
        raise ImageError(
            f"{name} holds floats from {low:g} to {high:g}, so it is not a picture in 0..1 or 0..255; "
            "undo any normalisation (multiply by the deviation, add the mean) first"
        )
    return white


def to_bytes(values: NDArray[Any], white: int) -> NDArray[np.uint8]:
    """Pixels of any number type as uint8, `white` becoming 255."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f":
        return np.clip(values * (255 / white) + 0.5, 0, 255).astype(np.uint8)
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    return (values >> white.bit_length() - 8).astype(np.uint8)


def array_to_rgb(array: NDArray[Any], name: str = "the array", channels_first: bool = False) -> Rgb:
    """An array as RGB uint8 [H, W, 3] that shares no memory with it.

    Args:
        array: [H, W], or with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels, last or first;
            bool, integer or float (see `white_level`).
        channels_first: which to take where both ends could be channels.

    Raises:
        ImageError: another shape or type, no pixels, or values out of range.
    """
    if array.dtype.kind not in "buif":
        raise ImageError(f"{name} has type {array.dtype}; give uint8, uint16, bool or float pixels")
    pixels = _channels_last(array, name, channels_first)
    white = 255
    if pixels.dtype != np.uint8:
        white = white_level(pixels.dtype, float(pixels.min()), float(pixels.max()), name)
    values = to_bytes(pixels, white)
    if values.shape[2] in (2, 4):
        rgb, notes = picture_to_rgb(Image.fromarray(values), name)
    else:
        rgb, notes = np.array(np.broadcast_to(values, (*values.shape[:2], 3)), order="C"), []
    return rgb, notes + _about_white(white)


def _channels_last(array: NDArray[Any], name: str, channels_first: bool) -> NDArray[Any]:
    """The array as [H, W, C] with C in 1..4 and at least one pixel."""
    shape = "x".join(map(str, array.shape))
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim != 3:
        hint = "; give the images of a batch as a list" if array.ndim == 4 else ""
        raise ImageError(f"{name} has shape {shape}, which is not one image [H, W] or [H, W, C]{hint}")
    elif array.shape[0] in (1, 2, 3, 4) and (channels_first or array.shape[2] not in (1, 2, 3, 4)):
        array = array.transpose(1, 2, 0)
    if array.shape[2] not in (1, 2, 3, 4):
        raise ImageError(f"{name} has shape {shape}; one of its ends must be 1, 2, 3 or 4 channels")
    if array.size == 0:
        raise ImageError(f"{name} has shape {shape}, so it holds no pixels; give at least one")
    return array


def picture_to_rgb(picture: Image.Image, name: str, reduce: int = 1) -> Rgb:
    """A decoded Pillow picture of any mode as RGB uint8 [ceil(H / reduce), ceil(W / reduce), 3].

    `reduce` averages whole blocks of that many pixels a side. Works in strips: beside the picture and the
    result only a few million pixels are ever held.

    Raises:
        ImageError: a mode without a known way to RGB, or values out of range.
    """
    width, height = picture.size
    white, paper = _white_of(picture, name), 255
    if white is None and _is_clear(picture):
        paper = paper_for(_sampled(strip, width * height, name) for strip in _strips(picture))
    rgb = np.empty((-(-height // reduce), -(-width // reduce), 3), np.uint8)
    row = 0
    for strip in _strips(picture, multiple_of=reduce):
        part = _strip_to_rgb(strip, white, paper, name)
        pixels = np.asarray(part.reduce(reduce) if reduce > 1 else part)
        rgb[row : row + len(pixels)] = pixels
        row += len(pixels)
    notes = [f"transparent areas were filled with {_PAPERS[paper]}, since light ink is lost on white"]
    return rgb, notes * (paper != 255) + _about_white(white)


def _strips(picture: Image.Image, multiple_of: int = 1) -> Iterator[Image.Image]:
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // (width * multiple_of)) * multiple_of
    if rows >= height:
        yield picture
        return
    for top in range(0, height, rows):
        yield picture.crop((0, top, width, min(top + rows, height)))


def _white_of(picture: Image.Image, name: str) -> int | None:
    """White of a picture whose pixels are wider than 8 bits, over all of it; None for the others."""
    if picture.mode not in _WIDE_MODES and not picture.mode.startswith("I;"):
        return None
    ends = [(part.min(), part.max()) for part in map(np.asarray, _strips(picture))]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return white_level(low.dtype, float(low), float(high), name)


def _about_white(white: int | None) -> list[str]:
    bits = (white or 255).bit_length()
    return [f"read as {bits}-bit pixels (white is {white}), by the largest value"] if 8 < bits < 16 else []


def paper_for(strips: Iterator[Image.Image]) -> int:
    """The grey level of the transparent areas of an RGBA picture, given in strips: 255 (white), 0 or 128.

    Visible pixels near transparent ones are ink. Ink is lost on paper of nearly its own grey. White is chosen
    unless another paper loses less than half as much ink.
    """
    ink = np.zeros(256)
    for strip in strips:
        alpha = strip.getchannel("A")
        if alpha.getextrema() == (255, 255):
            continue
        clear = 255 - np.asarray(alpha.filter(ImageFilter.BoxBlur(_NEAR)), np.float32)
        grey = np.asarray(strip.convert("RGB").convert("L"))
        ink += np.bincount(grey.ravel(), (clear * np.asarray(alpha)).ravel(), 256)
    lost = {paper: ink[max(0, paper - _CONTRAST + 1) : paper + _CONTRAST].sum() for paper in _PAPERS}
    lost[255] /= 2
    return min(_PAPERS, key=lambda paper: max(lost[paper], _FEW / 2 * ink.sum()))


def _is_clear(picture: Image.Image) -> bool:
    return picture.mode in _CLEAR_MODES or "transparency" in picture.info


def _strip_to_rgb(strip: Image.Image, white: int | None, paper: int, name: str) -> Image.Image:
    if white is not None:
        strip = Image.fromarray(to_bytes(np.asarray(strip), white))
    elif _is_clear(strip):
        sheet = Image.new("RGBA", strip.size, (paper, paper, paper))
        sheet.alpha_composite(_rgba(strip, name))
        strip = sheet
    return _converted(strip, "RGB", name)


def _sampled(strip: Image.Image, pixels: int, name: str) -> Image.Image:
    """An RGBA strip of a picture of so many pixels, with every second or third pixel of a huge one."""
    step = 1 + math.isqrt(pixels // _SAMPLED_PIXELS)
    size = -(-strip.width // step), -(-strip.height // step)
    return _rgba(strip, name).resize(size, Image.Resampling.NEAREST)


def _rgba(strip: Image.Image, name: str) -> Image.Image:
    return _converted(_converted(strip, _UNMULTIPLIED.get(strip.mode, strip.mode), name), "RGBA", name)


def _converted(strip: Image.Image, mode: str, name: str) -> Image.Image:
    try:
        return strip.convert(mode)
    except ValueError as error:
        raise ImageError(
            f"{name} has pixels of the kind {strip.mode!r}, which cannot be turned into RGB ({error}); "
            "save it as an RGB PNG or JPEG first"
        ) from error
