"""Cuts a set of annotated images into tiles whose letters are of a size to learn from.

    python docs/recipes/tiles.py SET --out data/NAME --tiles 4 --hold-out 6
    python docs/recipes/tiles.py SET --out data/NAME --tiles 0 --hold-out 15     # whole images, shrunken

SET holds images/ and gt/gt_NAME.txt (ICDAR lines). What is held out goes to OUT-dev. Deterministic.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from prepare import Pixels, _read, _sides, _words, _write

from dld_core.geometry import Polygon

Words = list[tuple[Polygon, str | None]]
SIDE = 720  # pixels of a tile at most
LETTERS = 9.0, 40.0  # pixels, the median height of words in a tile, even in its logarithm
LONGEST = 1280  # side of a whole image
TRIES, ENOUGH = 8, 15


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=4, help="of each image; 0 keeps images whole")
    parser.add_argument("--hold-out", type=int, default=0, help="images that are not cut, for measuring")
    args = parser.parse_args()
    paths = {path.stem: path for path in (args.set / "images").iterdir()}
    held = set(random.Random(5).sample(sorted(paths), args.hold_out))
    for stem, path in sorted(paths.items()):
        image, words = _read(path), _words(args.set / "gt" / f"gt_{stem}.txt")
        draw = random.Random(stem)
        if stem in held:
            _write(args.out.with_name(f"{args.out.name}-dev"), stem, image, words)
        elif args.tiles == 0:
            _write(args.out, stem, *_cut(image, words, (0, 0), LONGEST / max(image.shape[:2])))
        for number in range(args.tiles if stem not in held else 0):
            _write(args.out, f"{stem}_{number}", *_tile(image, words, draw))


def _tile(image: Pixels, words: Words, draw: random.Random) -> tuple[Pixels, Words]:
    """A window at a random size of its letters: of a few windows the first with many whole words."""
    care = [quad for quad, text in words if text is not None] or [quad for quad, _ in words]
    median = float(np.median([min(_sides(quad)) for quad in care]))
    wanted = float(np.exp(draw.uniform(*np.log(LETTERS))))
    scale = min(wanted / median, 1.0 if draw.random() < 0.9 else 1.25)
    window = SIDE / scale
    free = [max(side - window, 0) for side in image.shape[1::-1]]
    boxes = np.array([[quad.min(0), quad.max(0)] for quad in care])
    best, most = (0, 0), -1
    for _ in range(TRIES):
        centre = draw.choice(care).mean(0)
        corner = np.array(
            [int(np.clip(centre[i] - draw.uniform(0.1, 0.9) * window, 0, free[i])) for i in (0, 1)]
        )
        whole = int(((boxes[:, 0] >= corner) & (boxes[:, 1] <= corner + window)).all(1).sum())
        if whole > most:
            best, most = (int(corner[0]), int(corner[1])), whole
        if whole > ENOUGH:
            break
    return _cut(image, words, best, scale, int(window))


def _cut(
    image: Pixels, words: Words, corner: tuple[int, int], scale: float, window: int | None = None
) -> tuple[Pixels, Words]:
    """A part of the image, resized; words that its frame cuts are don't-care."""
    x, y = corner
    part = image[y : y + window, x : x + window] if window else image
    scale = scale if window else min(scale, 1.0)
    size = max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1)
    factor = np.float32(size) / np.float32(part.shape[1::-1])
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    frame: NDArray[np.float32] = np.array(size, np.float32)
    kept: Words = []
    for quad, text in words:
        moved = ((quad - np.float32([x, y])) * factor).astype(np.float32)
        low, high = moved.min(0), moved.max(0)
        if (high <= 1).any() or (low >= frame - 1).any():
            continue
        cut = (low < -2).any() or (high > frame + 2).any()
        kept.append((np.clip(moved, 0, frame), None if cut else text))
    return np.asarray(small), kept


if __name__ == "__main__":
    main()
