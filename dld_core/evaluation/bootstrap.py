"""Confidence intervals: how much a score would change had other images of the same kind been drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.scores import Tally


@dataclass(frozen=True, slots=True)
class Interval:
    """The range that holds a score with the given confidence."""

    low: float
    high: float


def hmean_interval(
    tally: Tally, reading: bool, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile bootstrap over images of a tally's hmean (Efron, 1979).

    Args:
        tally: counts per image.
        reading: True for place and text, False for the place alone.
        resamples: how many data sets are drawn, each of as many images, with replacement.
        confidence: of the interval, in (0, 1).
        seed: the same seed draws the same images, so that intervals over scales are paired.
    """
    images = len(tally.truth)
    if not images:
        return Interval(0.0, 0.0)
    drawn = resampled(images, resamples, seed)
    right = tally.correct if reading else tally.matched
    scores = hmeans(drawn @ right, drawn @ (tally.found + tally.truth))
    low, high = np.quantile(scores, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def resampled(images: int, resamples: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """[resamples, images] how often each image is drawn, with replacement, for a set as large as there is."""
    chances = np.full(images, 1 / images)
    return np.random.default_rng(seed).multinomial(images, chances, size=resamples)


def hmeans(right: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """2PR/(P+R) of sums over images, 0 where nothing counts.

    With P = r/f and R = r/t it is 2r/(f+t): `right` holds r, `counted` the words and detections f+t.
    """
    return np.divide(2 * right, counted, out=np.zeros_like(right), where=counted > 0)
