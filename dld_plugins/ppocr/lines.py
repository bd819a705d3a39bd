"""Lines: cut out of the image at the recogniser's height, and their readings cut into words.

A word ends where the recogniser sees a space. It sees more of them than it prints: between the words of a
narrow or blurred line the blank is likelier by a little. The boxes of words go by the ink of the line, so
neither depends on how far apart the letters stand, nor on how a crop was padded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dld_core.decoders.line_encoder import COLUMN, HEIGHT
from dld_plugins.ppocr.regions import Box

Pixels = NDArray[np.uint8]  # [H, W, 3]
Floats = NDArray[np.float64]

_TALL = 1.5  # times as high as wide: read from top to bottom
_LEAST_STEP = 32  # pixels between the widths to which lines are padded
_SPACE = 0.1  # probability of a space from which a column without a character is one
_INK = 0.4  # contrast of a column or row with ink, by that of the line
_APART = 9  # pixels between letters that are set with spaces
_WIDER = 1.3  # times as wide as these: a space between words
_SPELT = 4  # letters, each by itself, that are one word
_INSIDE = slice(5, -5)  # rows where a line's own letters are, and its neighbours' are not
_ALONG, _ACROSS = 1.5, 4.0  # pixels left round the ink of a word


@dataclass(frozen=True, slots=True)
class Line:
    """A line in an image.

    Attributes:
        crop: [48, w, 3], rectified, as it is read.
        corners: of the crop in the image, [4, 2], from the start of the text on, clockwise.
    """

    crop: Pixels
    corners: Box

    @property
    def width(self) -> int:
        """Of the crop in pixels."""
        return int(self.crop.shape[1])


def cut_out(image: Pixels, box: Box, smooth: bool = False) -> Line:
    """The line in this box, rectified; one that is tall lies on its side.

    Args:
        smooth: average over the pixels of lines more than twice as high, where the engine skips some. Lines
            of native images may be ten times as high.
    """
    width = int(max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3])))
    height = int(max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2])))
    if height / width >= _TALL:
        box, width, height = np.roll(box, -1, axis=0), height, width
    size = math.ceil(HEIGHT * width / height), HEIGHT
    finer = max(1, round(height / HEIGHT)) if smooth else 1
    whole = size[0] * finer, size[1] * finer
    matrix = cv2.getPerspectiveTransform(box - np.float32(0.5), _corners(*whole) - np.float32(0.5))
    crop = cv2.warpPerspective(image, matrix, whole, borderMode=cv2.BORDER_REPLICATE)
    if finer > 1:
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    return Line(np.asarray(crop, np.uint8), box)


def _corners(width: float, height: float) -> NDArray[np.float32]:
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)


def batches(lines: Sequence[Line], area: int, least: int) -> Iterator[tuple[list[int], int]]:
    """Indices of lines that are read together, and the width in pixels to which they are padded.

    Widths are few: four or fewer between one power of two and the next.

    Args:
        area: pixels of a batch, in widths: what its lines may measure together.
        least: the smallest width.
    """
    group: list[int] = []
    last = 0
    for index in sorted(range(len(lines)), key=lambda index: lines[index].width):
        own = max(lines[index].width, least)
        step = max(_LEAST_STEP, 1 << (own - 1).bit_length() - 3)
        width = -(-own // step) * step
        if group and (width != last or (len(group) + 1) * width > area):
            yield group, last
            group = []
        group.append(index)
        last = width
    if group:
        yield group, last


def as_input(lines: Sequence[Line], width: int) -> NDArray[np.float32]:
    """Lines as the recogniser takes them: [n, 3, 48, width] in [-1, 1], padded with zeros."""
    stack = np.zeros((len(lines), 3, HEIGHT, width), np.float32)
    for row, line in zip(stack, lines, strict=True):
        row[:, :, : line.width] = line.crop.transpose(2, 0, 1) / np.float32(127.5) - 1
    return stack


@dataclass(frozen=True, slots=True)
class Reading:
    """What the recogniser says of a line.

    Attributes:
        text: spaces included.
        columns: of every character, the column of the context that says it.
        sure: of every character, in [0, 1].
    """

    text: str
    columns: NDArray[np.int64]
    sure: NDArray[np.float32]

    @property
    def score(self) -> float:
        """The mean over its characters."""
        return float(self.sure.mean()) if len(self.sure) else 0.0


def best_path(
    tokens: NDArray[np.int64], sure: NDArray[np.float32], spaces: NDArray[np.float32], charset: str
) -> Reading:
    """The reading of one line's best token in every column, and of the spaces that are likely enough.

    Args:
        tokens, sure: [T], 0 the blank, i + 1 the charset's character i; and their probabilities.
        spaces: [T], the probability of a space.
        charset: its last character is the space.
    """
    tokens = np.where((tokens == 0) & (spaces > _SPACE), len(charset), tokens)
    kept = tokens != 0
    kept[1:] &= tokens[1:] != tokens[:-1]
    text = "".join(charset[token - 1] for token in tokens[kept])
    return Reading(text, np.flatnonzero(kept), sure[kept])


def words_of(line: Line, reading: Reading) -> Iterator[tuple[str, float, Floats]]:
    """The words of a line: text, score and four points, clockwise from the start of the text."""
    letters = np.array([place for place, character in enumerate(reading.text) if not character.isspace()])
    if not len(letters):
        return
    grey = cv2.cvtColor(line.crop, cv2.COLOR_BGR2GRAY).astype(np.float32)
    centres = ((reading.columns[letters] + 0.5) * COLUMN).clip(0, line.width)
    starts, ends = _gaps(_inked(grey[_INSIDE]), centres)
    margins = np.minimum(_ALONG, (ends - starts) / 2)
    lefts, rights = (ends - margins).clip(0), (starts + margins).clip(None, line.width)[1:]
    rows = np.flatnonzero(_inked(grey.T))
    top, bottom = max(rows[0] - _ACROSS, 0), min(rows[-1] + 1 + _ACROSS, HEIGHT)
    parted = _parted(reading.text, letters, (ends - starts)[1:-1])
    for word in np.split(np.arange(len(letters)), np.flatnonzero(parted) + 1):
        left, right = lefts[word[0]], rights[word[-1]]
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        text = "".join(reading.text[place] for place in letters[word])
        yield text, float(reading.sure[letters[word]].mean()), _in_image(corners, line)


def _inked(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which columns of [h, w] hold ink."""
    contrast = np.ptp(pixels, axis=0)
    return np.asarray(contrast >= _INK * np.percentile(contrast, 90))


def _gaps(inked: NDArray[np.bool_], centres: Floats) -> tuple[Floats, Floats]:
    """Starts and ends of the stretches without ink before, between and after n letters, [n + 1] each.

    The longest between neighbours, without length where all is ink. Beyond the line there is no ink.
    """
    bare = np.r_[False, True, ~inked, True, False]
    edges = np.flatnonzero(np.diff(bare)).reshape(-1, 2) - 1.0
    after, before = np.r_[-1, centres][:, None], np.r_[centres, len(inked) + 1][:, None]
    starts, ends = np.maximum(edges[:, 0], after), np.minimum(edges[:, 1], before)
    longest = np.argmax(ends - starts, axis=1)[:, None]
    first, last = (np.take_along_axis(side, longest, 1)[:, 0] for side in (starts, ends))
    middle = (after + before)[:, 0] / 2
    return np.where(last > first, first, middle), np.where(last > first, last, middle)


def _parted(text: str, letters: NDArray[np.int64], gaps: Floats) -> NDArray[np.bool_]:
    """Where words end: at spaces, but for those that are no wider than what stands between all letters.

    Letters that stand apart are read as single ones: "E C O N O M Y", "HOTE L".

    Args:
        letters: places in the text of what is no space.
        gaps: bare pixels between each letter and the next.
    """
    spaces = np.diff(letters) > 1
    within = gaps[~spaces]
    if spaces.all() and len(letters) >= _SPELT and all(text[place].isalpha() for place in letters):
        within = gaps
    usual = float(np.median(within)) if len(within) else 0.0
    return spaces & ((gaps > _WIDER * usual) | (usual < _APART))


def _in_image(points: Floats, line: Line) -> Floats:
    """Points of the crop in the image."""
    matrix = cv2.getPerspectiveTransform(_corners(line.width, HEIGHT), line.corners).astype(np.float64)
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0], np.float64)
