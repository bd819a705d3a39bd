"""Pages densely tiled with single words, each on its own patch: most words per second for a recogniser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth import textures
from dld_core.data.synth.compose import paint
from dld_core.data.synth.labels import Placed
from dld_core.data.synth.sampling import chance, integer, log_uniform, uniform
from dld_core.data.synth.style import plate_colour
from dld_core.data.synth.warp import Geometry, camera_view

if TYPE_CHECKING:
    from dld_core.data.synth.page import PageRenderer

Image = NDArray[np.uint8]
Tile = tuple[Image, list[Placed]]
_LEAST = 8


def mosaic(renderer: PageRenderer, rng: Generator) -> tuple[Image, list[Placed]]:
    """Fill a page with rows of tiles. Returns the page [h, w, 3] and its words."""
    height, width = renderer.config.page_size
    image = np.full((height, width, 3), textures.rgb(textures.colour(rng)), np.uint8)
    # One photo crop serves all tiles of a page; each takes another part of it.
    photo = renderer.photos.crop(rng, (height, width)) if renderer.photos else None
    words: list[Placed] = []
    skyline = np.zeros(width, np.int64)
    while int(skyline.min()) < height - _LEAST:
        _fill_row(renderer, rng, image, skyline, photo, words)
    return image, words


def _fill_row(
    renderer: PageRenderer,
    rng: Generator,
    image: Image,
    skyline: NDArray[np.int64],
    photo: Image | None,
    words: list[Placed],
) -> None:
    """Put tiles side by side onto the skyline (how far each column is filled), in place."""
    height, width = image.shape[:2]
    smallest, _ = renderer.config.mosaic_range
    letter = log_uniform(rng, *renderer.config.mosaic_range, bias=1.7)
    x = 0
    while x < width - _LEAST:
        room = height - int(skyline[x : x + 4 * _LEAST].max())
        if room < 1.5 * smallest or width - x < 2 * smallest:
            skyline[x : x + 4 * _LEAST] = height if room < 1.5 * smallest else height - room + _LEAST
            x += 4 * _LEAST
            continue
        tile, placed = _tile(renderer, rng, min(letter, room / 1.7), width - x, photo)
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


def _tile(renderer: PageRenderer, rng: Generator, letter: float, room: int, photo: Image | None) -> Tile:
    """A tile for letters of this height; at most `room` wide where that leaves the letters large enough."""
    letter *= uniform(rng, 0.85, 1.1)
    if renderer.crops and chance(rng, renderer.config.word_crop_rate):
        return _crop_tile(renderer, rng, letter, room)
    return _drawn_tile(renderer, rng, letter, room, photo)


def _drawn_tile(
    renderer: PageRenderer, rng: Generator, letter: float, room: int, photo: Image | None
) -> Tile:
    group = renderer.maker.single(rng, letter)
    geometry, size = _centred(group.geometry, 1.0)
    limit = (room - 1) / size[1]
    if min(1.0, renderer.config.mosaic_range[0] / letter) <= limit < 1.0:
        geometry, size = _centred(group.geometry, limit)
    tile = _patch(renderer, rng, size, photo)
    if not group.ink.boxes:
        return tile, []
    return tile, paint(rng, tile, group, geometry)


def _centred(geometry: Geometry, scale: float) -> tuple[Geometry, tuple[int, int]]:
    """A geometry moved so that its canvas just fits into a tile, and the tile's (height, width)."""
    geometry = geometry.scaled(scale)
    border = geometry.outline()
    low, high = border.min(0), border.max(0)
    return geometry.moved(-low[0], -low[1]), (math.ceil(high[1] - low[1]), math.ceil(high[0] - low[0]))


def _patch(renderer: PageRenderer, rng: Generator, size: tuple[int, int], photo: Image | None) -> Image:
    """The background of a tile: a part of the photo, a plain board, or a texture."""
    height, width = size
    if (
        photo is not None
        and chance(rng, renderer.config.photo_rate)
        and height < photo.shape[0]
        and width < photo.shape[1]
    ):
        y, x = integer(rng, 0, photo.shape[0] - height), integer(rng, 0, photo.shape[1] - width)
        return photo[y : y + height, x : x + width].copy()
    if chance(rng, 0.7):
        board = plate_colour(rng, textures.colour(rng))
        shades = np.clip(board + rng.normal(0, uniform(rng, 0, 22), (2, 3, 1)), 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(shades, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.ascontiguousarray(textures.simple(rng, size))


def _crop_tile(renderer: PageRenderer, rng: Generator, letter: float, room: int) -> Tile:
    """A real word crop, resized, recoloured and turned a little; its polygon is the crop's border."""
    assert renderer.crops is not None
    crop, text = renderer.crops.draw(rng)
    tall = letter * 1.35
    scale = tall / crop.shape[0]
    most_wide = 0.8 * room
    if renderer.config.mosaic_range[0] * crop.shape[1] <= most_wide * crop.shape[0] < tall * crop.shape[1]:
        scale = most_wide / crop.shape[1]
    wide = max(4, round(crop.shape[1] * scale * uniform(rng, 0.85, 1.18)))
    size = (wide, max(4, round(crop.shape[0] * scale)))
    crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    crop = _recolour(rng, crop)
    view = camera_view(
        roll=math.radians(float(rng.normal(0, 2.5))),
        yaw=math.radians(float(rng.normal(0, 10))),
        pitch=math.radians(float(rng.normal(0, 5))),
        distance=3.0 * size[0],
        stretch=(1.0, 1.0),
        shear=float(rng.normal(0, 0.04)),
    )
    geometry, extent = _centred(Geometry(size, view), 1.0)
    colour, _ = geometry.warp(crop, np.full(crop.shape[:2], 255, np.uint8), (0, 0, extent[1], extent[0]))
    ring = geometry.points(np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float64))
    return colour, [Placed(text, ring, 255.0)]


def _recolour(rng: Generator, crop: Image) -> Image:
    if chance(rng, 0.08):
        crop = np.asarray(cv2.bitwise_not(crop))
    if chance(rng, 0.15):
        crop = np.ascontiguousarray(crop[..., rng.permutation(3)])
    gain, level = uniform(rng, 0.7, 1.25), uniform(rng, -25, 25)
    return np.asarray(cv2.convertScaleAbs(np.clip(crop * np.float32(gain) + np.float32(level), 0, 255)))
