"""Where training samples come from: rendered pages, and folders of annotated photos.

A source answers `sample(index, size)` as a pure function of its settings, the seed and the index, so that any
worker can make any sample and an interrupted run goes on with exactly the samples it would have seen.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dld_core.config import PartConfig
from dld_core.data import pseudo_labels
from dld_core.data.augment import AugmentConfig, Size, augment, crop, light
from dld_core.data.cache import PageCache
from dld_core.data.formats import ALIASES, FORMATS, AnnotatedImage, load_sample, read
from dld_core.data.synth import PageRenderer, SynthConfig, render_page
from dld_core.errors import ConfigError, DataError
from dld_core.images.files import list_images
from dld_core.types import Sample


class Source(Protocol):
    """An endless supply of samples."""

    def sample(self, index: int, size: Size) -> Sample:
        """Sample number `index` (>= 0), for a batch whose images are `size` (height, width) pixels."""
        ...

    def whole(self, index: int, size: Size) -> Sample:
        """The same one as it came into the world: all of it, at its native resolution, unharmed."""
        ...

    @property
    def views(self) -> AugmentConfig | None:
        """How random views of it are taken; None for none."""
        ...


class SourceConfig(PartConfig):
    """What all sources have in common.

    Attributes:
        weight: share of the samples, relative to the other sources.
        augment: random views (scale, rotation, crop, colour ...); None takes the source's own default.
        augmentation: settings of these views.
        ignore_text: learn where the words are but not what they say (their texts become empty).
    """

    weight: float = Field(default=1.0, gt=0)
    augment: bool | None = None
    augmentation: AugmentConfig | None = None
    ignore_text: bool = False

    def open(self, seed: int) -> Source:
        """Check that the data is there and return the source. Raises ConfigError or DataError."""
        raise NotImplementedError


class SynthSourceConfig(SourceConfig):
    """Rendered pages.

    Attributes:
        page: options of the page renderer (see `dld data synth`).
        cache: folder of rendered pages; they are rendered once and then seen in random views. Runs whose page
            options agree share them, whatever their seeds.
        cache_pages: how many pages the cache holds.
    """

    kind: Literal["synth"] = "synth"
    page: dict[str, Any] = Field(default_factory=dict)
    cache: str | None = None
    cache_pages: int = Field(default=2000, ge=1)

    def open(self, seed: int) -> Source:
        return SynthSource(self, seed)


class PhotosSourceConfig(SourceConfig):
    """Annotated photos, in any format that `dld data check` knows.

    Attributes:
        kind: the format of the annotations ("icdar", "totaltext", "cocotext", ...), or "auto".
        gt: file or folder of annotations; None means photos that hold no text at all.
        images: folder of pictures; None looks beside the annotations.
        repeat: how often a picture is used per round through the set, each time in another view.
    """

    kind: str = "auto"
    gt: str | None
    images: str | None = None
    repeat: int = Field(default=1, ge=1)

    def open(self, seed: int) -> Source:
        return PhotosSource(self, seed)


class ImagesSourceConfig(SourceConfig):
    """Photos that nobody has annotated: in distillation the teacher's own reading stands in.

    Attributes:
        images: folder of pictures (its folders too), a pattern, or one picture; or several of these.
        confidence: words that the teacher read with a lower score are ignore regions.
        repeat: how often a picture is used per round through the set, each time in another view.
        labels: folder of the teacher's labels; `dld distill` makes it.
    """

    kind: Literal["images"] = "images"
    images: str | tuple[str, ...]
    confidence: float = Field(default=0.5, ge=0, le=1)
    repeat: int = Field(default=1, ge=1)
    labels: str | None = None

    def open(self, seed: int) -> Source:
        return PhotosSource(self, seed)

    def paths(self) -> list[Path]:
        """Every picture once. Raises ImageError where a place is not there or holds none."""
        places = [self.images] if isinstance(self.images, str) else self.images
        return list(dict.fromkeys(path for place in places for path in list_images(place, recursive=True)))


def parse_source(values: Mapping[str, Any] | SourceConfig, where: str) -> SourceConfig:
    """The config of one source, by its `kind`. Raises ConfigError."""
    if isinstance(values, SourceConfig):
        return values
    kind = values.get("kind") if isinstance(values, Mapping) else None
    known = ["synth", "images", "auto", *FORMATS, *ALIASES]
    if kind not in known:
        near = difflib.get_close_matches(str(kind), known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(
            f"{where}: a source is a mapping with a 'kind', one of {', '.join(known)}; got {kind!r}{hint}"
        )
    own: dict[str, type[SourceConfig]] = {"synth": SynthSourceConfig, "images": ImagesSourceConfig}
    return own.get(str(kind), PhotosSourceConfig).parse(values, where=where)


class SynthSource:
    """Pages of the renderer, fresh or from the cache.

    Without a `page_size` of their own, pages are rendered at the size of the batch.
    """

    def __init__(self, config: SynthSourceConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        self.page = SynthConfig.parse(config.page, where="data: synth: page")
        self._cache = PageCache(config.cache, config.page) if config.cache else None
        PageRenderer(self.page)  # what is wrong must show now, not in a worker

    def sample(self, index: int, size: Size) -> Sample:
        rng = np.random.default_rng((self.seed, 1, index))
        page, views = self.whole(index, size), self.views
        return crop(page, size, rng) if views is None else augment(page, size, rng, views)

    def whole(self, index: int, size: Size) -> Sample:
        if self._cache is None:
            fixed = "page_size" in self.config.page
            config = self.page if fixed else self.page.model_copy(update={"page_size": size})
            page = render_page(_page_seed(self.seed, index), config)
        else:
            number = index % self.config.cache_pages
            page = self._cache.get(number, lambda: render_page(_page_seed(0, number), self.page))
        return _clear(page, self.config)

    @property
    def views(self) -> AugmentConfig | None:
        wanted = self.config.augment if self.config.augment is not None else self._cache is not None
        return (self.config.augmentation or light()) if wanted else None


class PhotosSource:
    """Annotated photos, each round in another order and each time in another view.

    Attributes:
        annotated: the photos; none where a teacher's readings stand in for annotations.
    """

    def __init__(self, config: PhotosSourceConfig | ImagesSourceConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        self.annotated: list[AnnotatedImage] = []
        self.loaders = self._list()

    def sample(self, index: int, size: Size) -> Sample:
        sample, views = self.whole(index, size), self.views
        if views is None:
            return sample
        return augment(sample, size, np.random.default_rng((self.seed, 2, index)), views)

    def whole(self, index: int, size: Size) -> Sample:
        del size
        total = len(self.loaders) * self.config.repeat
        number = int(_order(self.seed, index // total, total)[index % total]) % len(self.loaders)
        return _clear(self.loaders[number](), self.config)

    @property
    def views(self) -> AugmentConfig | None:
        return None if self.config.augment is False else self.config.augmentation or AugmentConfig()

    def _list(self) -> list[Callable[[], Sample]]:
        if isinstance(self.config, ImagesSourceConfig):
            return _list_images(self.config)
        self.annotated = _list_photos(self.config)
        return [partial(load_sample, item) for item in self.annotated]


def _list_images(config: ImagesSourceConfig) -> list[Callable[[], Sample]]:
    """Every picture with what a teacher read in it. Raises ConfigError where none has."""
    if config.labels is None:
        raise ConfigError(
            "a source of kind 'images' has no labels, and only `dld distill` makes them; name their format "
            "and place ('kind: icdar', 'gt: FOLDER'); 'kind: auto' with 'gt: null' is for photos without text"
        )
    paths = [path for path in config.paths() if pseudo_labels.usable(config.labels, path)]
    if not paths:
        raise DataError(
            f"the teacher could read none of the pictures in {config.images}; check that they open, and give "
            "it time enough ('label_minutes')"
        )
    return [partial(pseudo_labels.load, config.labels, path, config.confidence) for path in paths]


def _list_photos(config: PhotosSourceConfig) -> list[AnnotatedImage]:
    """The pictures that are there. Raises DataError where there are none, or annotations are malformed."""
    if config.gt is not None:
        found = read(config.gt, config.kind, images=config.images).images
    elif config.images is not None:
        found = [AnnotatedImage(path) for path in list_images(config.images, recursive=True)]
    else:
        raise ConfigError("photos need 'gt' (their annotations), or 'images' with 'gt: null' (no text)")
    items = [item for item in found if os.path.isfile(item.path)]  # its own name may be none a file can have
    if not items:
        raise DataError(
            f"no picture is there for the {len(found)} annotated ones of {config.gt or config.images}; "
            "check 'images' and 'gt' in the data section"
        )
    return items


def _clear(sample: Sample, config: SourceConfig) -> Sample:
    """Empty the texts where only the places of the words are to be trusted."""
    if config.ignore_text:
        sample.texts = [""] * len(sample.texts)
    return sample


@lru_cache(maxsize=8)
def _order(seed: int, round_: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 3, round_)).permutation(count)


def _page_seed(seed: int, index: int) -> int:
    """A seed for the renderer that no other (seed, index) is likely to share."""
    return int(np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0] >> 1)
