"""The user's own pictures: photos to render on, real word crops for mosaics. Decoded once, then kept."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth.sampling import chance, integer, pick, uniform
from dld_core.data.synth.text import PRINTABLE
from dld_core.errors import DataError

Image = NDArray[np.uint8]
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_LONGEST_SIDE = 1280
_SMALL, _SMALLEST_HALF = 0.55, 128
_CACHE_BYTES = 300_000_000


def read_rgb(path: Path) -> Image | None:
    """RGB uint8 [h, w, 3] of raw pixels, or None where the file is no image."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    if not len(data):
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


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
        self._kept: OrderedDict[Path, Image] = OrderedDict()
        self._bytes = 0

    def __getstate__(self) -> dict[str, object]:
        return {"paths": self.paths, "_kept": OrderedDict(), "_bytes": 0}

    def photo(self, path: Path) -> Image:
        """One decoded photo, its longest side at most 1280. Raises DataError when it is damaged."""
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        image = read_rgb(path)
        if image is None or min(image.shape[:2]) < 16:
            raise DataError(
                f"the background {path} cannot be read as an image of at least 16 pixels; remove it"
            )
        shrink = _LONGEST_SIDE / max(image.shape[:2])
        if shrink < 1:
            image = np.asarray(cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
        self._kept[path] = image
        self._bytes += image.nbytes
        while self._bytes > _CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return image

    def crop(self, rng: Generator, size: tuple[int, int]) -> Image:
        """A random part of a random photo, flipped at times, resized to (height, width).

        Small photos fill half of the result each, rather than be blown up.
        """
        photo = self.photo(pick(rng, self.paths))
        largest = min(photo.shape[0] / size[0], photo.shape[1] / size[1])
        if largest < _SMALL and min(size) > _SMALLEST_HALF:
            return self._halves(rng, size)
        scale = largest * uniform(rng, 0.45 if largest > 1 else 0.8, 1.0)
        tall, wide = max(8, int(size[0] * scale)), max(8, int(size[1] * scale))
        y = integer(rng, 0, max(0, photo.shape[0] - tall))
        x = integer(rng, 0, max(0, photo.shape[1] - wide))
        how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        result = cv2.resize(photo[y : y + tall, x : x + wide], (size[1], size[0]), interpolation=how)
        return np.ascontiguousarray(result[:, ::-1] if chance(rng, 0.5) else result, np.uint8)

    def _halves(self, rng: Generator, size: tuple[int, int]) -> Image:
        """Two photos beside or above each other."""
        axis = 0 if size[0] > size[1] or (size[0] == size[1] and chance(rng, 0.5)) else 1
        cut = int(size[axis] * uniform(rng, 0.4, 0.6))
        first, second = list(size), list(size)
        first[axis], second[axis] = cut, size[axis] - cut
        parts = [self.crop(rng, (part[0], part[1])) for part in (first, second)]
        return np.concatenate(parts, axis=axis)


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
        self._kept: dict[Path, Image] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"crops": self.crops, "_kept": {}}

    def draw(self, rng: Generator) -> tuple[Image, str]:
        """One crop, RGB uint8 [h, w, 3], and its text. Raises DataError when the file is damaged."""
        path, text = pick(rng, self.crops)
        if path not in self._kept:
            image = read_rgb(path)
            if image is None:
                raise DataError(
                    f"the word crop {path} is missing or no image; remove its line from labels.tsv"
                )
            self._kept[path] = image
        return self._kept[path], text


def _read_table(table: Path) -> list[tuple[Path, str]]:
    entries = []
    for number, line in enumerate(table.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        name, tab, text = line.partition("\t")
        if not tab:
            raise DataError(f"{table}, line {number}: no tab; write 'file name<TAB>text'")
        if text and all(character in PRINTABLE for character in text):
            entries.append((table.parent / name, text))
    return entries
