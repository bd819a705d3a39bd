"""What an evaluation found: counts per image, and the rates that follow from their sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.protocol import Protocol

Counts = NDArray[np.float64]


def hmean(precision: float, recall: float) -> float:
    """Harmonic mean, 0 where both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _rate(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Precision, recall and their harmonic mean, as fractions."""

    precision: float
    recall: float
    hmean: float

    @classmethod
    def of(cls, right: float, found: float, truth: float) -> Rates:
        """From how many were right, found and there; 0 where nothing was found or nothing was there."""
        precision, recall = _rate(right, found), _rate(right, truth)
        return cls(precision, recall, hmean(precision, recall))

    def as_dict(self) -> dict[str, float]:
        return {"precision": self.precision, "recall": self.recall, "hmean": self.hmean}


@dataclass(frozen=True, slots=True)
class Tally:
    """Per-image counts under one set of don't-care words, each an array [images].

    Attributes:
        truth: words that count. found: detections that count.
        matched: pairs matched by place. correct: those whose text is right too.
        exact: those whose text is equal to the letter.
        similarity: sum over matched pairs of 1 - normalised edit distance.
        average_precision: of the correct ones over the whole set by falling score; None without scores.
    """

    truth: Counts
    found: Counts
    matched: Counts
    correct: Counts
    exact: Counts
    similarity: Counts
    average_precision: float | None = None

    @property
    def detection(self) -> Rates:
        """Rates of finding the place."""
        return Rates.of(self.matched.sum(), self.found.sum(), self.truth.sum())

    @property
    def reading(self) -> Rates:
        """Rates of finding the place and reading the text."""
        return Rates.of(self.correct.sum(), self.found.sum(), self.truth.sum())

    @property
    def accuracy(self) -> float:
        """Share of matched words whose text is right."""
        return _rate(self.correct.sum(), self.matched.sum())

    @property
    def exact_accuracy(self) -> float:
        """Share of matched words read to the letter, case included."""
        return _rate(self.exact.sum(), self.matched.sum())

    @property
    def one_minus_ned(self) -> float:
        """1 - NED end to end: missed words and surplus detections count as nothing in common."""
        everything = self.truth.sum() + self.found.sum() - self.matched.sum()
        return _rate(self.similarity.sum(), everything)

    @property
    def matched_one_minus_ned(self) -> float:
        """1 - NED over matched words alone."""
        return _rate(self.similarity.sum(), self.matched.sum())


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Scores of one system on one data set.

    Attributes:
        names: the images, in the order of the tallies' arrays.
        protocol: every threshold that was in force.
        plain: the tally over readable words (detection, end-to-end).
        spotting: the tally over the words that word spotting cares for.
        notes: what a reader of the scores should know (crossing polygons, a lexicon's rule), as sentences.
        extras: further fields of the json (cost, speed, lexicon).
    """

    names: tuple[str, ...]
    protocol: Protocol
    plain: Tally
    spotting: Tally
    notes: tuple[str, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def counted(self) -> Tally:
        """The tally that detection and recognition are reported from (`protocol.word_spotting` chooses)."""
        return self.spotting if self.protocol.word_spotting else self.plain

    @property
    def detection(self) -> Rates:
        return self.counted.detection

    @property
    def e2e(self) -> Rates:
        return self.plain.reading

    @property
    def word_spotting(self) -> Rates:
        return self.spotting.reading

    def as_dict(self) -> dict[str, Any]:
        """The json of `dld evaluate`: fractions, not per cent."""
        tally = self.counted
        result: dict[str, Any] = {
            "detection": self.detection.as_dict(),
            "e2e": self.e2e.as_dict(),
            "word_spotting": self.word_spotting.as_dict(),
            "recognition_accuracy": tally.accuracy,
            "recognition_accuracy_exact": tally.exact_accuracy,
            "one_minus_ned": tally.one_minus_ned,
            "one_minus_ned_matched": tally.matched_one_minus_ned,
            "images": len(self.names),
            "words": int(tally.truth.sum()),
            "detections": int(tally.found.sum()),
            "matched": int(tally.matched.sum()),
        }
        for name, part in (("e2e", self.plain), ("word_spotting", self.spotting)):
            if part.average_precision is not None:
                result[name]["average_precision"] = part.average_precision
        return {**result, **self.extras, "protocol": self.protocol.describe(), "notes": list(self.notes)}
