"""The renderer: one seed in, one annotated page out."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator

from dld_core.data.photometric import Image
from dld_core.data.synth import textures
from dld_core.data.synth.clutter import add_clutter, add_occluder
from dld_core.data.synth.config import SynthConfig, varied
from dld_core.data.synth.degrade import degrade
from dld_core.data.synth.fonts import FontBook, ForeignBook, system_folders
from dld_core.data.synth.group import GroupMaker
from dld_core.data.synth.labels import Placed, finish_labels
from dld_core.data.synth.mosaic import Mosaic
from dld_core.data.synth.photos import CropBank, PhotoBank
from dld_core.data.synth.placing import Ground, paint
from dld_core.data.synth.sampling import integer
from dld_core.data.synth.text import TextSource
from dld_core.types import Sample

_MOST_FAILURES = 12


class PageRenderer:
    """Renders pages; loads fonts, photos and word lists once. Picklable.

    Args:
        config: options, or None for all defaults.

    Raises:
        DataError: no fonts, an empty or missing background folder, a malformed crop table.
    """

    def __init__(self, config: SynthConfig | None = None) -> None:
        self.config = config = config or SynthConfig()
        fonts = _font_book(config.fonts, config.system_fonts)
        foreign = config.foreign_rate > 0 and config.system_fonts and config.fonts is None
        source, scripts = TextSource(config.vocabulary), _foreign_book(system_folders()) if foreign else None
        self.maker = GroupMaker(config, fonts, source, scripts)
        self.photos = _photo_bank(config.backgrounds) if config.backgrounds else None
        crops = _crop_bank(config.word_crops) if config.word_crops else None
        self.mosaic = Mosaic(self.maker, self.photos, crops)

    def page(self, seed: int) -> Sample:
        """The page of a seed (>= 0). The same seed, config and fonts give the same bytes."""
        if self.config.mixed:
            return PageRenderer(varied(self.config, seed)).page(seed)
        rng = np.random.default_rng((seed, 0))
        image, words = self.mosaic.page(rng) if self.config.word_mosaic else self._scene(rng)
        occluded = np.zeros(image.shape[:2], np.uint8)
        if words and not self.config.word_mosaic and rng.random() < self.config.occlusion_rate:
            for _ in range(integer(rng, 1, 4)):
                add_occluder(rng, image, occluded)
        image, damage = degrade(rng, image, self.config.degrade)
        polygons, texts, ignore = finish_labels(words, damage, occluded, self.config.min_height, image)
        ignored = np.asarray(ignore, np.bool_)
        return Sample(np.ascontiguousarray(image), polygons, texts, ignored, f"synth-{seed}")

    def _scene(self, rng: Generator) -> tuple[Image, list[Placed]]:
        """Groups of words that stand about on a photo or a texture."""
        config, words = self.config, list[Placed]()
        on_photo = self.photos is not None and rng.random() < config.photo_rate
        make = self.photos.crop if self.photos and on_photo else textures.background
        image = np.ascontiguousarray(make(rng, config.page_size))
        for _ in range(rng.poisson(config.clutter)):
            add_clutter(rng, image)
        if rng.random() < config.empty_rate:
            return image, words
        ground = Ground(image)
        wanted = integer(rng, *config.words)
        tilt = math.radians(rng.normal(0, 4)) if rng.random() < 0.5 else 0.0
        groups = []
        if wanted >= 4 and rng.random() < config.document_rate:
            groups.append(self.maker.document(rng, integer(rng, wanted // 2, wanted)))
        if rng.random() < config.foreign_rate:
            foreign = (self.maker.foreign_group(rng, tilt) for _ in range(integer(rng, 1, 4)))
            groups += [group for group in foreign if group]
        failures = 0
        while groups or (len(words) < wanted and failures < _MOST_FAILURES):
            group = groups.pop(0) if groups else self.maker.group(rng, wanted - len(words), tilt)
            geometry = ground.fit(rng, group.geometry)
            if geometry is None or not group.ink.texts:
                failures += 1
            else:
                words += paint(rng, image, group, geometry)
        return image, words


# Renderers of one process share what they load: a training run has one renderer per image size.
_font_book = lru_cache(maxsize=4)(FontBook)
_photo_bank = lru_cache(maxsize=4)(PhotoBank)
_crop_bank = lru_cache(maxsize=4)(CropBank)
_foreign_book = lru_cache(maxsize=1)(ForeignBook)
_renderer = lru_cache(maxsize=16)(PageRenderer)


def render_page(seed: int, config: SynthConfig | dict[str, Any] | None = None) -> Sample:
    """One page, as `PageRenderer(config).page(seed)`; the renderer is kept for the next call.

    Raises:
        ConfigError: an option is wrong.
        DataError: no fonts, or a folder without pictures.
    """
    return _renderer(SynthConfig.parse(config)).page(seed)
