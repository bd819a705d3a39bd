"""How words are coloured: text against what is behind it, outlines, shadows, plates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth import textures
from dld_core.data.synth.sampling import Weighted, chance, integer, pick, uniform
from dld_core.data.synth.textures import Colour

Image = NDArray[np.uint8]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Colours of real signs: road green and blue, warning yellow, shop red, black, white, LED board.
_SIGN_COLOURS = tuple(
    np.array(c, np.float32)
    for c in (
        (245, 245, 242), (250, 250, 250), (235, 232, 222), (20, 20, 22), (30, 60, 130), (0, 90, 60),
        (190, 25, 30), (245, 200, 30), (230, 110, 30), (90, 20, 30), (60, 60, 65), (215, 215, 215),
        (15, 40, 80), (120, 80, 50),
    )
)  # fmt: skip
_CONTRAST = Weighted([("strong", 62), ("fair", 28), ("weak", 10)])
_REACH = {"strong": (110.0, 235.0), "fair": (60.0, 110.0), "weak": (26.0, 60.0)}


def luma(value: Colour) -> float:
    """Brightness of a colour, 0-255."""
    return float(value @ _LUMA)


def contrast(first: Colour, second: Colour) -> float:
    """How far apart two colours look: brightness difference, or part of the chroma difference if larger."""
    difference = np.abs(first - second)
    return max(abs(luma(first) - luma(second)), 0.6 * float(difference.max()))


def text_colour(rng: Generator, behind: Colour) -> Colour:
    """A colour that stands out from `behind`: mostly a lot, at times little."""
    low, high = _REACH[_CONTRAST.draw(rng)]
    level = luma(behind)
    room_up, room_down = 255 - level, level
    upwards = room_up > room_down if abs(room_up - room_down) > 90 else chance(rng, 0.5)
    wanted = min(uniform(rng, low, high), room_up if upwards else room_down)
    target = level + wanted if upwards else level - wanted
    if chance(rng, 0.5):
        return np.clip(np.full(3, target, np.float32) + rng.normal(0, 4, 3).astype(np.float32), 0, 255)
    tint = textures.colour(rng)
    gain = target / max(luma(tint), 1.0)
    tinted = np.clip(tint * gain, 0, 255).astype(np.float32)
    # Clipping may have cost brightness; the rest is made up by mixing in white or black.
    return np.asarray(np.clip(tinted + (target - luma(tinted)), 0, 255), np.float32)


def plate_colour(rng: Generator, behind: Colour) -> Colour:
    """The colour of a sign board."""
    if chance(rng, 0.6):
        return textures.near(rng, pick(rng, _SIGN_COLOURS), 8)
    return textures.near(rng, behind, 40) if chance(rng, 0.4) else textures.colour(rng)


@dataclass(frozen=True, slots=True)
class Style:
    """Colours of one group of words.

    Attributes:
        fill: text colour, [3].
        fade: a second text colour that the first runs into from top to bottom, or None.
        opacity: of the text, 0-1.
        outline: colour and width in canvas pixels, or None.
        shadow: colour, offset x and y, blur, opacity, or None.
        hollow: only the outline of the letters is drawn.
        wear: share of the ink that is scratched off.
        dots: pitch in canvas pixels of an LED dot pattern, or 0.
    """

    fill: Colour
    fade: Colour | None = None
    opacity: float = 1.0
    outline: tuple[Colour, int] | None = None
    shadow: tuple[Colour, int, int, float, float] | None = None
    hollow: bool = False
    wear: float = 0.0
    dots: int = 0


def draw_style(rng: Generator, behind: Colour, busy: float, height: float) -> Style:
    """A style readable on `behind` (mean colour) of deviation `busy`, for letters this high (pixels)."""
    fill = text_colour(rng, behind)
    help_needed = busy > 35
    outline = shadow = None
    if height > 12 and chance(rng, 0.35 if help_needed else 0.08):
        width = max(1, round(height * uniform(rng, 0.03, 0.11)))
        outline = (text_colour(rng, fill), width)
    if height > 10 and chance(rng, 0.35 if help_needed else 0.15):
        reach = max(1.0, height * uniform(rng, 0.02, 0.12))
        dark = textures.near(rng, np.zeros(3, np.float32) if luma(fill) > 90 else fill * 0.4, 10)
        offset = (round(uniform(rng, -reach, reach)), round(uniform(rng, 0.3, 1.0) * reach))
        shadow = (dark, *offset, reach * uniform(rng, 0.0, 0.7), uniform(rng, 0.3, 0.9))
    fade = textures.near(rng, fill, 25) if chance(rng, 0.15) else None
    return Style(
        fill=fill,
        fade=fade,
        opacity=uniform(rng, 0.75, 1.0) if chance(rng, 0.35) else 1.0,
        outline=outline,
        shadow=shadow,
        hollow=outline is not None and height > 26 and chance(rng, 0.15),
        wear=uniform(rng, 0.1, 0.35) if height > 14 and chance(rng, 0.07) else 0.0,
        dots=integer(rng, 3, 5) if height > 24 and chance(rng, 0.03) else 0,
    )


def legibility(style: Style, behind: Colour, busy: float) -> float:
    """How clearly words of this style stand out from what is behind them, in grey levels."""
    if style.outline:
        edge = contrast(style.outline[0], behind if style.hollow else style.fill)
        return max(edge, contrast(style.fill, behind) * style.opacity)
    calm = 1.0 if style.shadow else 1.0 + busy / 60.0
    return contrast(style.fill, behind) * style.opacity / calm


def lay(rgb: Image, alpha: Image, tone: Colour | NDArray[np.float32], mask: Image) -> None:
    """Paint `tone` ([3] or [h, 1, 3]) through a mask onto a canvas, in place."""
    weight = cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB)
    paint = np.empty_like(rgb)
    paint[:] = tone
    cv2.multiply(paint, weight, dst=paint, scale=1 / 255)
    cv2.multiply(rgb, cv2.bitwise_not(weight), dst=rgb, scale=1 / 255)
    cv2.add(rgb, paint, dst=rgb)
    cv2.max(alpha, mask, dst=alpha)


def _worn(rng: Generator, ink: Image, style: Style) -> Image:
    if style.wear:
        cells = (max(3, ink.shape[0] // 4), max(3, ink.shape[1] // 4))
        holes = textures.field(rng, (ink.shape[0], ink.shape[1]), cells) < style.wear
        ink = np.where(holes, ink // 4, ink)
    if style.dots:
        ys, xs = np.arange(ink.shape[0])[:, None] % style.dots, np.arange(ink.shape[1])[None] % style.dots
        ink = np.where((ys == 0) | (xs == 0), ink // 5, ink)
    return np.asarray(ink, np.uint8)


def _shadow_mask(ink: Image, offset: tuple[int, int], blur: float, opacity: float) -> Image:
    matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float32)
    moved = cv2.warpAffine(ink, matrix, (ink.shape[1], ink.shape[0]))
    if blur > 0.4:
        moved = cv2.GaussianBlur(moved, (0, 0), blur)
    return np.asarray(cv2.convertScaleAbs(moved, alpha=opacity))


def _ramp(top: Colour, bottom: Colour, height: int) -> NDArray[np.float32]:
    """Rows of colours that run from one to another, [height, 1, 3]."""
    mix = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return np.asarray(top * (1 - mix) + bottom * mix, np.float32)


def colourise(
    rng: Generator, ink: Image, style: Style, plate: tuple[Image, Image] | None
) -> tuple[Image, Image]:
    """Turn an ink mask into colours and alpha.

    Args:
        rng: draws the wear.
        ink: uint8 [h, w].
        style: the colours.
        plate: colour [h, w, 3] and alpha [h, w] of a board to paint on (changed in place), or None.

    Returns:
        Colour [h, w, 3] and alpha [h, w], uint8. Where alpha is 0 the colour is that of the lowest layer,
        so that interpolation leaves no fringe.
    """
    lowest = style.shadow[0] if style.shadow else style.outline[0] if style.outline else style.fill
    if plate is None:
        rgb, alpha = np.empty((*ink.shape, 3), np.uint8), np.zeros(ink.shape, np.uint8)
        rgb[:] = lowest
    else:
        rgb, alpha = plate
    if style.shadow:
        tone, right, down, blur, opacity = style.shadow
        lay(rgb, alpha, tone, _shadow_mask(ink, (right, down), blur, opacity))
    ink = _worn(rng, ink, style)
    if style.outline:
        tone, width = style.outline
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
        ring = cv2.dilate(ink, kernel)
        lay(rgb, alpha, tone, np.asarray(cv2.subtract(ring, ink) if style.hollow else ring, np.uint8))
    if not style.hollow:
        tone = style.fill if style.fade is None else _ramp(style.fill, style.fade, ink.shape[0])
        if style.outline is None and style.shadow is None and plate is None and style.fade is None:
            return rgb, np.asarray(cv2.convertScaleAbs(ink, alpha=style.opacity))
        lay(rgb, alpha, tone, np.asarray(cv2.convertScaleAbs(ink, alpha=style.opacity)))
    return rgb, alpha


def plate_canvas(rng: Generator, size: tuple[int, int], tone: Colour, margin: int) -> tuple[Image, Image]:
    """An empty sign board on a canvas (height, width): colour and alpha, with frame, light and grain.

    The frame keeps within `margin` pixels of the border.
    """
    height, width = size
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = tone
    if chance(rng, 0.5):
        light = np.asarray(rng.random((2, 2, 1)), np.float32) * uniform(rng, 0, 60) - 30
        corners = np.clip(tone + light, 0, 255).astype(np.uint8)
        rgb = np.asarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR))
    alpha = _plate_shape(rng, size)
    if margin >= 4 and chance(rng, 0.4):
        thick = integer(rng, 1, max(1, margin // 4))
        inset = integer(rng, thick // 2, max(thick // 2, margin - thick - 2))
        frame = textures.rgb(text_colour(rng, tone))
        cv2.rectangle(rgb, (inset, inset), (width - 1 - inset, height - 1 - inset), frame, thick)
    if chance(rng, 0.3) and height * width < 200_000:
        rgb = textures.add_grain(rng, rgb, uniform(rng, 1, 8))
    return rgb, alpha


def _plate_shape(rng: Generator, size: tuple[int, int]) -> Image:
    height, width = size
    if chance(rng, 0.6):
        return np.full(size, 255, np.uint8)
    alpha = np.zeros(size, np.uint8)
    radius = max(1, int(min(size) * uniform(rng, 0.05, 0.5)))
    cv2.rectangle(alpha, (radius, 0), (width - 1 - radius, height - 1), 255, -1)
    cv2.rectangle(alpha, (0, radius), (width - 1, height - 1 - radius), 255, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(alpha, (x, y), radius, 255, -1)
    return alpha
