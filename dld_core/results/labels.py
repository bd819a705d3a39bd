"""Where to put a label beside a word so that it hides as little as possible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

_HIDES_LABEL, _HIDES_WORD = 4.0, 1.0  # cost of each pixel of another label, of another word
_LESS_LIKED = 0.06  # cost per step down the list of places, as a share of the label's area


def place_label(
    size: tuple[int, int],
    word: Box,
    picture: tuple[int, int],
    labels: Sequence[Box],
    words: Sequence[Box],
    gap: float = 2.0,
) -> tuple[int, int]:
    """The left top corner (x, y) of a label.

    Above the word is liked best, then below, then beside it, then on it. A place that hides labels
    already there or other words costs what it hides.

    Args:
        size: width and height of the label.
        word: the box that it belongs to.
        picture: width and height of the picture; the label stays inside it where it fits at all.
        labels, words: what is there already.
        gap: between word and label, pixels.
    """
    width, height = size
    left, top, right, bottom = word
    places = [
        (left, top - height - gap),
        (right - width, top - height - gap),
        (left, bottom + gap),
        (right - width, bottom + gap),
        (right + gap, (top + bottom - height) / 2),
        (left - width - gap, (top + bottom - height) / 2),
        (left, top - 2 * height - 2 * gap),
        (left, bottom + height + 2 * gap),
        (left, top),
    ]
    inside = [(_within(x, width, picture[0]), _within(y, height, picture[1])) for x, y in places]
    covers = np.array([(x, y, x + width, y + height) for x, y in inside], np.float64)
    costs = _LESS_LIKED * width * height * np.arange(len(places))
    costs += _HIDES_LABEL * _shared(covers, labels) + _HIDES_WORD * _shared(covers, words)
    costs += 0.5 * _HIDES_WORD * _shared(covers, [word])
    return inside[int(np.argmin(costs))]


def _within(start: float, length: int, available: int) -> int:
    return round(max(0.0, min(start, available - length)))


def _shared(covers: NDArray[np.float64], boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Pixels that each cover [P, 4] shares with all boxes together: [P]."""
    if not boxes:
        return np.zeros(len(covers))
    other = np.array(boxes, np.float64)
    low = np.maximum(covers[:, None, :2], other[None, :, :2])
    high = np.minimum(covers[:, None, 2:], other[None, :, 2:])
    areas: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
    return areas
