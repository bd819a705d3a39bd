"""Whole images of a mixture of sources, each at most once: what a selector looks at.

Number i is the same image however many are asked for, so that what was measured of it stays true when more
are wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dld_core.data.augment import Size
from dld_core.data.dataset import Mixture
from dld_core.data.sources import (
    ImagesSourceConfig,
    PhotosSource,
    PhotosSourceConfig,
    Source,
    SourceConfig,
)
from dld_core.errors import DataError, ImageError
from dld_core.images import IMAGE_SUFFIXES, list_images, load_image
from dld_core.types import Sample

_PAGE: Size = (720, 1280)
"""Of rendered pages that name no size of their own."""


class Draws(Sequence[Sample]):
    """The first images of a mixture, fewer than asked for where there are no more.

    Args:
        configs: the sources; photos that nobody has annotated come without words.
        images: how many are wanted.
        seed: of the order.

    Raises:
        ConfigError, DataError: a source is configured wrongly, or holds nothing.
    """

    def __init__(self, configs: Sequence[SourceConfig], images: int, seed: int) -> None:
        self.sources = [_open(config, seed + 7919 * i) for i, config in enumerate(configs)]
        self.drawn = _draw(Mixture([config.weight for config in configs], seed), self.sources, images)

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, number: int) -> Sample:  # type: ignore[override]
        source, index = self.drawn[number]
        return self.sources[source].whole(index, _PAGE)


def contents(configs: Sequence[SourceConfig]) -> str:
    """A name for what the folders of the sources hold: pictures by name and size, annotations by content."""
    found = hashlib.sha256()
    for config in configs:
        for path in _pictures_of(config):
            found.update(f"{path} {path.stat().st_size}\n".encode())
        for path in _annotations_of(config):
            found.update(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def _pictures_of(config: SourceConfig) -> list[Path]:
    """Of folders and files that are there; what is not is told where the source is opened."""
    try:
        if isinstance(config, ImagesSourceConfig):
            return config.paths()
        if not isinstance(config, PhotosSourceConfig):
            return []
        # Where only annotations are named, pictures lie beside them.
        place = config.images or (config.gt and str(Path(config.gt).parent))
        return list_images(place, recursive=True) if place else []
    except ImageError:
        return []


def _annotations_of(config: SourceConfig) -> list[Path]:
    gt = config.gt if isinstance(config, PhotosSourceConfig) else None
    if gt is None:
        return []
    path = Path(gt).expanduser()
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if file.is_file() and file.suffix.lower() not in IMAGE_SUFFIXES]


class BarePhotos:
    """Photos that nobody has annotated, as a spotter sees them (after EXIF turning), without words."""

    views = None

    def __init__(self, config: ImagesSourceConfig, seed: int) -> None:
        self.paths = config.paths()
        if not self.paths:
            raise DataError(f"there is no picture in {config.images}; check 'images' in the data section")
        self.order = np.random.default_rng((seed, 3, 0)).permutation(len(self.paths))

    def whole(self, index: int, size: Size) -> Sample:
        """Photo `index` of a shuffled order."""
        del size
        path: Path = self.paths[int(self.order[index])]
        return Sample(load_image(path).pixels, [], [], np.zeros(0, np.bool_), str(path))

    sample = whole


def _open(config: SourceConfig, seed: int) -> Source:
    if isinstance(config, ImagesSourceConfig) and config.labels is None:
        return BarePhotos(config, seed)
    if isinstance(config, ImagesSourceConfig | PhotosSourceConfig):
        config = config.model_copy(update={"repeat": 1})
    return config.open(seed)


def _pictures(source: Source) -> float:
    """How many different ones a source has."""
    if isinstance(source, BarePhotos):
        return len(source.paths)
    return len(source.loaders) if isinstance(source, PhotosSource) else float("inf")


def _draw(mixture: Mixture, sources: Sequence[Source], images: int) -> list[tuple[int, int]]:
    left = [_pictures(source) for source in sources]
    drawn: list[tuple[int, int]] = []
    number = 0
    while len(drawn) < images and any(left):
        source, index = mixture[number]
        number += 1
        if left[source]:
            left[source] -= 1
            drawn.append((source, index))
    return drawn
