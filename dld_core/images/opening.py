"""One safe way to open any image: a path, bytes, a file, an array, a Pillow picture or a tensor.

Every other part reads images through here, so that all agree on orientation, alpha, bit depth, limits and
messages. `open_image` gives native pixels (data sets, labels); `load_image` bounds memory by decoding very
large pictures smaller, and says so.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dld_core.errors import ImageError
from dld_core.images.files import open_file
from dld_core.images.formats import damaged, identify, webp_size
from dld_core.images.pixels import array_to_rgb, picture_to_rgb

if TYPE_CHECKING:
    from torch import Tensor

_InMemory: TypeAlias = "bytes | bytearray | memoryview | NDArray[Any] | Image.Image | Tensor"
ImageSource: TypeAlias = "str | os.PathLike[str] | IO[bytes] | _InMemory"
_ORIENTATION = 0x0112
_UNDO = {6: 8, 8: 6}  # every other turn is its own inverse


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What may be opened. An argument and no global, so threads and libraries do not disturb each other.

    Attributes:
        max_pixels: a file that declares more is refused before decoding (a decompression bomb). Decoding
            takes about 4 bytes a pixel, less for a JPEG.
        decode_pixels: `load_image` decodes what is larger at 1/2, 1/4 or 1/8 of its size, so that neither
            the pixels nor what is made of them fill the memory.
    """

    max_pixels: int = 200_000_000
    decode_pixels: int = 40_000_000


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An opened image.

    Attributes:
        pixels: RGB uint8 [h, w, 3]; smaller than height x width where it was decoded reduced.
        height, width: of the image as seen (after EXIF turning), at native resolution.
        name: the path or name of the file; None for what came from memory.
        notes: what was done that a user would want to know, one sentence each.
    """

    pixels: NDArray[np.uint8]
    height: int
    width: int
    name: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Request:
    """How to open: the arguments of `open_image`, and whether pixels may come smaller than native."""

    exif: bool
    reduced: bool
    limits: ImageLimits = field(default_factory=ImageLimits)


def open_image(
    source: ImageSource, *, exif: bool = True, limits: ImageLimits | None = None
) -> NDArray[np.uint8]:
    """The native pixels of an image as RGB uint8 [H, W, 3].

    Args:
        source: path, bytes, binary file object, array ([H, W] or [H, W, C]; RGB order), Pillow picture
            or torch tensor ([C, H, W]). Of animations and multi-page files the first frame. What is
            transparent is laid on white; `white_level` in _pixels.py says which value is white.
        exif: turn the picture as its EXIF orientation says (what people see). False gives the pixels as
            stored, which is what the labels of data sets refer to.
        limits: the pixel budget of files and pictures (arrays are in memory already).

    Raises:
        ImageError: absent, empty, truncated, not an image, too large; it names the file and the fix.
    """
    return _load(source, _Request(exif, False, limits or ImageLimits())).pixels


def load_image(source: ImageSource, *, exif: bool = True, limits: ImageLimits | None = None) -> LoadedImage:
    """Like `open_image`, with the native size, the name and notes; huge pictures are decoded smaller."""
    return _load(source, _Request(exif, True, limits or ImageLimits()))


def _load(source: Any, request: _Request) -> LoadedImage:
    if isinstance(source, str | os.PathLike):
        name = os.fsdecode(source)
        with open_file(name) as file:
            return _from_file(file, name, name, request)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(source), "the bytes given", None, request)
    if isinstance(source, Image.Image):
        return _from_picture(source, "the Pillow picture", None, request, own=False)
    if hasattr(source, "read"):
        known = source.name if isinstance(getattr(source, "name", None), str) else None
        return _from_file(_seekable(source), known or "the file object", known, request)
    if hasattr(source, "detach"):
        return _from_array(_tensor_to_array(source), "the tensor", channels_first=True)
    if hasattr(source, "__array__"):
        return _from_array(np.asarray(source), "the array")
    raise ImageError(
        f"cannot read an image from {type(source).__name__}; give a path, bytes, a binary file object, "
        "an array, a Pillow picture or a tensor"
    )


def _from_array(array: NDArray[Any], label: str, channels_first: bool = False) -> LoadedImage:
    pixels = array_to_rgb(array, label, channels_first)
    return LoadedImage(pixels, pixels.shape[0], pixels.shape[1])


def _tensor_to_array(tensor: Any) -> NDArray[Any]:
    """A torch tensor as numpy, without importing torch here (numpy knows no bfloat16)."""
    plain = tensor.detach().cpu()
    return np.asarray((plain.float() if plain.is_floating_point() else plain).numpy())


def _seekable(file: Any) -> IO[bytes]:
    """The file itself where Pillow can move in it, else its content in memory."""
    try:
        file.seek(0)
        if isinstance(file.read(0), bytes):
            return file  # type: ignore[no-any-return]
    except (AttributeError, OSError, ValueError):
        pass
    content = file.read()
    if not isinstance(content, bytes):
        raise ImageError("the file object gives text, not bytes; open it in binary mode ('rb')")
    return io.BytesIO(content)


def _from_file(file: IO[bytes], label: str, name: str | None, request: _Request) -> LoadedImage:
    file.seek(0)
    head = file.read(64)
    if not head:
        raise ImageError(f"{label} is empty (0 bytes); copy or download it again")
    if size := webp_size(head):
        _refuse_bomb(size, request.limits, label)
    with identify(file, head, label) as picture:
        return _from_picture(picture, label, name, request, own=True)


def _refuse_bomb(size: tuple[int, int], limits: ImageLimits, label: str) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{label} says it is {width}x{height}, which is no picture; save it again")
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{label} says it is {width}x{height}, {width * height / 1e6:.0f} megapixels, above the limit of "
            f"{limits.max_pixels / 1e6:g} (a decompression bomb?); shrink or cut it, or raise the limit with "
            "ImageLimits(max_pixels=...) if you trust it"
        )


def _from_picture(
    picture: Image.Image, label: str, name: str | None, request: _Request, own: bool
) -> LoadedImage:
    """Decode within the limits, make it RGB, turn it. Only an `own` picture may be altered on the way."""
    _refuse_bomb(picture.size, request.limits, label)
    stored = _orientation(picture) if picture.format == "TIFF" else 1
    try:
        pixels, (width, height) = _decode(picture, label, request, own)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{label} ({picture.size}) does not fit into memory; shrink it first") from error
    except Exception as error:  # decoders fail on damaged data in any way they like
        raise damaged(label, error) from error
    turn = _orientation(picture)
    if not request.exif:
        # Pillow turns a TIFF while it loads and drops the tag: turn it back to the pixels as stored.
        turn = _UNDO.get(stored, stored) if turn == 1 else 1
    if turn >= 5:
        width, height = height, width
    pixels = _turned(pixels, turn)
    return LoadedImage(pixels, height, width, name, tuple(_notes(pixels, (height, width), picture, own)))


def _decode(
    picture: Image.Image, label: str, request: _Request, own: bool
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """RGB pixels, and the native (width, height), neither turned by EXIF yet.

    A JPEG of ours is decoded reduced (its transform gives 1/2, 1/4, 1/8 for less work and memory); any
    other is decoded whole and averaged down in strips.
    """
    factor, native = 1, picture.size
    while request.reduced and native[0] * native[1] > request.limits.decode_pixels * factor**2:
        factor *= 2
    if factor > 1 and own:
        picture.draft(None, (native[0] // factor, native[1] // factor))
    drafted = picture.size != native
    picture.load()
    return picture_to_rgb(picture, label, 1 if drafted else factor), native if drafted else picture.size


def _notes(pixels: NDArray[np.uint8], native: tuple[int, int], picture: Image.Image, own: bool) -> list[str]:
    notes = []
    if pixels.shape[:2] != native:
        size, full = f"{pixels.shape[1]}x{pixels.shape[0]}", f"{native[1]}x{native[0]}"
        notes.append(f"decoded at {size} instead of {full} to bound memory")
    if own and picture.format != "MPO" and _has_more_frames(picture):  # MPO: a JPEG with a preview inside
        notes.append("holds several frames or pages; only the first was read")
    return notes


def _has_more_frames(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # damage after the first frame does no harm here
        return False


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where there is none or it is damaged."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF is written by all sorts of cameras; broken EXIF is no reason to refuse a photo
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turned(pixels: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Pixels stored with this EXIF orientation as they are meant to be seen."""
    if turn >= 5:  # stored sideways: rows are columns
        pixels = pixels.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
