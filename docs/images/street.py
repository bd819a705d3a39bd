"""Draws docs/images/street.jpg, the picture that the README reads: python docs/images/street.py

Everything in it is made here, with the fonts that ship with the library.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
FONTS = HERE.parents[1] / "dld_core" / "data" / "fonts"
WIDTH, HEIGHT = 1280, 720
Colour = tuple[int, int, int]
Line = tuple[str, str, int, int]
Pixels = NDArray[np.uint8]


def wall(rng: np.random.Generator) -> Pixels:
    """Rows of bricks of slightly different reds, with mortar between, lit from the left."""
    picture = np.full((HEIGHT, WIDTH, 3), (172, 160, 148), np.float32)
    for row, top in enumerate(range(0, HEIGHT, 26)):
        for left in range(-70 + 35 * (row % 2), WIDTH, 70):
            red = np.array([142, 74, 58]) + rng.normal(0, 9, 3) + rng.normal(0, 8)
            picture[top + 3 : top + 26, max(left + 3, 0) : max(left + 70, 0)] = red
    grain = rng.normal(0, 26, picture.shape[:2]).astype(np.float32)
    picture += cv2.GaussianBlur(grain, (0, 0), 1.2)[..., None]
    picture *= np.linspace(1.12, 0.78, WIDTH)[None, :, None]
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.9), 0, 255).astype(np.uint8)


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A bundled font whose file name holds `name`."""
    file = next(f for f in sorted(FONTS.rglob("*.[ot]tf")) if name.lower() in f.name.lower())
    return ImageFont.truetype(str(file), size)


def sign(size: tuple[int, int], ground: Colour, ink: Colour, *lines: Line) -> Image.Image:
    """A painted board; every line is (text, font, size, baseline y), centred."""
    board = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(board)
    draw.rectangle((5, 5, size[0] - 6, size[1] - 6), outline=ink, width=3)
    for text, name, points, y in lines:
        draw.text((size[0] // 2, y), text, ink, font(name, points), anchor="ms")
    return board


def arc(text: str, radius: int, points: int, ink: Colour) -> Image.Image:
    """Letters standing on the top of a circle, on a transparent ground."""
    face, side = font("Spartan", points), 2 * (radius + points)
    canvas = Image.new("RGBA", (side, side))
    angle = -sum(face.getlength(c) + 4 for c in text) / radius / 2
    for character in text:
        step = (face.getlength(character) + 4) / radius
        glyph = Image.new("RGBA", (side, side))
        ImageDraw.Draw(glyph).text((side / 2, points), character, (*ink, 255), face, anchor="ms")
        canvas.alpha_composite(glyph.rotate(-np.degrees(angle + step / 2), Image.Resampling.BICUBIC))
        angle += step
    return canvas


def hang(picture: Pixels, board: Image.Image, corners: list[tuple[int, int]]) -> None:
    """Paste a board into the picture with its corners (clockwise from the top left) at these points."""
    pixels = np.asarray(board.convert("RGBA"), np.float32)
    height, width = pixels.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, np.array(corners, np.float32))
    warped = cv2.warpPerspective(pixels, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
    shadow = cv2.GaussianBlur(np.roll(warped[..., 3:], (7, 5), (0, 1)), (0, 0), 5)[..., None] / 255
    shade = picture * (1 - 0.45 * shadow)
    alpha = warped[..., 3:] / 255
    picture[:] = np.clip(shade * (1 - alpha) + warped[..., :3] * alpha, 0, 255)


def street() -> Pixels:
    """The whole picture, RGB [720, 1280, 3]."""
    rng = np.random.default_rng(7)
    picture = wall(rng)
    cream, navy, green = (246, 236, 210), (28, 44, 84), (22, 84, 58)
    white, black, yellow = (250, 250, 250), (25, 25, 25), (250, 226, 120)
    bakery = sign((620, 170), navy, cream, ("CORNER BAKERY", "Bebas", 118, 122))
    hang(picture, bakery, [(90, 96), (690, 70), (694, 226), (86, 246)])
    daily = sign((420, 110), cream, (120, 40, 30), ("Fresh Bread Daily", "Lobster", 50, 72))
    hang(picture, daily, [(120, 290), (520, 278), (522, 380), (120, 396)])
    name = sign((330, 84), green, white, ("MARKET STREET", "Open", 36, 55))
    hang(picture, name, [(830, 110), (1180, 138), (1178, 226), (828, 192)])
    menu = sign(
        (260, 300),
        black,
        white,
        ("COFFEE", "Spartan", 46, 70),
        ("Espresso 2.50", "Cabin", 30, 130),
        ("Tea 1.80", "Cabin", 30, 178),
        ("Cake 3.20", "Cabin", 30, 226),
        ("OPEN 7-18", "Courier", 32, 274),
    )
    hang(picture, menu, [(600, 400), (830, 392), (838, 668), (596, 676)])
    parking = sign((150, 170), (24, 74, 160), white, ("P", "Cabin", 110, 104), ("2 hours", "Cabin", 32, 150))
    hang(picture, parking, [(140, 460), (270, 466), (268, 616), (138, 612)])
    cafe = arc("HARBOUR CAFE", 190, 58, yellow)
    hang(picture, cafe, [(860, 300), (1230, 300), (1230, 690), (860, 690)])
    noisy = picture.astype(np.float32) + rng.normal(0, 4, picture.shape)
    return np.clip(cv2.GaussianBlur(noisy, (0, 0), 0.6), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    cv2.imwrite(str(HERE / "street.jpg"), street()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
