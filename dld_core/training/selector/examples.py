"""What a selector is fitted to: thumbnails with their targets, with or without a spotter's outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.interfaces import ResolutionSelector
from dld_core.selection.thumbnail import thumbnail
from dld_core.training.selector.measure import Measurement, relative_costs
from dld_core.types import Sample

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Example:
    """One image.

    Attributes:
        thumbnail: RGB uint8 [h, w, 3].
        native: (height, width), pixels.
        targets: of the selector's own, by name.
        losses: [K] words lost at each scale; None where no spotter has read the image.
        costs: [K] relative costs; None likewise.
    """

    thumbnail: NDArray[np.uint8]
    native: tuple[int, int]
    targets: dict[str, Floats]
    losses: Floats | None = None
    costs: Floats | None = None

    @classmethod
    def of_measurement(cls, measured: Measurement, alarm: float, selector: ResolutionSelector) -> Example:
        """With a spotter's outcomes."""
        native = int(measured.size[0]), int(measured.size[1])
        lost = np.asarray(measured.lost, np.float32)
        return cls(
            measured.thumbnail,
            native,
            _targets(selector, measured.polygons, measured.cares, lost, measured.thumbnail, native),
            np.asarray(measured.losses(alarm), np.float32),
            np.asarray(relative_costs(measured), np.float32),
        )

    @classmethod
    def of_sample(cls, sample: Sample, selector: ResolutionSelector) -> Example:
        """From annotations alone: where words are and how high, not whether they are read."""
        small = thumbnail(sample.image, selector.config.long_side)
        native = sample.image.shape[0], sample.image.shape[1]
        lost = np.zeros((len(sample.polygons), len(selector.scales)), np.float32)
        return cls(small, native, _targets(selector, sample.polygons, ~sample.ignore, lost, small, native))


def _targets(
    selector: ResolutionSelector,
    polygons: Sequence[NDArray[np.floating]],
    cares: NDArray[np.bool_],
    lost: Floats,
    small: NDArray[np.uint8],
    native: tuple[int, int],
) -> dict[str, Floats]:
    height, width = small.shape[:2]
    factor = np.array([width / native[1], height / native[0]], np.float32)
    return selector.targets(
        [np.asarray(p * factor, np.float32) for p in polygons], cares, lost, (height, width)
    )


def zoomed(sample: Sample, rng: np.random.Generator, smallest: float = 0.35) -> Sample:
    """A random part of a page, from `smallest` of its sides to the whole, with the words that lie inside.

    A part seen in a thumbnail of the same size shows its text enlarged: one photo teaches many heights.
    Words that the border cuts are ignored.
    """
    height, width = sample.image.shape[:2]
    share = float(rng.uniform(smallest, 1.0))
    h, w = (min(max(32, round(side * share)), side) for side in (height, width))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    moved = [p - np.array([left, top], np.float32) for p in sample.polygons]
    near = [i for i, p in enumerate(moved) if (p.max(0) > 0).all() and (p.min(0) < [w, h]).all()]
    cut = np.array([not _inside(moved[i], h, w) for i in near], bool)
    return Sample(
        sample.image[top : top + h, left : left + w],
        [np.asarray(moved[i].clip(0, [w, h]), np.float32) for i in near],
        [sample.texts[i] for i in near],
        sample.ignore[near] | cut if near else np.zeros(0, bool),
        sample.name,
    )


def _inside(polygon: Floats, height: int, width: int) -> bool:
    slack = 0.05 * float(np.ptp(polygon, axis=0).max())
    return bool((polygon >= -slack).all() and (polygon <= np.array([width, height]) + slack).all())
