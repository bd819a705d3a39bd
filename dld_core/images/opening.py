"""One safe way to open any image: a path, bytes, a file, an array, a Pillow picture or a tensor.

Every other part reads images through here, so that all agree on orientation, alpha, bit depth, limits and
messages. `open_image` gives native pixels (data sets, labels); `load_image` bounds memory by decoding very
large pictures smaller, and says so.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dld_core.errors import ImageError
from dld_core.images.files import local_path, open_file, read_whole
from dld_core.images.formats import damaged, identify, quiet
from dld_core.images.pixels import array_to_rgb, picture_to_rgb

if TYPE_CHECKING:
    from torch import Tensor

_InMemory: TypeAlias = "bytes | bytearray | memoryview | NDArray[Any] | Image.Image | Tensor | LoadedImage"
ImageSource: TypeAlias = "str | os.PathLike[str] | IO[bytes] | _InMemory"
_ORIENTATION = 0x0112
_UNDO = {6: 8, 8: 6}  # every other turn is its own inverse


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What may be opened. An argument and no global, so threads and libraries do not disturb each other.

    Attributes:
        max_pixels: a file that declares more is refused before decoding (a decompression bomb). Decoding
            takes about 4 bytes a pixel. Where it takes more, the limit is lower: a quarter for WebP and AVIF,
            a third for the later frames of an animation, a fifth for a JPEG 2000 at native size.
        decode_pixels: `load_image` decodes what is larger at 1/2, 1/4 or 1/8 of its size, so that neither
            the pixels nor what is made of them fill the memory.
        max_bytes: the most that is taken from a pipe, standard input or a file object.
        max_pages: the most pages that are read of one file.
    """

    max_pixels: int = 200_000_000
    decode_pixels: int = 40_000_000
    max_bytes: int = 1_000_000_000
    max_pages: int = 1000


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An opened image; it may be given wherever an image source is asked for.

    Attributes:
        pixels: RGB uint8 [h, w, 3]; smaller than height x width where it was decoded reduced.
        height, width: of the image as seen (after EXIF turning), at native resolution.
        name: the path or name of the file; None for what came from memory.
        notes: what was done that a user would want to know, one sentence each.
        page: its number in the file, from 1.
    """

    pixels: NDArray[np.uint8]
    height: int
    width: int
    name: str | None = None
    notes: tuple[str, ...] = ()
    page: int = 1


@dataclass(frozen=True, slots=True)
class Request:
    """How to open: the arguments of `load_image`, and whether pixels may come smaller than native."""

    exif: bool
    limits: ImageLimits
    page: int | None = None
    reduced: bool = True


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture whose header was read, its name in messages, the name of its file.

    `own` says whether the picture may be altered.
    """

    picture: Image.Image
    label: str
    name: str | None = None
    own: bool = True


def open_image(
    source: ImageSource, *, exif: bool = True, limits: ImageLimits | None = None
) -> NDArray[np.uint8]:
    """The native pixels of an image as RGB uint8 [H, W, 3].

    Args:
        source: path ("-" is standard input; file:// may stand before it), bytes, binary file object, array
            ([H, W] or [H, W, C]; RGB order), Pillow picture or torch tensor ([C, H, W]). Of animations and
            multi-page files the first frame. Transparent areas become white, or black or grey where light ink
            would be lost on white (`paper_for` in pixels.py). `white_level` says which value is white.
        exif: turn the picture as its EXIF orientation says (what people see). False gives the pixels as
            stored, which is what the labels of data sets refer to.
        limits: the pixel budget of files and pictures (arrays are in memory already).

    Raises:
        ImageError: absent, empty, truncated, not an image, too large; it names the file and the fix.
    """
    return _load(source, Request(exif, limits or ImageLimits(), reduced=False)).pixels


def load_image(
    source: ImageSource, *, exif: bool = True, limits: ImageLimits | None = None, page: int | None = None
) -> LoadedImage:
    """Like `open_image`, with the native size, the name and notes; huge pictures are decoded smaller.

    Args:
        page: which page or frame of a file, from 1; None takes the first, and a note says if there are more.
    """
    return _load(source, Request(exif, limits or ImageLimits(), page))


def _load(source: Any, request: Request) -> LoadedImage:
    found = in_memory(source)
    if found is not None:
        return found
    with opened(source, request.limits) as file:
        if request.page is not None and not turn_to(file, request.page):
            raise ImageError(f"{file.label} has no page {request.page}; pages are counted from 1")
        return decoded(file, request)


def in_memory(source: Any) -> LoadedImage | None:
    """The image in an array or tensor, or one loaded before; None for anything else."""
    if isinstance(source, LoadedImage):
        return source
    if hasattr(source, "detach") and not hasattr(source, "read"):  # a tensor; some files can be detached
        plain = source.detach().cpu()
        array = np.asarray((plain.float() if plain.is_floating_point() else plain).numpy())  # no bfloat16
        pixels, notes = array_to_rgb(array, "the tensor", channels_first=True)
    elif hasattr(source, "__array__"):
        pixels, notes = array_to_rgb(np.asarray(source), "the array")
    else:
        return None
    return LoadedImage(pixels, pixels.shape[0], pixels.shape[1], notes=tuple(notes))


@contextmanager
def opened(source: Any, limits: ImageLimits) -> Iterator[Opened]:
    """The picture in a file, in bytes or in memory, its header read and nothing decoded.

    Raises:
        ImageError: it cannot be had, or is none.
    """
    if isinstance(source, Image.Image):
        yield Opened(source, "the Pillow picture", own=False)
        return
    name: str | None = None
    with ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            label = name = local_path(os.fsdecode(source))
            file = stack.enter_context(open_file(name, limits.max_bytes))
        elif isinstance(source, bytes | bytearray | memoryview):
            label, file = "the bytes given", io.BytesIO(source)
        elif hasattr(source, "read"):
            name = source.name if isinstance(getattr(source, "name", None), str) else None
            label = name or "the file object"
            with suppress(AttributeError, OSError, ValueError):  # it cannot be moved in
                source.seek(0)
            file = io.BytesIO(read_whole(source, label, limits.max_bytes))
        else:
            raise ImageError(
                f"cannot read an image from {type(source).__name__}; give a path, bytes, a binary file "
                "object, an array, a Pillow picture or a tensor"
            )
        with quiet():
            picture = identify(file, label)
        yield Opened(stack.enter_context(picture), label, name)


def turn_to(found: Opened, page: int) -> bool:
    """Make a page, from 1, the one that is decoded next. False where the file ends before it.

    Raises:
        ImageError: damage stands in the way.
    """
    if page <= 1 or not found.own or found.picture.format == "MPO":  # MPO: a JPEG with a preview inside
        return page == 1
    try:
        with quiet():
            found.picture.seek(page - 1)
    except EOFError:
        return False
    except Exception as error:  # plugins fail on damaged files in any way they like
        raise damaged(f"page {page} of {found.label}", error) from error
    return True


def decoded(found: Opened, request: Request) -> LoadedImage:
    """Decode within the limits, make it RGB, turn it."""
    picture = found.picture
    label = found.label if request.page in (None, 1) else f"page {request.page} of {found.label}"
    _refuse_bomb(found, request, label)
    try:
        with quiet():
            stored = _orientation(picture) if picture.format == "TIFF" else 1
            pixels, notes, (width, height) = _decode(found, label, request)
            turn = _orientation(picture)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{label} ({picture.size}) does not fit into memory; shrink it first") from error
    except Exception as error:  # decoders fail on damaged data in any way they like
        raise damaged(label, error) from error
    if not request.exif:
        # Pillow turns a TIFF while it loads and drops the tag: turn it back to the pixels as stored.
        turn = _UNDO.get(stored, stored) if turn == 1 else 1
    if turn >= 5:
        width, height = height, width
    pixels = _turned(pixels, turn)
    if pixels.shape[:2] != (height, width):
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        notes.append(f"decoded at {size} instead of {width}x{height} to bound memory")
    if request.page is None and _has_more_pages(found):
        notes.append("holds several frames or pages; only the first was read")
    return LoadedImage(pixels, height, width, found.name, tuple(notes), request.page or 1)


def _refuse_bomb(found: Opened, request: Request, label: str) -> None:
    (width, height), limit = found.picture.size, request.limits.max_pixels // _weight(found, request)
    if width < 1 or height < 1:
        raise ImageError(f"{label} says it is {width}x{height}, which is no picture; save it again")
    if width * height > limit:
        raise ImageError(
            f"{label} says it is {width}x{height}, {width * height / 1e6:.0f} megapixels, above the limit of "
            f"{limit / 1e6:.3g} (a decompression bomb?); shrink or cut it, or raise the limit with "
            "ImageLimits(max_pixels=...) if you trust it"
        )


def _weight(found: Opened, request: Request) -> int:
    """How many times as much memory as the usual 4 bytes a pixel decoding takes."""
    kind = found.picture.format if found.own else None
    if kind == "JPEG2000":
        return 1 if request.reduced else 5
    if kind in ("GIF", "PNG"):
        return 1 if request.page in (None, 1) else 3  # later frames are drawn on the ones before
    return 4 if kind in ("WEBP", "AVIF") else 1


def _decode(
    found: Opened, label: str, request: Request
) -> tuple[NDArray[np.uint8], list[str], tuple[int, int]]:
    """RGB pixels, notes, and the native (width, height), neither turned by EXIF yet.

    A JPEG or JPEG 2000 of ours is decoded reduced (its transform gives 1/2, 1/4, 1/8 for less work and
    memory); any other is decoded whole and averaged down in strips.
    """
    picture, factor = found.picture, 1
    native = picture.size
    while request.reduced and native[0] * native[1] > request.limits.decode_pixels * factor**2:
        factor *= 2
    if factor > 1 and found.own:
        picture.draft(None, (native[0] // factor, native[1] // factor))
    drafted = picture.size != native
    if factor > 1 and found.own and picture.format == "JPEG2000":
        drafted, picture.reduce = True, factor.bit_length() - 1  # type: ignore[method-assign, assignment]
    picture.load()
    return *picture_to_rgb(picture, label, 1 if drafted else factor), native if drafted else picture.size


def _has_more_pages(found: Opened) -> bool:
    try:
        with quiet():
            more = bool(getattr(found.picture, "is_animated", False))
    except Exception:  # damage after the first page
        more = True
    return more and found.own and found.picture.format != "MPO"


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
