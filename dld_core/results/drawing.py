"""Pictures of results: words outlined in the colour of their confidence, with their text on a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dld_core.config import replacing
from dld_core.errors import ImageError
from dld_core.images import load_image
from dld_core.results.labels import Box, place_label
from dld_core.results.page import Page
from dld_core.types import Word

Colour = tuple[int, int, int]

# Confidence -> colour. Crimson, amber and teal differ in lightness too, for those who see red as green.
_STOPS: tuple[tuple[float, Colour], ...] = (
    (0.0, (200, 30, 60)),
    (0.5, (240, 160, 0)),
    (0.75, (115, 175, 60)),
    (1.0, (0, 140, 130)),
)
_FINE = 4  # shapes are drawn this much larger and averaged down: smooth edges
_MOST_FINE = 16_000_000  # pixels; what is drawn of a polygon that fills a large picture is less fine
_LONGEST_LABEL = 40  # characters
_FONT = Path(__file__).parents[1] / "data" / "fonts" / "open-sans"
_WORLD_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "msyh.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes in pixels, fitted to the picture."""

    line: float
    text: float

    @classmethod
    def for_picture(cls, width: int, height: int) -> _Style:
        side = (width * height) ** 0.5
        return cls(line=max(1.5, side / 500), text=max(11.0, side / 60))


def confidence_colour(score: float) -> Colour:
    """RGB of a confidence in [0, 1]: crimson, through amber at 0.5, to teal."""
    at = [stop[0] for stop in _STOPS]
    red, green, blue = (round(float(np.interp(score, at, [stop[1][i] for stop in _STOPS]))) for i in range(3))
    return red, green, blue


def draw_page(page: Page, image: Any = None) -> NDArray[np.uint8]:
    """The picture of a page with its words, RGB uint8 [H, W, 3]. See `Page.draw`.

    Args:
        image: anything `open_image` takes, of any size (polygons are scaled to it); None opens `page.image`.

    Raises:
        ImageError: the picture cannot be opened, or the page names none.
    """
    source = page.image if image is None else image
    if source is None:
        raise ImageError("this page does not know its picture; give it to draw(image=...)")
    pixels = load_image(source).pixels
    height, width = pixels.shape[:2]
    factor = np.array([width / max(page.width, 1), height / max(page.height, 1)])
    polygons = [word.array * factor for word in page.words]
    canvas, style = Image.fromarray(pixels), _Style.for_picture(width, height)
    for word, polygon in zip(page.words, polygons, strict=True):
        _draw_outline(canvas, polygon, confidence_colour(word.score), style.line)
    _draw_labels(canvas, page.words, polygons, style)
    return np.array(canvas)


def save_picture(pixels: NDArray[np.uint8], path: str | Path) -> None:
    """Save RGB uint8 [H, W, 3] in the format of the suffix, whole or not at all; folders are made.

    Raises:
        ImageError: no such format, or the file cannot be written.
    """
    target = Path(path)
    try:
        kind = Image.registered_extensions()[target.suffix.lower()]
        with replacing(target) as partial:
            Image.fromarray(pixels).save(partial, format=kind, quality=92)
    except (OSError, ValueError, KeyError) as error:
        raise ImageError(
            f"cannot save the picture {target} ({error}); check the folder, and end the name in .jpg or .png"
        ) from error


def _draw_outline(canvas: Image.Image, polygon: NDArray[Any], colour: Colour, line: float) -> None:
    """One polygon: a light tint inside, a clear line round it. Touches only the polygon's box."""
    margin = int(line) + 2
    low = np.clip(np.floor(polygon.min(axis=0)) - margin, 0, canvas.size).astype(int)
    high = np.clip(np.ceil(polygon.max(axis=0)) + margin, 0, canvas.size).astype(int)
    if (high <= low).any():
        return
    width, height = (high - low).tolist()
    fine = int(np.clip((_MOST_FINE / (width * height)) ** 0.5, 1, _FINE))
    points = [tuple(point) for point in ((polygon - low) * fine).tolist()]
    shape = Image.new("L", (width * fine, height * fine))
    pen = ImageDraw.Draw(shape)
    pen.polygon(points, fill=45)
    pen.line([*points, points[0], points[1]], fill=235, width=round(line * fine), joint="curve")
    canvas.paste(colour, (int(low[0]), int(low[1])), shape.resize((width, height), Image.Resampling.BOX))


def _draw_labels(
    canvas: Image.Image, words: Sequence[Word], polygons: Sequence[NDArray[Any]], style: _Style
) -> None:
    boxes: list[Box] = [(*p.min(axis=0).tolist(), *p.max(axis=0).tolist()) for p in polygons]
    placed: list[Box] = []
    for index in sorted(range(len(words)), key=lambda i: (boxes[i][1], boxes[i][0])):
        if not words[index].text.strip():
            continue
        label = _label(words[index], boxes[index], style)
        others = boxes[:index] + boxes[index + 1 :]
        spot = place_label(label.size, boxes[index], canvas.size, placed, others, gap=style.line)
        canvas.paste(label, spot, label)
        placed.append((spot[0], spot[1], spot[0] + label.width, spot[1] + label.height))


def _label(word: Word, box: Box, style: _Style) -> Image.Image:
    """The text on a rounded plate in the word's colour, RGBA."""
    text = " ".join(word.text.split())
    text = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
    size = float(np.clip((box[3] - box[1]) * 0.5, style.text * 0.8, style.text * 1.3))
    font = _font(round(size), text.isascii())
    left, _, right, _ = font.getbbox(text)
    pad = max(2, round(size * 0.25))
    width, height = int(right - left) + 2 * pad, round(size * 1.3)
    colour = confidence_colour(word.score)
    plate = Image.new("L", (width * _FINE, height * _FINE))
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, *plate.size), radius=round(size * _FINE * 0.25), fill=230)
    label = Image.new("RGBA", (width, height), colour)
    label.putalpha(plate.resize((width, height), Image.Resampling.BOX))
    ImageDraw.Draw(label).text((pad - left, height / 2), text, fill=_ink(colour), font=font, anchor="lm")
    return label


def _ink(background: Colour) -> Colour:
    """Black or white, whichever stands out (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(background) / 255]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


@lru_cache(maxsize=64)
def _font(size: int, ascii_only: bool) -> Any:
    """The bundled font; for other scripts one of the system that may know them; else Pillow's own."""
    bundled = sorted(str(path) for path in _FONT.glob("*.[ot]tf"))
    for name in bundled if ascii_only else (*_WORLD_FONTS, *bundled):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
