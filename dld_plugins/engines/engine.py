"""What wrapping an engine takes: its arrays, its lines cut into words, its output made safe.

An engine answers with whatever it likes: lines or words, points outside the image, NaN, None. What leaves a
spotter keeps the contracts (docs/contract.md), so everything passes through `word` here.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dld_core import geometry
from dld_core.errors import MissingExtraError
from dld_core.images.opencv import import_cv2
from dld_core.types import Word

TOO_SMALL = 8  # pixels; a side below this holds nothing legible, and engines fail on it in their own ways


def require(module: str, extra: str) -> Any:
    """Import an engine.

    Args:
        module: its import name.
        extra: the extra of this distribution that installs it.

    Raises:
        MissingExtraError: it is not installed (with the install line).
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] != module.partition(".")[0]:
            raise MissingExtraError(
                f"'{module}' is installed but lacks '{error.name}'; {install_line(extra)}"
            ) from error
        raise MissingExtraError(f"'{module}' is not installed; {install_line(extra)}") from error


def absent(modules: Sequence[str], extra: str) -> str | None:
    """The sentence for those of `modules` that cannot be imported; None where all can (none is imported)."""
    lacking = [name for name in modules if not _is_there(name)]
    verb = "is" if len(lacking) == 1 else "are"
    return f"{' and '.join(lacking)} {verb} not installed; {install_line(extra)}" if lacking else None


def _is_there(module: str) -> bool:
    import sys
    from importlib.util import find_spec

    try:
        return sys.modules.get(module) is not None or find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def install_line(extra: str) -> str:
    """What to type, for messages."""
    return f'`pip install "dld[{extra}]"`'


def to_rgb(image: Tensor) -> NDArray[np.uint8]:
    """The image [3, H, W] as a contiguous RGB array [H, W, 3] of its own memory, on the CPU."""
    return np.array(image.detach().cpu().numpy().transpose(1, 2, 0), dtype=np.uint8, order="C")


def to_bgr(image: Tensor) -> NDArray[np.uint8]:
    """The same with blue first. Large images whose memory is [H, W, 3] already cost little."""
    cv2 = import_cv2()
    pixels = np.ascontiguousarray(image.detach().cpu().numpy().transpose(1, 2, 0), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)


def too_small(image: Tensor) -> bool:
    """Whether nothing in it could be read."""
    return min(image.shape[1:]) < TOO_SMALL


def nearest_multiples(height: int, width: int, of: int) -> tuple[int, int]:
    """Both sides at the nearest multiple, one at least, for networks that take no others."""
    first, second = (max(round(side / of), 1) * of for side in (height, width))
    return first, second


def word(
    text: object, score: object, points: ArrayLike | None, width: int, height: int, charset: Collection[str]
) -> Word | None:
    """One word that keeps the contracts, or None where the engine gave nothing usable.

    Args:
        text: cut to the characters of `charset`; None and blank text make no word.
        score: brought into [0, 1]; what is no number counts 0.
        points: three (x, y) or more, clockwise from the start of the text; moved into the image.
        width, height: of the image, pixels.
    """
    readable = "".join(c for c in text if c in charset).strip() if isinstance(text, str) else ""
    polygon = _polygon(points, width, height)
    if not readable or polygon is None:
        return None
    return Word(readable, _fraction(score), tuple((float(x), float(y)) for x, y in polygon))


def _polygon(points: ArrayLike | None, width: int, height: int) -> NDArray[Any] | None:
    try:
        found = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        return None
    if len(found) < 3 or not np.isfinite(found).all():
        return None
    inside = np.clip(found, 0, (width, height))
    if geometry.area(inside) <= 0:
        return None
    # The start of the text stays first where the order is turned round.
    return inside if geometry.is_clockwise(inside) else np.roll(inside[::-1], 1, axis=0)


def _fraction(score: object) -> float:
    try:
        value = float(score)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def split_line(text: str, quad: ArrayLike) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The words of a line and a quad for each, for engines that tell no more than the line.

    The line is cut across in proportion to the number of characters, blanks included; letters differ in
    width, so the cuts are off by about half a letter.

    Args:
        quad: four (x, y), clockwise from the start of the text.
    """
    top_left, top_right, bottom_right, bottom_left = np.asarray(quad, dtype=np.float64).reshape(4, 2)
    start = 0
    for piece in text.split():
        start = text.index(piece, start)
        left, right = start / len(text), (start + len(piece)) / len(text)
        top, bottom = top_right - top_left, bottom_right - bottom_left
        corners = (
            top_left + left * top,
            top_left + right * top,
            bottom_left + right * bottom,
            bottom_left + left * bottom,
        )
        yield piece, np.array(corners)
        start += len(piece)
