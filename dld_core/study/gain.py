"""What one way of reading gains over another, with an interval: both on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.bootstrap import hmeans, resampled

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of reading a set, image by image.

    Attributes:
        correct: [images] words read right.
        counted: [images] words that count plus detections that count: the h-mean is 2 correct / counted.
        milliseconds: [images]
    """

    correct: Floats
    counted: Floats
    milliseconds: Floats


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference of end-to-end h-means and its 95% interval."""

    value: float
    low: float
    high: float


def gain_at_equal_time(chosen: Way, fixed: Sequence[Way]) -> Gain:
    """The h-mean of a choice less that of the best fixed scale, or mixture of two, that takes as long.

    The interval is a percentile bootstrap over images: in every resample the mixture is found anew, the best
    one for its images, which is on the side of the fixed scales.

    Args:
        chosen: images read at scales of a selector's choice, choosing included.
        fixed: the same images, each time all at one scale.
    """
    drawn = _drawn(len(chosen.correct))
    differences = hmeans(drawn @ chosen.correct, drawn @ chosen.counted) - _best(
        drawn, drawn @ chosen.milliseconds, fixed
    )
    return _gain(differences)


def difference(way: Way, other: Way) -> Gain:
    """The h-mean of one way less that of another, with a percentile bootstrap over the images of both."""
    drawn = _drawn(len(way.correct))
    own, others = (hmeans(drawn @ w.correct, drawn @ w.counted) for w in (way, other))
    return _gain(own - others)


def _drawn(images: int) -> Floats:
    """[1 + resamples, images] how often each image counts: once, then as the bootstrap draws them."""
    return np.vstack([np.ones(images), resampled(images)])


def _gain(differences: Floats) -> Gain:
    """From differences of h-means, of all images first, then of the resamples."""
    low, high = np.quantile(differences[1:], [0.025, 0.975])
    return Gain(float(differences[0]), float(low), float(high))


def _best(drawn: Floats, time: Floats, fixed: Sequence[Way]) -> Floats:
    """[resamples] the best h-mean of any mixture of two scales that takes so long."""
    ways = [(drawn @ w.correct, drawn @ w.counted, drawn @ w.milliseconds) for w in fixed]
    best = np.zeros_like(time)
    for correct, counted, taken in ways:  # and nothing better to do with the rest of the time
        best = np.maximum(best, np.where(taken <= time, hmeans(correct, counted), 0.0))
    for first in ways:
        for second in ways:
            span = second[2] - first[2]
            able = (first[2] < time) & (time < second[2])
            share = np.divide(time - first[2], span, out=np.zeros_like(time), where=able)
            correct, counted = (a + (b - a) * share for a, b in zip(first[:2], second[:2], strict=True))
            best = np.maximum(best, np.where(able, hmeans(correct, counted), 0.0))
    return best
