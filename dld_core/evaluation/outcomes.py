"""What became of every single word: found, read, or neither; and what was found beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.overlap import Outlines, match, overlapping
from dld_core.evaluation.protocol import Protocol
from dld_core.evaluation.transcription import same_text
from dld_core.evaluation.words import ImageWords


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of the N annotated words of one image.

    Attributes:
        found: [N] a detection matched the word; False for ignore regions.
        read: [N] and its text is right.
        detections: how many detections count (do not lie in ignore regions).
    """

    found: NDArray[np.bool_]
    read: NDArray[np.bool_]
    detections: int


def outcomes(truth: ImageWords, prediction: ImageWords, protocol: Protocol | None = None) -> Outcomes:
    """By the rules of `evaluate`, word by word."""
    rules, best = protocol or Protocol(), prediction.best_first()
    marked, found_ = (Outlines.of([words], rules.whole_pixels) for words in (truth, best))
    pairs = overlapping(marked, found_, min(rules.iou, rules.overlap_limit))
    matching = match(pairs, truth.ignore, len(best), rules.iou, rules.overlap_limit)
    found, read = np.zeros(len(truth), bool), np.zeros(len(truth), bool)
    found[matching.truth] = True
    for word, detection in zip(matching.truth.tolist(), matching.found.tolist(), strict=True):
        read[word] = same_text(truth.texts[word], best.texts[detection], rules.special_characters)
    return Outcomes(found, read, int(matching.found_counts.sum()))
