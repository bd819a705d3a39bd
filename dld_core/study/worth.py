"""What choosing is worth: beside fixed scales of equal cost, and of what an oracle could have won.

The oracle knows what each image loses at every scale, but from another run, of the image with its borders cut
a little: one that chose on the run it is scored on would be fooled by luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dld_core.evaluation.choice import Reached, hmean_at
from dld_core.evaluation.outcomes import outcomes
from dld_core.evaluation.words import ImageWords
from dld_core.study.readings import Reading

Row = dict[str, Any]


def words_lost(truth: ImageWords, reading: Reading, alarm: float) -> float:
    """What an image loses in a reading: words not read, and `alarm` words for every detection."""
    result = outcomes(truth, reading.packed())
    return float((~truth.ignore).sum() - result.read.sum() + alarm * result.detections)


def relative_costs(readings: Sequence[Reading]) -> list[float]:
    """Costs of one image's readings as shares of the dearest: FLOPs where all are known, else time."""
    flops = [r.gflops for r in readings]
    costs = np.array([r.milliseconds for r in readings] if None in flops else flops, np.float64)
    return list((costs / costs.max()).tolist())


def add_worth(rows: Sequence[Row], first: str) -> None:
    """Give rows of choices `fixed_e2e_hmean`, what the first system's fixed scales reach at that cost (its
    own system's, where the first has none), and `of_oracle`, how much of what the oracle wins over the own
    system's fixed scales was won.
    """
    for row in rows:
        if row["kind"] not in ("chosen", "oracle"):
            continue
        own = _curve(rows, row["system"], "reference")
        cost = _cost(row)
        row["fixed_e2e_hmean"] = _reached(_curve(rows, first, "reference") or own, cost)
        oracle = _curve(rows, row["system"], "oracle")
        if row["kind"] == "chosen" and oracle:
            base = _reached(own, cost)
            possible = _reached([*own, *oracle], cost) - base
            row["of_oracle"] = (row["e2e_hmean"] - base) / possible if possible > 0 else None


def _curve(rows: Sequence[Row], system: str, kind: str) -> list[Reached]:
    return [Reached(r["e2e_hmean"], _cost(r)) for r in rows if (r["system"], r["kind"]) == (system, kind)]


def _cost(row: Mapping[str, Any]) -> float:
    """Relative FLOPs, where unknown relative time."""
    return float(row["relative_latency"] if row["relative_gflops"] is None else row["relative_gflops"])


def _reached(curve: Sequence[Reached], cost: float) -> float:
    """The h-mean of a curve at a cost; reading nothing costs nothing, and its end is as good further on."""
    if not curve or cost >= max(point.cost for point in curve):
        return max((point.hmean for point in curve), default=0.0)
    return hmean_at([Reached(0.0, 0.0), *curve], cost)
