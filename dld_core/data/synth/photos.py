"""The user's own pictures: photos to render on, real word crops for mosaics. Decoded once, then kept."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from dld_core.data.photometric import Image
from dld_core.data.synth.sampling import integer, pick
from dld_core.data.synth.text import PRINTABLE
from dld_core.errors import DataError, ImageError
from dld_core.images import open_image

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_LONGEST_SIDE = 1280
_SMALL, _SMALLEST_HALF = 0.55, 128


@lru_cache(maxsize=64)  # of at most 5 MB each
def _photo(path: Path) -> Image:
    """One photo, its longest side at most 1280. Raises DataError when it is damaged."""
    try:
        image = open_image(path, exif=False)
    except ImageError as error:
        raise DataError(f"{error}; remove it from the background folder") from error
    if min(image.shape[:2]) < 16:
        raise DataError(f"the background {path} is under 16 pixels high or wide; remove it")
    shrink = _LONGEST_SIDE / max(image.shape[:2])
    if shrink < 1:
        small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
    return image


@lru_cache(maxsize=20_000)
def _crop(path: Path) -> Image:
    try:
        return open_image(path, exif=False)
    except ImageError as error:
        raise DataError(f"{error}; remove the line of this word crop from labels.tsv") from error


class PhotoBank:
    """Random crops of the photos below a folder.

    Raises:
        DataError: the folder is missing or holds no image.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(
                f"the background folder {folder} does not exist; give a folder of photos without text"
            )
        self.paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not self.paths:
            raise DataError(
                f"the background folder {folder} holds no image (jpg, png, webp, bmp); put photos into it"
            )

    def crop(self, rng: Generator, size: tuple[int, int]) -> Image:
        """A random part of a random photo, flipped at times, resized to (height, width).

        Small photos fill half of the result each, rather than be blown up. Raises DataError when a photo is
        damaged.
        """
        photo = _photo(pick(rng, self.paths))
        largest = min(photo.shape[0] / size[0], photo.shape[1] / size[1])
        if largest < _SMALL and min(size) > _SMALLEST_HALF:
            return self._halves(rng, size)
        scale = largest * rng.uniform(0.45 if largest > 1 else 0.8, 1.0)
        tall, wide = max(8, int(size[0] * scale)), max(8, int(size[1] * scale))
        y = integer(rng, 0, max(0, photo.shape[0] - tall))
        x = integer(rng, 0, max(0, photo.shape[1] - wide))
        how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        result = cv2.resize(photo[y : y + tall, x : x + wide], (size[1], size[0]), interpolation=how)
        return np.ascontiguousarray(result[:, ::-1] if rng.random() < 0.5 else result, np.uint8)

    def _halves(self, rng: Generator, size: tuple[int, int]) -> Image:
        """Two photos beside or above each other."""
        axis = 0 if size[0] > size[1] or (size[0] == size[1] and rng.random() < 0.5) else 1
        cut = int(size[axis] * rng.uniform(0.4, 0.6))
        sizes = [(part, size[1]) if axis == 0 else (size[0], part) for part in (cut, size[axis] - cut)]
        return np.concatenate([self.crop(rng, part) for part in sizes], axis=axis)


class CropBank:
    """Real word crops with their texts, from folders that hold `labels.tsv` (file name, tab, text).

    Words with a character outside printable ASCII (spaces too) are left out.

    Raises:
        DataError: no `labels.tsv` below the folder, a malformed line, or no usable crop.
    """

    def __init__(self, folder: Path) -> None:
        tables = sorted(folder.rglob("labels.tsv")) if folder.is_dir() else []
        if not tables:
            raise DataError(
                f"no labels.tsv below {folder}; write one with lines 'file name<TAB>text' beside the crops"
            )
        self.crops = [entry for table in tables for entry in _read_table(table)]
        if not self.crops:
            raise DataError(f"{folder} lists no word of printable ASCII characters; check its labels.tsv")

    def sample(self, rng: Generator) -> tuple[Image, str]:
        """One crop, RGB uint8 [h, w, 3], and its text. Raises DataError when the file is damaged."""
        path, text = pick(rng, self.crops)
        return _crop(path), text


def _read_table(table: Path) -> list[tuple[Path, str]]:
    entries = []
    for number, line in enumerate(table.read_text(encoding="utf-8-sig").split("\n"), start=1):
        name, tab, text = line.partition("\t")
        if line.strip() and not tab:
            raise DataError(f"{table}, line {number}: no tab; write 'file name<TAB>text'")
        if text and all(character in PRINTABLE for character in text):
            entries.append((table.parent / name, text))
    return entries
