"""One-to-one matching of words and detections, and which of them count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.overlap import Indices, Pairs


@dataclass(frozen=True, slots=True)
class Matching:
    """Who matched whom.

    Attributes:
        truth, found: [M] indices of matched words and detections, in the order in which they were matched.
        truth_counts: [N] which words count (not don't-care).
        found_counts: [K] which detections count (not lying in a don't-care word).
    """

    truth: Indices
    found: Indices
    truth_counts: NDArray[np.bool_]
    found_counts: NDArray[np.bool_]


def match(pairs: Pairs, dont_care: NDArray[np.bool_], detections: int, iou: float, inside: float) -> Matching:
    """Greedy, ground truth by ground truth: each takes its first free detection with IoU above `iou`.

    Detections with more than `inside` of their own area in one don't-care word take no part.
    """
    found_counts = np.ones(detections, bool)
    found_counts[pairs.found[dont_care[pairs.truth] & (pairs.inside > inside)]] = False
    able = (pairs.iou > iou) & ~dont_care[pairs.truth] & found_counts[pairs.found]
    # Pairs come ordered by word, then detection, so that one pass is the challenge's double loop.
    matches: dict[int, int] = {}
    taken: set[int] = set()
    for truth, found in zip(pairs.truth[able].tolist(), pairs.found[able].tolist(), strict=True):
        if truth not in matches and found not in taken:
            matches[truth] = found
            taken.add(found)
    chosen = np.array([*matches.keys(), *matches.values()], np.int64).reshape(2, -1)
    return Matching(chosen[0], chosen[1], ~dont_care, found_counts)
