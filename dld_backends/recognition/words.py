"""From detected polygons to words: read along each, turn what stands upright, drop what says nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dld_core.types import Point, Word

Points = NDArray[np.float32]
Spans = tuple[tuple[float, float], ...]
"""Where the words of a line begin and end, as fractions of its length."""


class Reading(NamedTuple):
    """What a region says.

    Attributes:
        text: of one word, or of several parted by blanks.
        sure: in [0, 1].
        spans: one for each word; empty where there is one word, or nobody knows.
    """

    text: str
    sure: float
    spans: Spans = ()


Read = Callable[[Sequence[Points]], list[Reading]]
"""Reads regions of one image."""


def is_tall(polygon: Points) -> bool:
    """Whether a quadrilateral reads up or downwards (so that reading it as it stands should be tried)."""
    along = polygon[1] - polygon[0]
    return len(polygon) == 4 and abs(float(along[1])) > abs(float(along[0]))


def upright(polygon: Points) -> Points:
    """The same quadrilateral, read from left to right."""
    rightwards = polygon[0, 0] >= polygon[3, 0]
    return np.roll(polygon, 1 if rightwards else -1, axis=0)


def certainty(log_prob: float, length: int) -> float:
    """How sure a reading is: the geometric mean over its characters, for a long word is not less certain
    for being long.

    Args:
        log_prob: of the whole text.
        length: its tokens.
    """
    return math.exp(log_prob / max(length, 1))


def read_words(
    read: Read,
    polygons: Sequence[Points],
    scores: Sequence[float],
    size: tuple[int, int],
    threshold: float,
) -> list[Word]:
    """The words of one image, in the order of its polygons.

    Tall quadrilaterals are read both ways, and the surer reading stays. A word's score is the geometric
    mean of how sure its detection and its reading are.

    Args:
        read: of this image.
        polygons, scores: of the detected regions, in pixels, clockwise from the start of the text.
        size: height and width of the image, pixels; polygons are clipped to it.
        threshold: words whose score lies below are dropped, as are those without text.
    """
    shapes = list(polygons)
    tall = [i for i, polygon in enumerate(shapes) if is_tall(polygon)]
    readings = read(shapes + [upright(shapes[i]) for i in tall])
    for extra, index in enumerate(tall, start=len(shapes)):
        if readings[extra].sure > readings[index].sure:
            readings[index], shapes[index] = readings[extra], upright(shapes[index])
    words = []
    for polygon, detected, reading in zip(shapes, scores, readings[: len(shapes)], strict=True):
        score = math.sqrt(detected * reading.sure)
        if score >= threshold:
            for text, part in pieces(polygon, reading):
                words.append(Word(text, min(score, 1.0), _inside(part, size)))
    return words


def pieces(polygon: Points, reading: Reading) -> list[tuple[str, Points]]:
    """The words of a region and their own polygons; all of it together where it is bent."""
    text = reading.text.strip()
    if not reading.spans or len(polygon) != 4:
        return [(text, polygon)] if text else []
    starts, sides = polygon[[0, 3]], polygon[[1, 2]] - polygon[[0, 3]]  # of top and bottom
    parts = []
    for word, (low, high) in zip(text.split(), reading.spans, strict=True):
        (top_left, bottom_left), (top_right, bottom_right) = starts + low * sides, starts + high * sides
        parts.append((word, np.stack([top_left, top_right, bottom_right, bottom_left])))
    return parts


def _inside(polygon: Points, size: tuple[int, int]) -> tuple[Point, ...]:
    height, width = size
    clipped = np.clip(polygon, 0, [width, height])
    return tuple((float(x), float(y)) for x, y in clipped)
