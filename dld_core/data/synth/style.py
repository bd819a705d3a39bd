"""How words are coloured: text against what is behind it, outlines, shadows, plates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from dld_core.data.photometric import LUMA, Image, gaussian, noisy
from dld_core.data.synth import textures
from dld_core.data.synth.sampling import Weighted, integer, pick
from dld_core.data.synth.textures import Colour

# Colours of real signs: road green and blue, warning yellow, shop red, black, white, LED board.
_SIGN_COLOURS = tuple(
    np.array(c, np.float32)
    for c in (
        (245, 245, 242), (250, 250, 250), (235, 232, 222), (20, 20, 22), (30, 60, 130), (0, 90, 60),
        (190, 25, 30), (245, 200, 30), (230, 110, 30), (90, 20, 30), (60, 60, 65), (215, 215, 215),
        (15, 40, 80), (120, 80, 50),
    )
)  # fmt: skip
_CONTRAST = Weighted(((110.0, 235.0), (60.0, 110.0), (26.0, 60.0)), (62, 28, 10))


def luma(value: Colour) -> float:
    """Brightness of a colour, 0-255."""
    return float(value @ LUMA)


def contrast(first: Colour, second: Colour) -> float:
    """How far apart two colours look: brightness difference, or part of the chroma difference if larger."""
    return max(abs(luma(first) - luma(second)), 0.6 * float(np.abs(first - second).max()))


def text_colour(rng: Generator, behind: Colour) -> Colour:
    """A colour that stands out from `behind`: mostly a lot, at times little."""
    level, wanted = luma(behind), rng.uniform(*_CONTRAST.sample(rng))
    lighter = level < 127.5 if abs(255 - 2 * level) > 90 else rng.random() < 0.5
    target = min(level + wanted, 255.0) if lighter else max(level - wanted, 0.0)
    if rng.random() < 0.5:
        return np.asarray(np.clip(target + rng.normal(0, 4, 3), 0, 255), np.float32)
    tint = textures.colour(rng)
    tinted = np.clip(tint * (target / max(luma(tint), 1.0)), 0, 255)
    # Clipping may have cost brightness; the rest is made up by mixing in white or black.
    return np.asarray(np.clip(tinted + (target - luma(tinted)), 0, 255), np.float32)


def plate_colour(rng: Generator, behind: Colour) -> Colour:
    """The colour of a sign board."""
    if rng.random() < 0.6:
        return textures.near(rng, pick(rng, _SIGN_COLOURS), 8)
    return textures.near(rng, behind, 40) if rng.random() < 0.4 else textures.colour(rng)


@dataclass(frozen=True, slots=True)
class Style:
    """Colours of one group of words.

    Attributes:
        fill: text colour, [3].
        fade: a second text colour that the first runs into from top to bottom, or None.
        opacity: of the text, 0-1.
        outline: colour and width in canvas pixels, or None.
        shadow: colour, offset x and y, blur, opacity, or None.
        hollow: whether the letters are an outline alone.
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

    @classmethod
    def sample(cls, rng: Generator, behind: Colour, busy: float, height: float) -> Style:
        """One readable on `behind` (mean colour) of deviation `busy`, for letters this high (pixels)."""
        fill = text_colour(rng, behind)
        outline = shadow = None
        if height > 12 and rng.random() < (0.35 if busy > 35 else 0.08):
            outline = (text_colour(rng, fill), max(1, round(height * rng.uniform(0.03, 0.11))))
        if height > 10 and rng.random() < (0.35 if busy > 35 else 0.15):
            reach = max(1.0, height * rng.uniform(0.02, 0.12))
            dark = textures.near(rng, np.zeros(3, np.float32) if luma(fill) > 90 else fill * 0.4, 10)
            offset = (round(rng.uniform(-reach, reach)), round(rng.uniform(0.3, 1.0) * reach))
            shadow = (dark, *offset, reach * rng.uniform(0.0, 0.7), rng.uniform(0.3, 0.9))
        return cls(
            fill=fill,
            fade=textures.near(rng, fill, 25) if rng.random() < 0.15 else None,
            opacity=rng.uniform(0.75, 1.0) if rng.random() < 0.35 else 1.0,
            outline=outline,
            shadow=shadow,
            hollow=outline is not None and height > 26 and rng.random() < 0.15,
            wear=rng.uniform(0.1, 0.35) if height > 14 and rng.random() < 0.07 else 0.0,
            dots=integer(rng, 3, 5) if height > 24 and rng.random() < 0.03 else 0,
        )

    def legibility(self, behind: Colour, busy: float) -> float:
        """How clearly words of this style stand out from what is behind them, in grey levels."""
        clear = contrast(self.fill, behind) * self.opacity
        if self.outline:
            return max(contrast(self.outline[0], behind if self.hollow else self.fill), clear)
        return clear if self.shadow else clear / (1.0 + busy / 60.0)


def blend(image: Image, colour: Image, cover: Image) -> None:
    """Put colour [h, w, 3] with alpha [h, w] onto a picture, in place."""
    weight = cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB)
    behind = cv2.multiply(image, cv2.bitwise_not(weight), scale=1 / 255)
    image[:] = cv2.add(behind, cv2.multiply(colour, weight, scale=1 / 255))


def _worn(rng: Generator, ink: Image, style: Style) -> Image:
    height, width = ink.shape
    if style.wear:
        holes = textures.field(rng, (height, width), (max(3, height // 4), max(3, width // 4)))
        ink = np.where(holes < style.wear, ink // 4, ink)
    if style.dots:
        on_grid = [np.arange(side) % style.dots == 0 for side in (height, width)]
        ink = np.where(on_grid[0][:, None] | on_grid[1], ink // 5, ink)
    return ink


def _shadow_of(ink: Image, right: int, down: int, blur: float, opacity: float) -> Image:
    moved = cv2.warpAffine(ink, np.array([[1, 0, right], [0, 1, down]], np.float32), ink.shape[::-1])
    soft = gaussian(moved, blur) if blur > 0.4 else moved  # type: ignore[arg-type]
    return np.asarray(cv2.convertScaleAbs(soft, alpha=opacity), np.uint8)


def colourise(
    rng: Generator, ink: Image, style: Style, plate: tuple[Image, Image] | None
) -> tuple[Image, Image]:
    """Turn an ink mask into colours and alpha.

    Args:
        rng: for the wear.
        ink: uint8 [h, w].
        style: the colours.
        plate: colour [h, w, 3] and alpha [h, w] of a board to paint on (changed in place), or None.

    Returns:
        Colour [h, w, 3] and alpha [h, w], uint8. Where alpha is 0 the colour is that of the lowest layer,
        so that interpolation leaves no fringe.
    """
    layers: list[tuple[Colour | NDArray[np.float32], Image]] = []
    if style.shadow:
        layers.append((style.shadow[0], _shadow_of(ink, *style.shadow[1:])))
    ink = _worn(rng, ink, style)
    if style.outline:
        tone, width = style.outline
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
        ring = np.asarray(cv2.dilate(ink, kernel), np.uint8)
        layers.append((tone, ring - ink if style.hollow else ring))
    if not style.hollow:
        ramp = np.linspace(0, 1, ink.shape[0], dtype=np.float32)[:, None, None]
        fill = style.fill if style.fade is None else style.fill * (1 - ramp) + style.fade * ramp
        layers.append((fill, np.asarray(cv2.convertScaleAbs(ink, alpha=style.opacity), np.uint8)))
    if plate is None:  # the lowest layer needs no blending with what is below it
        tone, alpha = layers.pop(0)
        rgb = np.broadcast_to(tone, (*ink.shape, 3)).astype(np.uint8)
        alpha = alpha.copy()
    else:
        rgb, alpha = plate
    for tone, mask in layers:
        blend(rgb, np.broadcast_to(tone, rgb.shape).astype(np.uint8), mask)
        cv2.max(alpha, mask, dst=alpha)
    return rgb, alpha


def plate_canvas(rng: Generator, size: tuple[int, int], tone: Colour, margin: int) -> tuple[Image, Image]:
    """An empty sign board on a canvas (height, width): colour and alpha, with frame, light and grain.

    The frame keeps within `margin` pixels of the border.
    """
    height, width = size
    rgb = np.full((height, width, 3), tone, np.uint8)
    if rng.random() < 0.5:
        light = rng.random((2, 2, 1)) * rng.uniform(0, 60) - 30
        rgb = textures.resized(np.clip(tone + light, 0, 255).astype(np.uint8), size)
    alpha = np.full(size, 255, np.uint8)
    if rng.random() < 0.4:
        rounded = Pillow.new("L", (width, height))
        radius = max(1, int(min(size) * rng.uniform(0.05, 0.5)))
        ImageDraw.Draw(rounded).rounded_rectangle((0, 0, width - 1, height - 1), radius, fill=255)
        alpha = np.array(rounded)
    if margin >= 4 and rng.random() < 0.4:
        thick = integer(rng, 1, max(1, margin // 4))
        inset = integer(rng, thick // 2, max(thick // 2, margin - thick - 2))
        frame = textures.rgb(text_colour(rng, tone))
        cv2.rectangle(rgb, (inset, inset), (width - 1 - inset, height - 1 - inset), frame, thick)
    if rng.random() < 0.3 and height * width < 200_000:
        rgb = noisy(rgb, rng, rng.uniform(1, 8))
    return rgb, alpha
