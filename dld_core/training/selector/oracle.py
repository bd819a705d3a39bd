"""What choosing could win: policies judged on measurements, against fixed scales and the cross-run oracle.

An oracle that picks each image's scale from the very run that it is scored on is fooled by luck. Here it
picks on one run and is scored on another, of the slightly jittered image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.training.selector.measure import Measurement, relative_costs

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reached:
    """End-to-end h-mean and mean relative cost of one way of choosing."""

    hmean: float
    cost: float


@dataclass(frozen=True, slots=True)
class Table:
    """Measurements as arrays over B images and K scales.

    Attributes:
        correct: [B, K] words read right, mean over the scored runs.
        detections: [B, K] detections that count, likewise.
        words: [B] words that count.
        costs: [B, K] relative costs.
    """

    correct: Floats
    detections: Floats
    words: Floats
    costs: Floats

    @classmethod
    def of(cls, measurements: Sequence[Measurement], runs: slice = slice(None)) -> Table:
        """From measurements, averaged over some of their runs."""
        return cls(
            np.stack([m.read[runs][:, :, m.cares].sum(2).mean(0) for m in measurements]),
            np.stack([m.detections[runs].mean(0) for m in measurements]),
            np.array([m.cares.sum() for m in measurements], float),
            np.stack([relative_costs(m) for m in measurements]),
        )

    def reached(self, choice: NDArray[np.int64]) -> Reached:
        """By reading image b at scale choice[b]: corpus h-mean, 2 correct / (words + detections)."""
        rows = np.arange(len(choice))
        found = self.detections[rows, choice].sum()
        hmean = 2 * self.correct[rows, choice].sum() / max(self.words.sum() + found, 1e-9)
        return Reached(float(hmean), float(self.costs[rows, choice].mean()))

    def fixed(self) -> list[Reached]:
        """Every image at the same scale, for each scale."""
        return [self.reached(np.full(len(self.words), k)) for k in range(self.costs.shape[1])]

    def losses(self, alarm: float) -> Floats:
        """[B, K] words lost, and `alarm` times the detections."""
        return self.words[:, None] - self.correct + alarm * self.detections


def choose(losses: Floats, costs: Floats, gamma: float) -> NDArray[np.int64]:
    """[B] the scale of least loss plus price; the cheapest of equals."""
    return np.asarray((losses + gamma * costs).argmin(1), np.int64)


def sweep(
    losses: Floats, scored: Table, gammas: Sequence[float], forecast: Floats | None = None, own: float = 0.0
) -> list[Reached]:
    """Choose by `losses` [B, K] under each price, and score on a table.

    Args:
        forecast: [B, K] costs as whoever chooses knows them; None for the true ones.
        own: what choosing costs, as a share of reading at the largest scale; added to every cost.
    """
    known = scored.costs if forecast is None else forecast
    reached = [scored.reached(choose(losses, known, gamma)) for gamma in gammas]
    return [Reached(at.hmean, at.cost + own) for at in reached]


def cross_run_oracle(
    measurements: Sequence[Measurement], alarm: float, gammas: Sequence[float]
) -> list[Reached]:
    """Choose on the first run, score on the others."""
    chosen, scored = Table.of(measurements, slice(0, 1)), Table.of(measurements, slice(1, None))
    return sweep(chosen.losses(alarm), scored, gammas)


def hmean_at(points: Sequence[Reached], cost: float) -> float:
    """The h-mean that a curve reaches at a cost: its upper envelope, linear between points.

    Two settings can be mixed over images, so anything on the line between two points can be had.
    """
    able = [(a, b) for a in points for b in points if a.cost <= cost <= b.cost]
    return max((_between(a, b, cost) for a, b in able), default=float("nan"))


def _between(a: Reached, b: Reached, cost: float) -> float:
    share = 0.0 if a.cost == b.cost else (cost - a.cost) / (b.cost - a.cost)
    return a.hmean + (b.hmean - a.hmean) * share
