"""Where training samples come from: rendered pages, and folders of annotated photos.

A source answers `sample(index, size)` as a pure function of its settings, the seed and the index, so that any
worker can make any sample and an interrupted run goes on with exactly the samples it would have seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dld_core.config import PartConfig
from dld_core.data.augment import AugmentConfig, Size, augment, crop, light
from dld_core.data.cache import PageCache
from dld_core.errors import ConfigError, DataError
from dld_core.types import Sample

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class Source(Protocol):
    """An endless supply of samples."""

    def sample(self, index: int, size: Size) -> Sample:
        """Sample number `index` (>= 0), for a batch whose images are `size` (height, width) pixels."""
        ...


class SourceConfig(PartConfig):
    """What all sources have in common.

    Attributes:
        weight: share of the samples, relative to the other sources.
        augment: random views (scale, rotation, crop, colour ...); None takes the source's own default.
        augmentation: settings of these views.
        ignore_text: learn where the words are but not what they say (their texts become empty).
    """

    weight: float = Field(1.0, gt=0)
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
        cache: folder of rendered pages; they are drawn once and then seen in random views.
        cache_pages: how many pages the cache holds.
    """

    kind: Literal["synth"] = "synth"
    page: dict[str, Any] = Field(default_factory=dict)
    cache: str | None = None
    cache_pages: int = Field(2000, ge=1)

    def open(self, seed: int) -> Source:
        return SynthSource(self, seed)


class FolderSourceConfig(SourceConfig):
    """Photos with one ICDAR text file each (`gt_NAME.txt` or `NAME.txt`: x1,y1,...,text; ### is don't-care).

    Attributes:
        images: folder of pictures.
        gt: folder of text files; None means no text at all: pure background photos.
        repeat: how often a picture is used per round through the folder, each time in another view.
    """

    kind: Literal["icdar"] = "icdar"
    images: str
    gt: str | None
    repeat: int = Field(1, ge=1)

    def open(self, seed: int) -> Source:
        return FolderSource(self, seed)


SOURCES: dict[str, type[SourceConfig]] = {"synth": SynthSourceConfig, "icdar": FolderSourceConfig}


def parse_source(values: Mapping[str, Any] | SourceConfig, where: str) -> SourceConfig:
    """The config of one source, chosen by its `kind`. Raises ConfigError."""
    if isinstance(values, SourceConfig):
        return values
    if not isinstance(values, Mapping) or values.get("kind") not in SOURCES:
        raise ConfigError(f"{where}: each source needs 'kind', one of: {', '.join(sorted(SOURCES))}")
    return SOURCES[values["kind"]].parse(values, where=where)


class SynthSource:
    """Pages of the renderer, fresh or from the cache.

    Without a `page_size` of their own, pages are drawn at the size of the batch.
    """

    def __init__(self, config: SynthSourceConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        self._renderers: dict[Size | None, Any] = {}
        self._cache = PageCache(config.cache, config.page, seed) if config.cache else None
        self._renderer(None)  # wrong options must show now, not in a worker
        self._renderers.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderers": {}}

    def sample(self, index: int, size: Size) -> Sample:
        rng = np.random.default_rng((self.seed, 1, index))
        if self._cache is None:
            fixed = "page_size" in self.config.page
            page = self._renderer(None if fixed else size).page(_page_seed(self.seed, index))
        else:
            number = index % self.config.cache_pages
            page = self._cache.get(number, lambda: self._renderer(None).page(_page_seed(self.seed, number)))
        use_views = self.config.augment if self.config.augment is not None else self._cache is not None
        if use_views:
            return _clear(augment(page, size, rng, self.config.augmentation or light()), self.config)
        return _clear(crop(page, size, rng), self.config)

    def _renderer(self, size: Size | None) -> Any:
        """The renderer of pages of a size, made on first use in each process."""
        if size not in self._renderers:
            from dld_core.data.synth import PageRenderer, SynthConfig

            options = self.config.page if size is None else {**self.config.page, "page_size": size}
            self._renderers[size] = PageRenderer(SynthConfig.parse(options, where="data: synth: page"))
        return self._renderers[size]


class FolderSource:
    """Annotated photos, each round in another order and each time in another view."""

    def __init__(self, config: FolderSourceConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        self.items = _list_items(config)

    def sample(self, index: int, size: Size) -> Sample:
        total = len(self.items) * self.config.repeat
        number = int(_order(self.seed, index // total, total)[index % total]) % len(self.items)
        sample = _clear(self.items[number].load(), self.config)
        if self.config.augment is False:
            return sample
        rng = np.random.default_rng((self.seed, 2, index))
        return augment(sample, size, rng, self.config.augmentation or AugmentConfig())


class Item:
    """One picture of a folder and its words."""

    __slots__ = ("ignore", "path", "polygons", "texts")
    DONT_CARE: ClassVar[str] = "###"

    def __init__(self, path: Path, labels: Path | None) -> None:
        self.path = path
        self.polygons: list[NDArray[np.float32]] = []
        self.texts: list[str] = []
        if labels is not None:
            self._read(labels)
        self.ignore = np.array([text == self.DONT_CARE for text in self.texts], dtype=np.bool_)

    def _read(self, labels: Path) -> None:
        text = labels.read_text(encoding="utf-8-sig", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                polygon, word = parse_icdar_line(line, f"{labels}:{number}")
                self.polygons.append(polygon)
                self.texts.append(word)

    def load(self) -> Sample:
        """Decode the picture (stored pixels, no EXIF turning). Raises DataError."""
        image = cv2.imread(str(self.path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            raise DataError(f"cannot decode {self.path}; replace it or take it out of the folder")
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        return Sample(rgb, list(self.polygons), list(self.texts), self.ignore.copy(), str(self.path))


def parse_icdar_line(line: str, where: str) -> tuple[NDArray[np.float32], str]:
    """`x1,y1,...,xn,yn,text` with n >= 3 points; the text may hold commas. Raises DataError.

    The points are the longest run of numbers of even length, at most 8 numbers where the file has quadrilaterals:
    a word such as "2" or "10,5" after four points stays a word.
    """
    fields = line.strip("\r\n\ufeff").split(",")
    count = 0
    while count < len(fields) - 1 and _is_number(fields[count]):
        count += 1
    count = 8 if 8 <= count <= 10 else count - count % 2
    if count < 6:
        raise DataError(f"{where}: expected x1,y1,...,xn,yn,text with at least 3 points, got {line[:60]!r}")
    points = np.array([float(f) for f in fields[:count]], dtype=np.float32).reshape(-1, 2)
    return points, ",".join(fields[count:])


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _list_items(config: FolderSourceConfig) -> list[Item]:
    folder = Path(config.images)
    if not folder.is_dir():
        raise DataError(f"the image folder {folder} does not exist; check 'images' in the data section")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    if config.gt is None:
        items = [Item(path, None) for path in paths]
    else:
        found = [(path, _labels_of(path, Path(config.gt))) for path in paths]
        items = [Item(path, labels) for path, labels in found if labels is not None]
    if not items:
        raise DataError(
            f"{folder} holds {len(paths)} pictures and none has a text file gt_NAME.txt or NAME.txt in {config.gt}; "
            "check 'images' and 'gt'"
        )
    return items


def _labels_of(path: Path, gt: Path) -> Path | None:
    for name in (f"gt_{path.stem}.txt", f"{path.stem}.txt", f"{path.name}.txt"):
        if (gt / name).is_file():
            return gt / name
    return None


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


def describe(config: SourceConfig) -> str:
    """One line for logs."""
    return json.dumps(config.model_dump(exclude_defaults=True), default=str)
