"""Lines: cut out of the image, brought to the recogniser's height, and their readings cut into words.

As PP-OCR's engines do it. Sources: RapidOCR 3.10 (`process_img`, `ch_ppocr_rec`, `cal_rec_boxes`;
Apache-2.0), after PaddleOCR.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dld_core.decoders.line_encoder import HEIGHT
from dld_plugins.ppocr.regions import Box

Pixels = NDArray[np.uint8]  # [H, W, 3]
Floats = NDArray[np.float64]

_TALL = 1.5  # times as high as wide: read from top to bottom
_FAR = 5  # columns between characters that part words even without a space


@dataclass(frozen=True, slots=True)
class Line:
    """A line in an image.

    Attributes:
        crop: rectified, as it is read.
        box: in the image.
        turned: whether the crop was turned by a right angle, counter-clockwise.
    """

    crop: Pixels
    box: Box
    turned: bool

    @property
    def aspect(self) -> float:
        """Width of the crop by its height."""
        return float(self.crop.shape[1] / self.crop.shape[0])


def cut_out(image: Pixels, box: Box) -> Line:
    """The line in this box, rectified; one that is tall lies on its side."""
    width = int(max(np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[2] - box[3])))
    height = int(max(np.linalg.norm(box[0] - box[3]), np.linalg.norm(box[1] - box[2])))
    matrix = cv2.getPerspectiveTransform(box, _corners(width, height).astype(np.float32))
    crop = cv2.warpPerspective(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    turned = height / width >= _TALL
    return Line(np.asarray(np.rot90(crop) if turned else crop, np.uint8), box, turned)


def _corners(width: float, height: float) -> Floats:
    return np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)


def batches(lines: Sequence[Line], limit: int, least: int) -> Iterator[tuple[list[int], int]]:
    """Indices of lines that are read together, and the width in pixels to which they are padded.

    Args:
        limit: lines in a batch at most.
        least: the smallest width.
    """
    order = sorted(range(len(lines)), key=lambda index: lines[index].aspect)
    for start in range(0, len(order), limit):
        group = order[start : start + limit]
        longest = max(least / HEIGHT, *(lines[index].aspect for index in group))
        yield group, int(HEIGHT * longest)


def as_input(lines: Sequence[Line], width: int, smooth: bool = False) -> NDArray[np.float32]:
    """Lines as the recogniser takes them: [n, 3, 48, width] in [-1, 1], padded with zeros.

    Args:
        smooth: average over the pixels of lines more than twice as high, where the engine skips some. Lines
            of native images may be ten times as high.
    """
    stack = np.zeros((len(lines), 3, HEIGHT, width), np.float32)
    for row, line in zip(stack, lines, strict=True):
        own = min(math.ceil(HEIGHT * line.aspect), width)
        average = smooth and line.crop.shape[0] > 2 * HEIGHT
        how = cv2.INTER_AREA if average else cv2.INTER_LINEAR
        pixels = cv2.resize(line.crop, (own, HEIGHT), interpolation=how).astype(np.float32)
        row[:, :, :own] = pixels.transpose(2, 0, 1) / 127.5 - 1
    return stack


@dataclass(frozen=True, slots=True)
class Reading:
    """What the recogniser says of a line.

    Attributes:
        text: blanks included.
        columns: of every character, the column of the context that says it.
        sure: of every character, in [0, 1].
        count: columns that the line covers; the rest is padding.
    """

    text: str
    columns: NDArray[np.int64]
    sure: NDArray[np.float32]
    count: float

    @property
    def score(self) -> float:
        """The mean over its characters."""
        return float(self.sure.mean()) if len(self.sure) else 0.0


def best_path(tokens: NDArray[np.int64], sure: NDArray[np.float32], charset: str, count: float) -> Reading:
    """The reading of one line's best token in every column.

    Args:
        tokens, sure: [T], 0 the blank, i + 1 the charset's character i; and their probabilities.
        count: columns that the line covers.
    """
    kept = tokens != 0
    kept[1:] &= tokens[1:] != tokens[:-1]
    columns = np.flatnonzero(kept)
    return Reading("".join(charset[token - 1] for token in tokens[kept]), columns, sure[kept], count)


def words_of(line: Line, reading: Reading) -> Iterator[tuple[str, float, Floats]]:
    """The words of a line: text, score and four points, clockwise from the start of the text."""
    groups = _groups(reading)
    if not groups or not reading.count:
        return
    length, height = line.crop.shape[1], line.crop.shape[0]
    column = length / reading.count  # pixels of the crop
    pitch = _pitch(reading, groups, column, length)
    ends = np.array([(reading.columns[group[0]], reading.columns[group[-1]]) for group in groups])
    left = np.maximum(((ends[:, 0] + 0.5) * column - pitch / 2).astype(int), 0).astype(np.float64)
    right = np.minimum(((ends[:, 1] + 0.5) * column + pitch / 2).astype(int), length).astype(np.float64)
    shared = np.maximum(right[:-1] - left[1:], 0) / 2  # neighbours that overlap meet half-way
    right[:-1] -= shared
    left[1:] += shared
    for group, start, end in zip(groups, left, right, strict=True):
        text = "".join(reading.text[index] for index in group)
        corners = np.array([(start, 0), (end, 0), (end, height), (start, height)])
        yield text, float(reading.sure[group].mean()), _in_image(corners, line)


def _groups(reading: Reading) -> list[list[int]]:
    """Places of the characters of each word.

    At blanks and at gaps; a line with Chinese, or of single characters alone, only at its blanks. (There the
    engine gives single characters, which are no words.)
    """
    close: list[list[int]] = [[]]
    blanks: list[list[int]] = [[]]
    for index, character in enumerate(reading.text):
        if character.isspace():
            close.append([])
            blanks.append([])
            continue
        if close[-1] and index and reading.columns[index] - reading.columns[index - 1] > _FAR:
            close.append([])
        close[-1].append(index)
        blanks[-1].append(index)
    parted = [group for group in close if group]
    if any(map(_is_chinese, reading.text)) or (len(parted) > 1 and all(len(group) == 1 for group in parted)):
        return [group for group in blanks if group]
    return parted


def _is_chinese(character: str) -> bool:
    """By the engine's own ranges: ideographs, their punctuation, full-width forms."""
    return any(
        low <= character <= high
        for low, high in (("\u4e00", "\u9fff"), ("\u3000", "\u303f"), ("\uff00", "\uffef"))
    )


def _pitch(reading: Reading, groups: Sequence[Sequence[int]], column: float, length: int) -> float:
    """Mean width of a character in pixels of the crop."""
    spans = [
        (reading.columns[group[-1]] - reading.columns[group[0]]) * column / (len(group) - 1)
        for group in groups
        if len(group) > 1
    ]
    return float(np.mean(spans)) if spans else length / len(reading.text)


def _in_image(points: Floats, line: Line) -> Floats:
    """Points of the crop as read, in the image."""
    across, down = line.crop.shape[1], line.crop.shape[0]
    if line.turned:
        points, (across, down) = np.stack([down - points[:, 1], points[:, 0]], 1), (down, across)
    corners = _corners(across, down).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, line.box).astype(np.float64)
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0], np.float64)
