"""Judge a selector on images that taught it nothing, beside fixed scales and the cross-run oracle.

That oracle picks on one run and is scored on another, of the image with its borders cut a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dld_core.evaluation.choice import Reached
from dld_core.interfaces import ResolutionSelector, Spotter
from dld_core.selection.calibration import Calibrated, Calibration, cross_calibrated, size_ratio
from dld_core.selection.dynamic import DynamicResolution
from dld_core.selection.forecast import CostModel
from dld_core.training.selector.measure import Measurement, relative_costs, stack_losses

Floats = NDArray[np.float64]
GAMMAS = tuple(float(g) for g in np.geomspace(0.01, 30, 60))


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


def calibrate(
    selector: ResolutionSelector, measured: Sequence[Measurement], alarm: float, spotter: Spotter
) -> dict[str, Any]:
    """Put its scores right, in place, on images that it was not fitted to; what it then reaches on them.

    In that report, beside fixed scales and the cross-run oracle, each image's scores are calibrated on the
    others, prices are those that are known before reading, and what choosing costs is counted. Scores of a
    selector that cannot be calibrated count as they are.
    """
    scores, losses = predict(selector, measured), stack_losses(measured, alarm)
    if isinstance(selector, Calibrated):
        selector.calibrate()
        scores = predict(selector, measured)
        words = np.array([m.cares.sum() for m in measured], np.float64)
        short_sides = np.array([m.size.min() for m in measured])
        ratios = size_ratio(short_sides, selector.reference_short_side or spotter.reference_short_side)
        selector.calibrate(Calibration.fit(scores, losses, words, ratios))
        scores = cross_calibrated(scores, losses, words, ratios)
    table = Table.of(measured, slice(1, None))
    forecast, own = _forecast(selector, measured, spotter)
    oracle = cross_run_oracle(measured, alarm, GAMMAS)
    reached = sweep(scores, table, GAMMAS, forecast, own)
    return {
        "images": len(measured),
        "fixed": [_point(r, scale=s) for s, r in zip(selector.scales, table.fixed(), strict=True)],
        "selector": [_point(r, gamma=g) for g, r in zip(GAMMAS, reached, strict=True)],
        "cross_run_oracle": [_point(r, gamma=g) for g, r in zip(GAMMAS, oracle, strict=True)],
    }


def _forecast(
    selector: ResolutionSelector, measured: Sequence[Measurement], spotter: Spotter
) -> tuple[Floats, float]:
    """Costs [B, K] as shares of the dearest, infinite where a scale makes no sense for the image; and the
    mean share of choosing, 0 where FLOPs are unknown.
    """
    model = CostModel(spotter)
    drs = DynamicResolution(selector, model)
    sizes = [(int(m.size[0]), int(m.size[1])) for m in measured]
    costs = [model.forecast(size, selector.scales) for size in sizes]
    own = [
        0.0 if cost.gflops is None else drs.own_gflops(*size) * cost.shares[0] / cost.gflops[0]
        for size, cost in zip(sizes, costs, strict=True)
    ]
    shares = np.full((len(costs), len(selector.scales)), np.inf)
    for row, cost in zip(shares, costs, strict=True):
        row[[selector.scales.index(scale) for scale in cost.scales]] = cost.shares
    return shares, float(np.mean(own))


@torch.no_grad()
def predict(selector: ResolutionSelector, measured: Sequence[Measurement]) -> Floats:
    """[B, K] expected losses of the selector."""
    rows = []
    for m in measured:
        pixels = torch.from_numpy(m.thumbnail).permute(2, 0, 1)[None].float() / 255
        rows.append(selector(pixels, torch.from_numpy(m.size)[None])[0].numpy())
    return np.asarray(np.stack(rows), np.float64)


def _point(reached: Reached, **setting: float) -> dict[str, float]:
    return {**setting, "hmean": round(reached.hmean, 5), "cost": round(reached.cost, 5)}
