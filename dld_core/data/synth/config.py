"""Options of the page renderer, and those of a page as phones and scanners make them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from dld_core.config import PartConfig

Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class SynthConfig(PartConfig):
    """What the rendered pages look like. Rates are probabilities in [0, 1], lengths are pixels.

    Attributes:
        page_size: height and width of a page.
        words: fewest and most words aimed at; a full page may hold fewer. Not used by mosaics.
        size_range: smallest and largest letter height (that of capitals).
        small_bias: 1 samples sizes log-uniformly; larger values favour small letters.
        min_height: words lower than this on the page are ignore regions.
        fonts: folder of .ttf/.otf fonts to use instead of the bundled and the system ones.
        system_fonts: whether fonts of the system join the bundled ones.
        backgrounds: folder of photos without text (searched recursively).
        photo_rate: share of pages (and of mosaic tiles) on a photo, where there are photos.
        vocabulary: text file of extra words, separated by white space, taken for a quarter of all words.
        empty_rate: share of pages without any text.
        document_rate: share of pages that are one poster, document or screen full of lines.
        curved_rate: share of one-line groups on a curved baseline.
        plate_rate: share of groups on a sign-like plate.
        clutter: mean number of text-like objects that are not text, per page.
        foreign_rate: share of pages with some ignored words in non-Latin scripts (where fonts allow).
        occlusion_rate: share of pages where something hides parts of words.
        degrade: strength of blur, noise, JPEG, low resolution and contrast; 0 turns them off.
        mixed: pages of 1 to 12 megapixels with large, small or mixed text, as phones and scanners make them
            (page_size, words, size_range, small_bias and document_rate then change from page to page).
        word_mosaic: pages densely tiled with single words, to teach a recogniser.
        mosaic_range: smallest and largest letter height in mosaics.
        word_crops: folder with `labels.tsv` (file name, tab, text) of real word crops for mosaics.
        word_crop_rate: share of mosaic tiles that are real crops, where there are any.
    """

    page_size: tuple[Annotated[int, Field(ge=64, le=4096)], Annotated[int, Field(ge=64, le=4096)]] = (
        640,
        640,
    )
    words: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=1000)]] = (15, 35)
    size_range: tuple[Annotated[float, Field(gt=2.0)], Annotated[float, Field(le=400.0)]] = (8.0, 80.0)
    small_bias: float = Field(default=1.6, gt=0.0, le=5.0)
    min_height: float = Field(default=6.0, ge=0.0)
    fonts: Path | None = None
    system_fonts: bool = True
    backgrounds: Path | None = None
    photo_rate: Rate = 0.6
    vocabulary: Path | None = None
    empty_rate: Rate = 0.02
    document_rate: Rate = 0.12
    curved_rate: Rate = 0.15
    plate_rate: Rate = 0.45
    clutter: float = Field(default=3.0, ge=0.0, le=100.0)
    foreign_rate: Rate = 0.1
    occlusion_rate: Rate = 0.1
    degrade: float = Field(default=1.0, ge=0.0, le=2.0)
    mixed: bool = False
    word_mosaic: bool = False
    mosaic_range: tuple[Annotated[float, Field(gt=2.0)], Annotated[float, Field(le=400.0)]] = (10.0, 40.0)
    word_crops: Path | None = None
    word_crop_rate: Rate = 0.3

    @model_validator(mode="after")
    def _ordered(self) -> SynthConfig:
        for name in ("words", "size_range", "mosaic_range"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (smallest, largest), got ({low}, {high}); swap them")
        if self.mixed and self.word_mosaic:
            raise ValueError("mixed and word_mosaic exclude each other; set one of them")
        return self


MEGAPIXELS = (1.0, 12.0)
ASPECTS = (4 / 3, 3 / 4, 16 / 9, 9 / 16, math.sqrt(2), math.sqrt(1 / 2), 1.0)
"""Width over height: phones, screens, paper, squares."""
_LONGEST = 4096
# Letter heights as fractions of the short side, and how many words there are: large, small or mixed letters.
_KINDS = (((0.03, 0.13), (4, 15)), ((0.008, 0.02), (20, 60)), ((0.009, 0.10), (10, 40)))
_LOWEST, _HIGHEST = 10.0, 400.0  # letter heights, pixels


def varied(config: SynthConfig, seed: int) -> SynthConfig:
    """The options of page `seed` of a `mixed` set: its own size, letters and number of words."""
    rng = np.random.default_rng((seed, 0x317ED))
    area = 1e6 * math.exp(rng.uniform(*np.log(MEGAPIXELS)))
    aspect = float(rng.choice(ASPECTS))
    sides = tuple(min(_LONGEST, round(math.sqrt(area * factor))) for factor in (1 / aspect, aspect))
    letters, words = _KINDS[rng.integers(len(_KINDS))]
    heights = tuple(float(np.clip(share * min(sides), _LOWEST, _HIGHEST)) for share in letters)
    changes = {"mixed": False, "page_size": sides, "size_range": heights, "words": words}
    return config.model_copy(update={**changes, "small_bias": 1.0, "document_rate": 0.25})
