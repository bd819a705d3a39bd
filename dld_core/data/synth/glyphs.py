"""Lines of words as flat ink masks, before any colour or geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dld_core.data.synth.fonts import Face, load

Box = tuple[float, float, float, float]
Mask = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont


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
        boxes: tight box (left, top, right, bottom) of every word, in canvas pixels.
        texts: one per box.
        rows: top and bottom of every line on the canvas.
    """

    mask: Mask
    boxes: list[Box]
    texts: list[str]
    rows: list[tuple[int, int]]


def _advances(font: Font, word: str, gap: float) -> list[float]:
    """Where the pen goes: one step for a word written in one go, one per letter where letters stand apart."""
    if not gap:
        return [float(font.getlength(word))]
    return [float(font.getlength(character)) + gap for character in word]


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], word: str, font: Font, steps: list[float]
) -> None:
    x, baseline = at
    for part, step in zip(word if len(steps) > 1 else [word], steps, strict=True):
        draw.text((x, baseline), part, fill=255, font=font, anchor="ls")
        x += step


def _tight(mask: Mask, left: int, right: int) -> Box | None:
    """Bounds of the ink between two columns of a freshly written word."""
    part = mask[:, max(left, 0) : right]
    rows, columns = np.flatnonzero(part.max(1, initial=0) > 96), np.flatnonzero(part.max(0, initial=0) > 96)
    if not len(rows):
        return None
    start = max(left, 0)
    return (float(start + columns[0]), float(rows[0]), float(start + columns[-1] + 1), float(rows[-1] + 1))


def ink_line(line: Line) -> Inked:
    """Write one line on a canvas that is just large enough (ink never touches its border)."""
    size = max(4, round(line.height / line.face.capital))
    font = load(line.face.path, size)
    gap, space = line.tracking * line.height, line.spacing * line.height
    steps = [_advances(font, word, gap) for word in line.words]
    widths = [sum(step) - gap for step in steps]
    pad = max(3, round(line.height * 0.5))
    ascent, descent = font.getmetrics()
    width, height = int(sum(widths) + space * (len(widths) - 1)) + 2 * pad + 1, ascent + descent + 2 * pad
    total = np.zeros((height, width), np.uint8)
    boxes: list[Box] = []
    texts: list[str] = []
    x = float(pad)
    for word, step, advance in zip(line.words, steps, widths, strict=True):
        left, right = max(0, int(x) - pad), min(width, int(x + advance) + pad + 1)
        image = Image.new("L", (right - left, height))
        _write(ImageDraw.Draw(image), (x - left, pad + ascent), word, font, step)
        ink = np.asarray(image)
        box = _tight(ink, 0, right - left)
        if box:
            np.maximum(total[:, left:right], ink, out=total[:, left:right])
            boxes.append((box[0] + left, box[1], box[2] + left, box[3]))
            texts.append(word)
        x += advance + space
    return _crop(Inked(total, boxes, texts, [(0, height)]), pad)


def _crop(inked: Inked, pad: int) -> Inked:
    """Cut empty rows and columns away, leaving a margin of `pad` pixels around the ink."""
    if not inked.boxes:
        return inked
    edges = np.asarray(inked.boxes)
    left, top = (max(0, int(v) - pad) for v in edges[:, :2].min(0))
    right, bottom = (int(v) + pad for v in edges[:, 2:].max(0))
    mask = inked.mask[top:bottom, left:right]
    boxes = [(a - left, b - top, c - left, d - top) for a, b, c, d in inked.boxes]
    return Inked(np.ascontiguousarray(mask), boxes, inked.texts, [(0, mask.shape[0])])


def stack(lines: Sequence[Inked], leading: float, align: float, pad: int) -> Inked:
    """Put lines below each other.

    Args:
        lines: from `ink_line`.
        leading: gap between the ink of two lines, in pixels (canvases may overlap, ink does not).
        align: 0 left, 0.5 centred, 1 right.
        pad: margin around everything, in pixels.
    """
    kept = [line for line in lines if line.boxes]
    if not kept:
        return Inked(np.zeros((2 * pad + 1, 2 * pad + 1), np.uint8), [], [], [])
    inks = [np.asarray(line.boxes) for line in kept]
    lefts = [int(ink[:, 0].min()) for ink in inks]
    widths = [int(ink[:, 2].max()) - left for ink, left in zip(inks, lefts, strict=True)]
    tops = [int(ink[:, 1].min()) for ink in inks]
    heights = [int(ink[:, 3].max()) - top for ink, top in zip(inks, tops, strict=True)]
    step = round(leading)
    shape = (sum(heights) + step * (len(kept) - 1) + 2 * pad, max(widths) + 2 * pad)
    mask = np.zeros(shape, np.uint8)
    result = Inked(mask, [], [], [])
    y = pad
    for line, left, top, width, height in zip(kept, lefts, tops, widths, heights, strict=True):
        x = pad + round((max(widths) - width) * align)
        mask[y : y + height, x : x + width] = line.mask[top : top + height, left : left + width]
        result.boxes += [(a - left + x, b - top + y, c - left + x, d - top + y) for a, b, c, d in line.boxes]
        result.texts += line.texts
        result.rows.append((y, y + height))
        y += height + step
    return result
