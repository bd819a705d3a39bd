"""Lines of words as flat ink masks, before any colour or geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from dld_core.data.photometric import Image
from dld_core.data.synth.faces import Face, load


@dataclass(frozen=True, slots=True)
class Line:
    """Words that stand beside each other in one face.

    Attributes:
        words: their texts.
        face: the font.
        height: letter height (of capitals) in canvas pixels.
        spacing: gap between words, in letter heights.
        tracking: extra gap between letters, in letter heights.
    """

    words: Sequence[str]
    face: Face
    height: float
    spacing: float = 0.6
    tracking: float = 0.0


@dataclass(slots=True)
class Inked:
    """A canvas with ink on it.

    Attributes:
        mask: uint8 [h, w], 255 where a letter is.
        boxes: tight box (left, top, right, bottom) of every word in canvas pixels, [n, 4].
        texts: one per box.
    """

    mask: Image
    boxes: NDArray[np.float64]
    texts: list[str]

    def ink(self) -> Inked:
        """The part of the canvas that the words fill."""
        left, top = self.boxes[:, :2].min(0).astype(int)
        right, bottom = self.boxes[:, 2:].max(0).astype(int)
        return Inked(
            self.mask[top:bottom, left:right], self.boxes - np.array([left, top, left, top]), self.texts
        )

    def margin(self) -> int:
        """Free pixels between the words and the border of the canvas."""
        free = self.mask.shape[::-1] - self.boxes[:, 2:]
        return int(min(self.boxes[:, :2].min(), free.min()))


def ink_line(line: Line) -> Inked:
    """Write one line on a canvas that is just large enough (ink never touches its border)."""
    font = load(line.face.path, max(4, round(line.height / line.face.capital)))
    gap, space = line.tracking * line.height, line.spacing * line.height
    # The pen goes one step for a word written in one go, or one per letter where letters stand apart.
    parts = [list(word) if gap else [word] for word in line.words]
    steps = [[float(font.getlength(part)) + gap for part in word] for word in parts]
    widths = [sum(step) - gap for step in steps]
    pad = max(3, round(line.height * 0.5))
    ascent, descent = font.getmetrics()
    height, width = ascent + descent + 2 * pad, int(sum(widths) + space * (len(widths) - 1)) + 2 * pad + 1
    total = np.zeros((height, width), np.uint8)
    boxes, texts, x = [], [], float(pad)
    for word, word_parts, word_steps, advance in zip(line.words, parts, steps, widths, strict=True):
        left, right = max(0, int(x) - pad), min(width, int(x + advance) + pad + 1)
        canvas = Pillow.new("L", (right - left, height))
        draw, pen = ImageDraw.Draw(canvas), x - left
        for part, step in zip(word_parts, word_steps, strict=True):
            draw.text((pen, pad + ascent), part, fill=255, font=font, anchor="ls")
            pen += step
        ink = np.asarray(canvas)
        start, top, wide, tall = cv2.boundingRect((ink > 96).astype(np.uint8))
        if wide:
            np.maximum(total[:, left:right], ink, out=total[:, left:right])
            boxes.append((left + start, top, left + start + wide, top + tall))
            texts.append(word)
        x += advance + space
    return Inked(total, np.array(boxes, np.float64).reshape(-1, 4), texts)


def stack(lines: Sequence[Inked], leading: float, align: float, pad: int) -> Inked:
    """Put lines below each other.

    Args:
        lines: from `ink_line`.
        leading: gap between the ink of two lines, in pixels (canvases may overlap, ink does not).
        align: 0 left, 0.5 centred, 1 right.
        pad: margin around everything, in pixels.
    """
    inks = [line.ink() for line in lines if line.texts]
    heights, widths = ([ink.mask.shape[axis] for ink in inks] for axis in (0, 1))
    step, widest = round(leading), max(widths, default=1)
    mask = np.zeros((max(sum(heights) + step * (len(inks) - 1), 1) + 2 * pad, widest + 2 * pad), np.uint8)
    boxes, y = [np.zeros((0, 4))], pad
    for ink, height, width in zip(inks, heights, widths, strict=True):
        x = pad + round((widest - width) * align)
        mask[y : y + height, x : x + width] = ink.mask
        boxes.append(ink.boxes + np.array([x, y, x, y]))
        y += height + step
    return Inked(mask, np.concatenate(boxes), [text for ink in inks for text in ink.texts])
