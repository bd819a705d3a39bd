"""The evaluator: scores of predictions against ground truth by the rules of the Robust Reading Competition.

Rules and thresholds are those of the ICDAR 2015 end-to-end script (challenge 4, task 4), spelled out in
docs/evaluation.md. Scores are equal to the script's; the work is done on all images at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import editdistance
import numpy as np
from numpy.typing import NDArray

from dld_core.errors import DataError
from dld_core.evaluation.lexicon import LexiconRule, Lexicons, snap
from dld_core.evaluation.overlap import Floats, Indices, Matching, Outlines, Pairs, match, overlapping
from dld_core.evaluation.protocol import Protocol
from dld_core.evaluation.scores import EvaluationResult, Tally
from dld_core.evaluation.transcription import same_text, spotting_form
from dld_core.evaluation.words import ImageWords

_NO_WORDS = ImageWords([], [], np.zeros(0, bool))
_LONGEST = 640  # letters of a text that are compared for its similarity: no word has as many


def score(
    ground_truth: Mapping[str, ImageWords],
    predictions: Mapping[str, ImageWords],
    protocol: Protocol | None = None,
    lexicons: Lexicons | None = None,
    rule: LexiconRule | None = None,
    extras: Mapping[str, Any] | None = None,
) -> EvaluationResult:
    """`evaluate` after snapping to a lexicon; `extras` and the lexicon's rule go into the json."""
    record = dict(extras or {})
    if lexicons is not None:
        predictions = snap(predictions, lexicons, rule or LexiconRule())
        record["lexicon"] = lexicons.describe(rule or LexiconRule())
    result = evaluate(ground_truth, predictions, protocol)
    return replace(result, extras={**result.extras, **record})


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
    names = tuple(ground_truth)
    truth = _Side.of([ground_truth[name] for name in names], rules.whole_pixels)
    found = _Side.of([predictions.get(name, _NO_WORDS).best_first() for name in names], rules.whole_pixels)
    pairs = overlapping(truth.outlines, found.outlines, min(rules.iou, rules.overlap_limit))
    scorer = _Scorer(truth, found, pairs, rules)
    special, length = rules.special_characters, rules.min_word_length
    words = [
        None if skip else spotting_form(text, special, length)
        for text, skip in zip(truth.texts, truth.ignore.tolist(), strict=True)
    ]
    uncared = np.array([word is None for word in words], bool)
    return EvaluationResult(
        names=names,
        protocol=rules,
        plain=scorer.tally(truth.ignore, truth.texts, lambda a, b: same_text(a, b, special)),
        spotting=scorer.tally(uncared, [word or "" for word in words], lambda a, b: a.upper() == b.upper()),
        notes=_notes(truth.outlines, found.outlines),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """The words of all images, one after another, and what they cover; scores where every word has one."""

    outlines: Outlines
    texts: list[str]
    ignore: NDArray[np.bool_]
    scores: Floats | None

    @classmethod
    def of(cls, images: Sequence[ImageWords], whole_pixels: bool) -> _Side:
        scores = [image.scores for image in images if len(image) and image.scores is not None]
        scored = bool(scores) and sum(map(len, scores)) == sum(map(len, images))
        return cls(
            Outlines.of(images, whole_pixels),
            [text for image in images for text in image.texts],
            np.concatenate([np.zeros(0, bool), *(image.ignore for image in images)]),
            np.concatenate(scores) if scored else None,
        )

    def count(self, chosen: Indices, weights: Floats | None = None) -> Floats:
        """How many of the chosen words each image has (or the sum of their weights)."""
        image = np.searchsorted(self.outlines.starts, chosen, side="right") - 1
        return np.bincount(image, weights, minlength=len(self.outlines.starts) - 1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class _Scorer:
    """What both sets of rules share: the words, the detections and how they overlap."""

    truth: _Side
    found: _Side
    pairs: Pairs
    rules: Protocol

    def tally(
        self, ignore: NDArray[np.bool_], words: Sequence[str], same: Callable[[str, str], bool]
    ) -> Tally:
        """Match, compare the texts of matched pairs (the truth's being `words`), and count per image."""
        matching = match(self.pairs, ignore, len(self.found.texts), self.rules.iou, self.rules.overlap_limit)
        indices = zip(matching.truth.tolist(), matching.found.tolist(), strict=True)
        texts = [(words[t], self.found.texts[f]) for t, f in indices]
        correct = np.array([same(a, b) for a, b in texts], bool)
        count = self.truth.count
        return Tally(
            truth=count(np.flatnonzero(~ignore)),
            found=self.found.count(np.flatnonzero(matching.found_counts)),
            matched=count(matching.truth),
            correct=count(matching.truth[correct]),
            exact=count(matching.truth[np.array([a == b for a, b in texts], bool)]),
            similarity=count(matching.truth, np.array([similarity(a, b) for a, b in texts], np.float64)),
            average_precision=_average_precision(matching, correct, int((~ignore).sum()), self.found.scores),
        )


def similarity(truth: str, read: str) -> float:
    """1 - edit distance / length of the longer, case-insensitive; 1 for two empty strings."""
    a, b = truth.upper()[:_LONGEST], read.upper()[:_LONGEST]
    if a == b:
        return 1.0
    return 1.0 - float(editdistance.eval(a, b)) / max(len(a), len(b), 1)


def _average_precision(
    matching: Matching, correct: NDArray[np.bool_], words: int, scores: Floats | None
) -> float | None:
    """Mean over the words that count of the precision at each correct detection, by falling score."""
    if scores is None:
        return None
    hit = np.zeros(len(scores), bool)
    hit[matching.found[correct]] = True
    order = np.argsort(-scores[matching.found_counts], kind="stable")
    hits = hit[matching.found_counts][order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum() / max(words, 1))


def _notes(truth: Outlines, found: Outlines) -> tuple[str, ...]:
    counts = {"ground-truth": int(truth.crossing.sum()), "predicted": int(found.crossing.sum())}
    return tuple(
        f"{count} {what} polygons cross themselves or have no area; they were scored by the rule of "
        "the challenge (shoelace area, even-odd inside) and may not match even themselves"
        for what, count in counts.items()
        if count
    )
