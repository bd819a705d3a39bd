"""The Robust Reading rules written the plain way: one image, one pair of polygons after another.

An independent second box_outputs on dld_core.evaluation (the tests compare the two), and what its speed is
measured against.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from shapely import make_valid
from shapely.geometry import Polygon

SPECIAL = "!?.:,*\"()·[]/'"
Points = Sequence[Sequence[float]]


@dataclass
class PlainWord:
    """One annotated (or, without `ignore`, found) word."""

    points: Points
    text: str
    ignore: bool = False


@dataclass
class PlainCounts:
    """Sums over a data set."""

    truth: int = 0
    found: int = 0
    matched: int = 0
    correct: int = 0
    pairs: list[tuple[int, int, int]] = field(default_factory=list)


def shoelace(points: Points) -> float:
    """Absolute area of the outline as drawn."""
    total = 0.0
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        total += x1 * y2 - x2 * y1
    return abs(total) / 2


def intersection(first: Points, second: Points) -> float:
    """Common area of two outlines, insides by the even-odd rule."""
    shapes = [Polygon(points) for points in (first, second)]
    shapes = [shape if shape.is_valid else make_valid(shape, method="linework") for shape in shapes]
    return float(shapes[0].intersection(shapes[1]).area)


def spotting_word(text: str) -> str | None:
    """The form that word spotting compares, or None for a word it does not care for."""
    if text.endswith(("'s", "'S")):
        text = text[:-2]
    text = text.strip("-")
    for character in SPECIAL:
        text = text.replace(character, " ")
    text = text.strip()
    if " " in text or len(text) < 3:
        return None
    for character in text:
        latin = "\u00c0" <= character <= "\u01bf" and character not in "\u00d7\u00f7"
        more = "\u01c4" <= character <= "\u027f" or "\u0386" <= character <= "\u03ff"
        if not (character in string.ascii_letters + "-" or latin or more):
            return None
    return text


def same(truth: str, read: str) -> bool:
    """End-to-end equality."""
    truth, read = truth.upper(), read.upper()
    allowed = {truth}
    if truth and truth[0] in SPECIAL:
        allowed.add(truth[1:])
    if truth and truth[-1] in SPECIAL:
        allowed.add(truth[:-1])
    if truth and truth[0] in SPECIAL and truth[-1] in SPECIAL:
        allowed.add(truth[1:-1])
    return read in allowed


def evaluate_plainly(
    truth: Sequence[Sequence[PlainWord]],
    found: Sequence[Sequence[PlainWord]],
    iou: float = 0.5,
    spotting: bool = False,
) -> PlainCounts:
    """Count over images, in the order given, by the challenge's double loop."""
    total = PlainCounts()
    for image, (words, detections) in enumerate(zip(truth, found, strict=True)):
        _one_image(image, words, detections, iou, spotting, total)
    return total


def _one_image(
    image: int,
    words: Sequence[PlainWord],
    detections: Sequence[PlainWord],
    iou: float,
    spotting: bool,
    total: PlainCounts,
) -> None:
    texts = [spotting_word(word.text) if spotting else word.text for word in words]
    ignore = [word.ignore or text is None for word, text in zip(words, texts, strict=True)]
    hidden = []
    for detection in detections:
        area = shoelace(detection.points)
        inside = [
            intersection(word.points, detection.points) / area > iou
            for word, skip in zip(words, ignore, strict=True)
            if skip and area
        ]
        hidden.append(any(inside))
    overlaps = np.zeros((len(words), len(detections)))
    for row, word in enumerate(words):
        for column, detection in enumerate(detections):
            common = intersection(word.points, detection.points)
            union = shoelace(word.points) + shoelace(detection.points) - common
            overlaps[row, column] = common / union if union else 0
    taken: set[int] = set()
    for row, text in enumerate(texts):
        for column, detection in enumerate(detections):
            if ignore[row] or hidden[column] or column in taken or overlaps[row, column] <= iou:
                continue
            taken.add(column)
            total.matched += 1
            total.pairs.append((image, row, column))
            right = (
                (text or "").upper() == detection.text.upper()
                if spotting
                else same(text or "", detection.text)
            )
            total.correct += right
            break
    total.truth += ignore.count(False)
    total.found += hidden.count(False)
