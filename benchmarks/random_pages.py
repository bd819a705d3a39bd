"""Random ground truth and imperfect predictions for it."""

from __future__ import annotations

import random
import string
from pathlib import Path

from plain_rrc import PlainWord

Page = tuple[list[PlainWord], list[PlainWord]]


def random_page(rng: random.Random, words: int, width: int = 1280, height: int = 720) -> Page:
    """One image: words and don't-care regions, and detections that move, miss, repeat, split and misread."""
    truth: list[PlainWord] = []
    found: list[PlainWord] = []
    for _ in range(words):
        word = _random_word(rng, width, height)
        truth.append(word)
        if rng.random() < 0.85:
            found += _detections(rng, word)
    for _ in range(rng.randrange(3)):
        found.append(PlainWord(_random_word(rng, width, height).points, "surplus"))
    rng.shuffle(found)
    return truth, found


def curved_page(rng: random.Random, words: int) -> Page:
    """A page whose words and detections have six points, top and bottom bent."""
    truth, found = random_page(rng, words)
    return [_bent(rng, word) for word in truth], [_bent(rng, word) for word in found]


def _bent(rng: random.Random, word: PlainWord) -> PlainWord:
    (ax, ay), b, (cx, cy), d = word.points
    bend = rng.randrange(-6, 7)
    top, bottom = ((ax + b[0]) // 2, (ay + b[1]) // 2 + bend), ((cx + d[0]) // 2, (cy + d[1]) // 2 + bend)
    return PlainWord([(ax, ay), top, b, (cx, cy), bottom, d], word.text, word.ignore)


def _random_word(rng: random.Random, width: int, height: int) -> PlainWord:
    x, y = rng.randrange(width), rng.randrange(height)
    w, h, slant = rng.randrange(8, 160), rng.randrange(6, 50), rng.randrange(-15, 16)
    points = [(x, y), (x + w, y + slant), (x + w, y + slant + h), (x, y + h)]
    alphabet = string.ascii_letters + "0123456789!.'-"
    text = "".join(rng.choices(alphabet, weights=[8] * 52 + [2] * 10 + [3] * 4, k=rng.randrange(1, 10)))
    ignore = rng.random() < 0.4
    return PlainWord(points, "###" if ignore else text, ignore)


def _detections(rng: random.Random, word: PlainWord) -> list[PlainWord]:
    spread = rng.choice([0, 0, 1, 2, 5])
    points = [(x + rng.randint(-spread, spread), y + rng.randint(-spread, spread)) for x, y in word.points]
    text = word.text.strip("!.'") if rng.random() < 0.3 else word.text.swapcase()
    if rng.random() < 0.2:
        text += rng.choice("!x'")
    if rng.random() < 0.1:
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
        top, bottom = ((ax + bx) // 2, (ay + by) // 2), ((cx + dx) // 2, (cy + dy) // 2)
        left, right = [points[0], top, bottom, points[3]], [top, points[1], points[2], bottom]
        return [PlainWord(left, text[: len(text) // 2]), PlainWord(right, text[len(text) // 2 :])]
    if rng.random() < 0.03:
        points[1], points[2] = points[2], points[1]
    return [PlainWord(points, text)] * (2 if rng.random() < 0.05 else 1)


def write_pages(folder: Path, prefix: str, pages: list[list[PlainWord]]) -> None:
    """Write one file per image in the challenge's format."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, words in enumerate(pages, 1):
        rows = [",".join(f"{x},{y}" for x, y in word.points) + f",{word.text}\n" for word in words]
        (folder / f"{prefix}img_{number}.txt").write_text("".join(rows), encoding="utf-8")
