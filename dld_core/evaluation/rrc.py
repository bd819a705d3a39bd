"""The evaluator: scores of predictions against ground truth by the rules of the Robust Reading Competition.

Rules and thresholds are those of the ICDAR 2015 end-to-end script (challenge 4, task 4), spelled out in
docs/evaluation.md. Scores are equal to the script's; the work is done on all images at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import editdistance
import numpy as np
from numpy.typing import NDArray

from dld_core.errors import DataError
from dld_core.evaluation.matching import Matching, match
from dld_core.evaluation.overlap import Floats, Indices, Limits, Pairs, Regions, overlapping
from dld_core.evaluation.protocol import Protocol
from dld_core.evaluation.scores import EvaluationResult, Tally
from dld_core.evaluation.table import WordTable
from dld_core.evaluation.transcription import same_text, spotting_form
from dld_core.evaluation.words import ImageWords


class _Side:
    """The words of one side and what they cover."""

    def __init__(self, words: WordTable, whole_pixels: bool) -> None:
        self.words = words
        self.regions = Regions.build(np.trunc(words.points) if whole_pixels else words.points, words.counts)
        self._image = words.image

    def count(self, chosen: Indices, weights: Floats | None = None) -> Floats:
        """How many of the chosen words each image has (or the sum of their weights)."""
        counts = np.bincount(self._image[chosen], weights, minlength=len(self.words))
        return counts.astype(np.float64)


def evaluate(
    ground_truth: Mapping[str, ImageWords],
    predictions: Mapping[str, ImageWords],
    protocol: Protocol | None = None,
) -> EvaluationResult:
    """Score predictions by image name; images without predictions count as empty.

    Predictions with scores are tried best first, others in the order given.

    Raises:
        DataError: predictions name an image that the ground truth has not.
    """
    rules = protocol or Protocol()
    strangers = [name for name in predictions if name not in ground_truth]
    if strangers:
        raise DataError(
            f"predictions for {len(strangers)} images have no ground truth ({', '.join(strangers[:5])}); "
            "remove them or give the ground truth they belong to"
        )
    truth = _Side(WordTable.of(ground_truth), rules.whole_pixels)
    found = _Side(WordTable.of(predictions).under(truth.words.names), rules.whole_pixels)
    ignore, texts = truth.words.ignore, truth.words.texts
    words = _spotting_words(texts, ignore, rules)
    uncared = np.array([word is None for word in words], bool)
    limits = Limits(truth.words.sizes, found.words.sizes, ~ignore, uncared, rules.iou, rules.overlap_limit)
    scorer = _Scorer(truth, found, overlapping(truth.regions, found.regions, limits), rules)
    return EvaluationResult(
        names=truth.words.names,
        protocol=rules,
        plain=scorer.tally(ignore, texts, lambda a, b: same_text(a, b, rules.special_characters)),
        spotting=scorer.tally(uncared, [word or "" for word in words], lambda a, b: a.upper() == b.upper()),
        notes=_notes(truth.regions, found.regions),
    )


def _spotting_words(texts: Sequence[str], ignore: NDArray[np.bool_], rules: Protocol) -> list[str | None]:
    special, length = rules.special_characters, rules.min_word_length
    return [
        None if skip else spotting_form(text, special, length)
        for text, skip in zip(texts, ignore.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Scorer:
    """What both sets of rules share: the words, the detections and how they overlap."""

    truth: _Side
    found: _Side
    pairs: Pairs
    rules: Protocol

    def tally(
        self, dont_care: NDArray[np.bool_], words: Sequence[str], same: Callable[[str, str], bool]
    ) -> Tally:
        """Match, compare the texts of matched pairs (the truth's being `words`), and count per image."""
        read = self.found.words.texts
        matching = match(self.pairs, dont_care, len(read), self.rules.iou, self.rules.overlap_limit)
        indices = zip(matching.truth.tolist(), matching.found.tolist(), strict=True)
        texts = [(words[t], read[f]) for t, f in indices]
        exact = np.array([a == b for a, b in texts], bool)
        # Equal texts, most of them, need no closer look.
        others = np.flatnonzero(~exact)
        correct, alike = exact.copy(), exact.astype(np.float64)
        correct[others] = [same(*texts[i]) for i in others.tolist()]
        alike[others] = [similarity(*texts[i]) for i in others.tolist()]
        count = self.truth.count
        return Tally(
            truth=count(np.flatnonzero(matching.truth_counts)),
            found=self.found.count(np.flatnonzero(matching.found_counts)),
            matched=count(matching.truth),
            correct=count(matching.truth[correct]),
            exact=count(matching.truth[exact]),
            similarity=count(matching.truth, alike),
            average_precision=_average_precision(matching, correct, self.found.words.scores),
        )


def similarity(truth: str, read: str) -> float:
    """1 - edit distance / length of the longer, case-insensitive; 1 for two empty strings."""
    a, b = truth.upper(), read.upper()
    if a == b:
        return 1.0
    return 1.0 - float(editdistance.eval(a, b)) / max(len(a), len(b), 1)


def _average_precision(matching: Matching, correct: NDArray[np.bool_], scores: Floats | None) -> float | None:
    """Mean over the words that count of the precision at each correct detection, by falling score."""
    if scores is None or not len(scores) or np.isnan(scores).any():
        return None
    hit = np.zeros(len(scores), bool)
    hit[matching.found[correct]] = True
    order = np.argsort(-scores[matching.found_counts], kind="stable")
    hits = hit[matching.found_counts][order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum() / max(int(matching.truth_counts.sum()), 1))


def _notes(truth: Regions, found: Regions) -> tuple[str, ...]:
    notes = []
    for what, regions in (("ground-truth", truth), ("predicted", found)):
        count = len(regions.crossing())
        if count:
            notes.append(
                f"{count} {what} polygons cross themselves or have no area; they were scored by the rule of "
                "the challenge (shoelace area, even-odd inside) and may not match even themselves"
            )
    return tuple(notes)
