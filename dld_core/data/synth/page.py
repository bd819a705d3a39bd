"""The renderer: one seed in, one annotated page out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.synth import textures
from dld_core.data.synth.clutter import draw_clutter, draw_occluder
from dld_core.data.synth.compose import paint
from dld_core.data.synth.config import SynthConfig
from dld_core.data.synth.degrade import Damage, degrade
from dld_core.data.synth.fonts import FontBook, system_folders
from dld_core.data.synth.foreign import ForeignBook
from dld_core.data.synth.group import Group, GroupMaker
from dld_core.data.synth.labels import Placed, finish_labels
from dld_core.data.synth.mixed import varied
from dld_core.data.synth.photos import CropBank, PhotoBank
from dld_core.data.synth.placing import Ground
from dld_core.data.synth.sampling import chance, generator, integer
from dld_core.data.synth.text import TextSource
from dld_core.types import Sample

Image = NDArray[np.uint8]
_MOST_FAILURES = 12


@dataclass(slots=True)
class Draft:
    """A page being made: its pixels, where there is room, and the words so far."""

    image: Image
    ground: Ground
    words: list[Placed] = field(default_factory=list)


class PageRenderer:
    """Renders pages; loads fonts, photos and word lists once. Picklable, so that workers share the font scan.

    Args:
        config: options, or None for all defaults.

    Raises:
        DataError: no fonts, an empty or missing background folder, a malformed crop table.
    """

    def __init__(self, config: SynthConfig | None = None) -> None:
        self.config = config or SynthConfig()
        self.fonts = _font_book(self.config.fonts, self.config.system_fonts)
        self.photos = _photo_bank(self.config.backgrounds) if self.config.backgrounds else None
        self.crops = _crop_bank(self.config.word_crops) if self.config.word_crops else None
        wild = self.config.foreign_rate > 0 and self.config.system_fonts and self.config.fonts is None
        foreign = _foreign_book() if wild else None
        self.maker = GroupMaker(self.config, self.fonts, TextSource(self.config.vocabulary), foreign)

    def page(self, seed: int) -> Sample:
        """The page of a seed (>= 0). The same seed, config and fonts give the same bytes."""
        if self.config.mixed:
            return PageRenderer(varied(self.config, seed)).page(seed)
        rng = generator(seed)
        if self.config.word_mosaic:
            from dld_core.data.synth.mosaic import mosaic

            image, words = mosaic(self, rng)
        else:
            image, words = self._scene(rng)
        occluded = np.zeros(image.shape[:2], np.uint8)
        if words and not self.config.word_mosaic and chance(rng, self.config.occlusion_rate):
            for _ in range(integer(rng, 1, 4)):
                draw_occluder(rng, image, occluded)
        image, damage = degrade(rng, image, self.config.degrade)
        return self._sample(image, words, damage, occluded, f"synth-{seed}")

    def _sample(
        self, image: Image, words: list[Placed], damage: Damage, occluded: Image, name: str
    ) -> Sample:
        polygons, texts, ignore = finish_labels(words, damage, occluded, self.config.min_height, image)
        return Sample(np.ascontiguousarray(image), polygons, texts, np.asarray(ignore, np.bool_), name)

    def background(self, rng: Generator, size: tuple[int, int]) -> Image:
        """A photo crop or a procedural texture, [h, w, 3]."""
        if self.photos and chance(rng, self.config.photo_rate):
            return self.photos.crop(rng, size)
        return textures.background(rng, size)

    def _scene(self, rng: Generator) -> tuple[Image, list[Placed]]:
        image = np.ascontiguousarray(self.background(rng, self.config.page_size))
        for _ in range(int(rng.poisson(self.config.clutter))):
            draw_clutter(rng, image)
        draft = Draft(image, Ground(image))
        if chance(rng, self.config.empty_rate):
            return image, []
        wanted = integer(rng, *self.config.words)
        tilt = math.radians(float(rng.normal(0, 4))) if chance(rng, 0.5) else 0.0
        if wanted >= 4 and chance(rng, self.config.document_rate):
            self._place(rng, draft, self.maker.document(rng, integer(rng, wanted // 2, wanted)))
        if chance(rng, self.config.foreign_rate):
            for _ in range(integer(rng, 1, 4)):
                group = self.maker.foreign_group(rng, tilt)
                if group is not None:
                    self._place(rng, draft, group)
        failures = 0
        while len(draft.words) < wanted and failures < _MOST_FAILURES:
            group = self.maker.group(rng, wanted - len(draft.words), tilt)
            failures += not self._place(rng, draft, group)
        return image, draft.words

    def _place(self, rng: Generator, draft: Draft, group: Group) -> bool:
        """Find room for the group, paint it there and note its words."""
        geometry = draft.ground.fit(rng, group.geometry)
        if geometry is None or not group.ink.boxes:
            return False
        draft.words += paint(rng, draft.image, group, geometry)
        return True


# Renderers of one process share what they load: a training run has one renderer per image size.
_font_book = lru_cache(maxsize=4)(FontBook)
_photo_bank = lru_cache(maxsize=4)(PhotoBank)
_crop_bank = lru_cache(maxsize=4)(CropBank)


@lru_cache(maxsize=1)
def _foreign_book() -> ForeignBook:
    return ForeignBook(system_folders())


@lru_cache(maxsize=4)
def _renderer(config: SynthConfig) -> PageRenderer:
    return PageRenderer(config)


def render_page(seed: int, config: SynthConfig | dict[str, Any] | None = None) -> Sample:
    """One page, as `PageRenderer(config).page(seed)`; the renderer is kept for the next call.

    Raises:
        ConfigError: an option is wrong.
        DataError: no fonts, or a folder without pictures.
    """
    return _renderer(SynthConfig.parse(config)).page(seed)
