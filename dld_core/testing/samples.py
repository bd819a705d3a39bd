"""Images and batches that the contracts are tried on: small, deterministic, made without files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from dld_core.types import Batch

WORDS = ("Open", "CAFE", "42", "street")


def page(height: int, width: int, words: Sequence[str] = WORDS, seed: int = 0) -> Tensor:
    """A uint8 [3, height, width] picture of dark words on a light, slightly noisy ground."""
    picture = Image.new("RGB", (width, height), (235, 230, 220))
    pen = ImageDraw.Draw(picture)
    for row, word in enumerate(words):
        size = max(8, height // (len(words) + 2))
        pen.text((4 + 9 * row, 3 + row * (height - 6) // len(words)), word, (20, 20, 60), _font(size))
    noise = np.random.default_rng(seed).integers(-6, 7, (height, width, 3))
    pixels = np.clip(np.asarray(picture).astype(np.int64) + noise, 0, 255).astype(np.uint8)
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def pages() -> list[Tensor]:
    """Pictures with words, of mixed sizes: landscape, portrait, and strips that show swapped axes."""
    return [
        page(160, 240),
        page(200, 120, WORDS[:2], seed=1),
        page(48, 320, WORDS[:1], seed=2),
        page(97, 131, WORDS[1:3], seed=3),
    ]


def odd_sizes() -> list[Tensor]:
    """Images as small and as thin as they come."""
    return [
        torch.full((3, h, w), 128, dtype=torch.uint8)
        for h, w in ((1, 1), (2, 2), (3, 400), (400, 3), (1, 65))
    ]


def blanks() -> list[Tensor]:
    """Images without words: black, white, grey, and noise."""
    flat = [torch.full((3, 64, 96), value, dtype=torch.uint8) for value in (0, 255, 127)]
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 96), dtype=np.uint8)
    return [*flat, torch.from_numpy(noise)]


def extremes() -> dict[str, Tensor]:
    """First images that must leave no trace: tiny, oblong, blank, huge."""
    grey = {"1x1": (1, 1), "1x300": (1, 300), "300x1": (300, 1), "blank": (64, 96)}
    flat = {name: torch.full((3, *size), 128, dtype=torch.uint8) for name, size in grey.items()}
    return {**flat, "huge": page(1200, 900, seed=4)}


def texts_in(charset: str, count: int, length: int = 4) -> list[str]:
    """Words of characters that a spotter can read, different from one another."""
    letters = [c for c in charset if not c.isspace()] or list(charset)
    return [
        "".join(letters[(i * 7 + j * 3) % len(letters)] for j in range(length - i % 2)) for i in range(count)
    ]


def quad(left: float, top: float, right: float, bottom: float) -> Tensor:
    """The clockwise float32 [4, 2] polygon of a rectangle."""
    return torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=torch.float32)


def batch(charset: str) -> Batch:
    """Three images of different sizes: two words and a don't-care one, no word at all, one word."""
    texts = texts_in(charset, 4)
    first, second, third = page(128, 192, texts[:3]), page(96, 128, ()), page(96, 160, texts[3:])
    words = [quad(4, 4, 92, 40), quad(12, 44, 100, 80), quad(24, 84, 120, 120)]
    return Batch(
        images=[first, second, third],
        polygons=[words, [], [quad(8, 8, 96, 56)]],
        texts=[texts[:3], [], texts[3:]],
        ignore=[torch.tensor([False, False, True]), torch.zeros(0, dtype=torch.bool), torch.tensor([False])],
        names=["first", "second", "third"],
    )


def readable(given: Batch) -> list[tuple[int, str]]:
    """(image, text) of every word that is no don't-care, in the order in which traces list them."""
    return [
        (index, text)
        for index, (texts, ignore) in enumerate(zip(given.texts, given.ignore, strict=True))
        for text, skipped in zip(texts, ignore.tolist(), strict=True)
        if not skipped
    ]


def without_words(given: Batch) -> Batch:
    """The same images, nothing annotated."""
    nothing = [torch.zeros(0, dtype=torch.bool) for _ in given.images]
    return Batch(given.images, [[] for _ in given.images], [[] for _ in given.images], nothing, given.names)


def halved(given: Batch) -> Batch:
    """The same annotated images at half the resolution, as a student sees them."""
    images = []
    for image in given.images:
        size = (image.shape[1] // 2, image.shape[2] // 2)
        small = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)[0]
        images.append(small.round().clamp(0, 255).to(torch.uint8))
    polygons = [[polygon / 2 for polygon in image] for image in given.polygons]
    return Batch(images, polygons, given.texts, given.ignore, given.names)
