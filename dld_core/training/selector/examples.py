"""What a selector is fitted to: thumbnails with their cell targets, with or without a spotter's outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.selection.thumbnail import thumbnail
from dld_core.training.selector.measure import Measurement, relative_costs
from dld_core.training.selector.targets import CellTargets, cell_targets
from dld_core.types import Sample

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Example:
    """One image.

    Attributes:
        thumbnail: RGB uint8 [h, w, 3].
        native: (height, width), pixels.
        targets: of the cells.
        losses: [K] words lost at each scale; None where no spotter has read the image.
        costs: [K] relative costs; None likewise.
    """

    thumbnail: NDArray[np.uint8]
    native: tuple[int, int]
    targets: CellTargets
    losses: Floats | None = None
    costs: Floats | None = None

    @property
    def measured(self) -> bool:
        """Whether a spotter has read it."""
        return self.losses is not None

    @classmethod
    def of_measurement(cls, measured: Measurement, alarm: float) -> Example:
        """With a spotter's outcomes."""
        height, width = measured.thumbnail.shape[:2]
        factor = np.array([width / measured.size[1], height / measured.size[0]], np.float32)
        polygons = [np.asarray(p * factor, np.float32) for p in measured.polygons]
        lost = np.asarray(measured.lost, np.float32)
        return cls(
            measured.thumbnail,
            (int(measured.size[0]), int(measured.size[1])),
            cell_targets(polygons, measured.cares, lost, (height, width)),
            np.asarray(measured.losses(alarm), np.float32),
            np.asarray(relative_costs(measured), np.float32),
        )

    @classmethod
    def of_sample(cls, sample: Sample, scales: int, long_side: int) -> Example:
        """From annotations alone: where words are and how high, not whether they are read."""
        small = thumbnail(sample.image, long_side)
        size, native = small.shape[:2], sample.image.shape[:2]
        factor = np.array([size[1] / native[1], size[0] / native[0]], np.float32)
        polygons = [np.asarray(p * factor, np.float32) for p in sample.polygons]
        lost = np.zeros((len(polygons), scales), np.float32)
        targets = cell_targets(polygons, ~sample.ignore, lost, (size[0], size[1]))
        return cls(small, (native[0], native[1]), targets)


def zoomed(sample: Sample, rng: np.random.Generator, smallest: float = 0.35) -> Sample:
    """A random part of a page, from `smallest` of its sides to the whole, with the words that lie inside.

    A part seen in a thumbnail of the same size shows its text enlarged: one photo teaches many heights.
    Words that the border cuts become don't-care.
    """
    height, width = sample.image.shape[:2]
    share = float(rng.uniform(smallest, 1.0))
    h, w = max(32, round(height * share)), max(32, round(width * share))
    h, w = min(h, height), min(w, width)
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    moved = [p - np.array([left, top], np.float32) for p in sample.polygons]
    near = [i for i, p in enumerate(moved) if _overlaps(p, h, w)]
    cut = np.array([not _inside(moved[i], h, w) for i in near], bool)
    return Sample(
        sample.image[top : top + h, left : left + w],
        [np.asarray(moved[i].clip(0, [w, h]), np.float32) for i in near],
        [sample.texts[i] for i in near],
        sample.ignore[near] | cut if near else np.zeros(0, bool),
        sample.name,
    )


def _overlaps(polygon: Floats, height: int, width: int) -> bool:
    low, high = polygon.min(0), polygon.max(0)
    return bool(high[0] > 0 and high[1] > 0 and low[0] < width and low[1] < height)


def _inside(polygon: Floats, height: int, width: int) -> bool:
    slack = 0.05 * float(np.ptp(polygon, axis=0).max())
    return bool((polygon >= -slack).all() and (polygon <= np.array([width, height]) + slack).all())


def by_size(examples: Sequence[Example]) -> list[list[int]]:
    """Indices of examples whose thumbnails share a size, so that they can share a batch."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(example.thumbnail.shape, []).append(index)
    return list(groups.values())
