"""Pixels of every kind (grey, alpha, palette, CMYK, 1, 16 and 32 bit, float) as RGB uint8 [H, W, 3].

One rule says which value is white, for files and arrays alike (see `white_level`); what is transparent is
laid on white paper, because text on transparent ground is nearly always dark.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dld_core.errors import ImageError

_STRIP_PIXELS = 4_000_000  # a big picture is converted in strips of this size, so copies stay small
_WIDE_MODES = ("I", "F")  # and every mode that starts with "I;"
_UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


def white_level(dtype: np.dtype[Any], low: float, high: float, name: str) -> int:
    """The value that stands for white in pixels of this type that lie in [low, high].

    - bool: True. uint8: 255.
    - other integers: 255 where nothing exceeds 255, else 65535 (16 bit; 257 or 256 times an 8-bit value
      gives that value back).
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
        return 255 if high <= 255 else 65535
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
    if white == 65535:
        return (values >> 8).astype(np.uint8)
    if values.dtype.kind != "f":
        return (values.astype(np.uint8) * (255 if values.dtype.kind == "b" else 1)).astype(np.uint8)
    return np.clip(values * (255 / white) + 0.5, 0, 255).astype(np.uint8)


def array_to_rgb(
    array: NDArray[Any], name: str = "the array", channels_first: bool = False
) -> NDArray[np.uint8]:
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
    channels = values.shape[2]
    colour = values[:, :, : 1 if channels < 3 else 3]
    if channels in (2, 4):
        colour = _on_paper(colour, values[:, :, -1:])
    return np.array(np.broadcast_to(colour, (*values.shape[:2], 3)), order="C")


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


def _on_paper(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    opacity = alpha.astype(np.uint16)
    mixed = colour.astype(np.uint16) * opacity + 255 * (255 - opacity)
    return ((mixed + 127) // 255).astype(np.uint8)


def picture_to_rgb(picture: Image.Image, name: str, reduce: int = 1) -> NDArray[np.uint8]:
    """A decoded Pillow picture of any mode as RGB uint8 [ceil(H / reduce), ceil(W / reduce), 3].

    `reduce` averages whole blocks of that many pixels a side. Works in strips: beside the picture and the
    result only a few million pixels are ever held.

    Raises:
        ImageError: a mode without a known way to RGB, or values out of range.
    """
    white = _white_of(picture, name)
    width, height = picture.size
    rgb = np.empty((-(-height // reduce), -(-width // reduce), 3), np.uint8)
    row = 0
    for strip in _strips(picture, multiple_of=reduce):
        part = _strip_to_rgb(strip, white, name)
        pixels = np.asarray(part.reduce(reduce) if reduce > 1 else part)
        rgb[row : row + len(pixels)] = pixels
        row += len(pixels)
    return rgb


def _strips(picture: Image.Image, multiple_of: int) -> Iterator[Image.Image]:
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // (width * multiple_of)) * multiple_of
    if rows >= height:
        yield picture
        return
    for top in range(0, height, rows):
        yield picture.crop((0, top, width, min(top + rows, height)))


def _is_wide(picture: Image.Image) -> bool:
    return picture.mode in _WIDE_MODES or picture.mode.startswith("I;")


def _white_of(picture: Image.Image, name: str) -> int | None:
    """White of a picture whose pixels are wider than 8 bits, over all of it; None for the others."""
    if not _is_wide(picture):
        return None
    lows, highs, dtype = [], [], np.dtype(np.uint16)
    for strip in _strips(picture, 1):
        values = np.asarray(strip)
        dtype = values.dtype
        lows.append(float(values.min()))
        highs.append(float(values.max()))
    return white_level(dtype, min(lows), max(highs), name)


def _strip_to_rgb(strip: Image.Image, white: int | None, name: str) -> Image.Image:
    if white is not None:
        return Image.fromarray(to_bytes(np.asarray(strip), white)).convert("RGB")
    try:
        if strip.mode in _UNMULTIPLIED:
            strip = strip.convert(_UNMULTIPLIED[strip.mode])
        if strip.mode in ("RGBA", "LA", "PA") or "transparency" in strip.info:
            paper = Image.new("RGBA", strip.size, "white")
            paper.alpha_composite(strip.convert("RGBA"))
            strip = paper
        return strip.convert("RGB")
    except ValueError as error:
        raise ImageError(
            f"{name} has pixels of the kind {strip.mode!r}, which cannot be turned into RGB ({error}); "
            "save it as an RGB PNG or JPEG first"
        ) from error
