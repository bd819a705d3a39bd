"""Pages densely tiled with single words, each on its own patch: most words per second for a recogniser."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.photometric import Image
from dld_core.data.synth import textures
from dld_core.data.synth.group import GroupMaker
from dld_core.data.synth.labels import Placed
from dld_core.data.synth.photos import CropBank, PhotoBank
from dld_core.data.synth.placing import paint
from dld_core.data.synth.sampling import log_uniform
from dld_core.data.synth.style import plate_colour
from dld_core.data.synth.warp import Geometry, camera_view

_LEAST = 8


class Mosaic:
    """Tiles pages.

    Args:
        maker: of the words, and the options.
        photos: that tiles lie on.
        crops: real words among the rendered ones.
    """

    def __init__(self, maker: GroupMaker, photos: PhotoBank | None, crops: CropBank | None) -> None:
        self.maker, self.photos, self.crops = maker, photos, crops
        self.config = maker.config
        self.smallest = self.config.mosaic_range[0]

    def page(self, rng: Generator) -> tuple[Image, list[Placed]]:
        """A page [h, w, 3] filled with rows of tiles, and its words."""
        height, width = self.config.page_size
        image = np.full((height, width, 3), textures.colour(rng), np.uint8)
        # One photo crop serves all tiles of a page; each takes another part of it.
        photo = self.photos.crop(rng, (height, width)) if self.photos else None
        words: list[Placed] = []
        skyline = np.zeros(width, np.int64)  # how far each column is filled
        while skyline.min() < height - _LEAST:
            self._fill_row(rng, image, skyline, photo, words)
        return image, words

    def _fill_row(
        self,
        rng: Generator,
        image: Image,
        skyline: NDArray[np.int64],
        photo: Image | None,
        words: list[Placed],
    ) -> None:
        """Put tiles side by side onto the skyline, in place."""
        height, width = image.shape[:2]
        letter = log_uniform(rng, *self.config.mosaic_range, bias=1.7)
        x = 0
        while x < width - _LEAST:
            gap = slice(x, x + 4 * _LEAST)
            room = height - int(skyline[gap].max())
            if room < 1.5 * self.smallest or width - x < 2 * self.smallest:
                skyline[gap] = height if room < 1.5 * self.smallest else height - room + _LEAST
                x = gap.stop
                continue
            tile, placed = self._tile(rng, min(letter, room / 1.7), width - x, photo)
            tall, wide = tile.shape[:2]
            y = int(skyline[x : x + wide].max())
            if wide > width - x or y + tall > height:
                # What does not fit is given up as a gap; otherwise full pages would never end.
                wide = min(wide, 4 * _LEAST)
                skyline[x : x + wide] += 2 * _LEAST
            else:
                image[y : y + tall, x : x + wide] = tile
                skyline[x : x + wide] = y + tall
                words += [Placed(w.text, np.add(w.polygon, (x, y)), w.contrast) for w in placed]
            x += wide
        skyline[x:] += _LEAST  # a rest too narrow for any tile must not keep the page open

    def _tile(
        self, rng: Generator, letter: float, room: int, photo: Image | None
    ) -> tuple[Image, list[Placed]]:
        """A tile for letters of this height; at most `room` wide where the letters stay large enough."""
        letter *= rng.uniform(0.85, 1.1)
        if self.crops and rng.random() < self.config.word_crop_rate:
            return self._real_word(rng, *self.crops.sample(rng), letter, room)
        group = self.maker.single(rng, letter)
        geometry, size = _centred(group.geometry)
        limit = (room - 1) / size[1]
        if min(1.0, self.smallest / letter) <= limit < 1.0:
            geometry, size = _centred(group.geometry.scaled(limit))
        tile = self._patch(rng, size, photo)
        return tile, paint(rng, tile, group, geometry)

    def _patch(self, rng: Generator, size: tuple[int, int], photo: Image | None) -> Image:
        """The background of a tile: a part of the photo, a plain board, or a texture."""
        height, width = size
        free = (0, 0) if photo is None else (photo.shape[0] - height, photo.shape[1] - width)
        if photo is not None and min(free) > 0 and rng.random() < self.config.photo_rate:
            y, x = rng.integers(free)
            return photo[y : y + height, x : x + width].copy()
        if rng.random() < 0.7:
            board = plate_colour(rng, textures.colour(rng))
            shades = np.clip(board + rng.normal(0, rng.uniform(0, 22), (2, 3, 1)), 0, 255)
            return textures.resized(shades.astype(np.uint8), size)
        return np.ascontiguousarray(textures.simple(rng, size))

    def _real_word(
        self, rng: Generator, crop: Image, text: str, letter: float, room: int
    ) -> tuple[Image, list[Placed]]:
        """A real word crop, resized, recoloured and turned a little; its polygon is the crop's border."""
        tall, wide = crop.shape[:2]
        scale = 1.35 * letter / tall
        if self.smallest / tall <= 0.8 * room / wide < scale:
            scale = 0.8 * room / wide
        size = (max(4, round(wide * scale * rng.uniform(0.85, 1.18))), max(4, round(tall * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        crop = _recoloured(rng, np.asarray(cv2.resize(crop, size, interpolation=how), np.uint8))
        view = camera_view(
            roll=math.radians(rng.normal(0, 2.5)),
            yaw=math.radians(rng.normal(0, 10)),
            pitch=math.radians(rng.normal(0, 5)),
            distance=3.0 * size[0],
            stretch=(1.0, 1.0),
            shear=rng.normal(0, 0.04),
        )
        geometry, (height, width) = _centred(Geometry(size, view))
        tile, _ = geometry.warp(crop, np.full(crop.shape[:2], 255, np.uint8), (0, 0, width, height))
        return tile, [Placed(text, geometry.outline(), 255.0)]


def _centred(geometry: Geometry) -> tuple[Geometry, tuple[int, int]]:
    """A geometry moved so that its canvas just fits into a tile, and the tile's (height, width)."""
    border = geometry.outline()
    low, high = border.min(0), border.max(0)
    return geometry.moved(-low[0], -low[1]), (math.ceil(high[1] - low[1]), math.ceil(high[0] - low[0]))


def _recoloured(rng: Generator, crop: Image) -> Image:
    if rng.random() < 0.08:
        crop = 255 - crop
    if rng.random() < 0.15:
        crop = crop[..., rng.permutation(3)]
    level = crop * np.float32(rng.uniform(0.7, 1.25)) + np.float32(rng.uniform(-25, 25))
    return np.asarray(np.clip(level, 0, 255), np.uint8)
