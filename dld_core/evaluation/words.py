"""The words of one image, annotated or predicted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dld_core.errors import DataError
from dld_core.types import Sample, Word


@dataclass(frozen=True, slots=True)
class ImageWords:
    """N words of one image.

    Attributes:
        polygons: float64 [n, 2] each, n >= 3, the (x, y) points in pixels.
        texts: N transcriptions.
        ignore: bool [N], True for ignore regions (annotations only).
        scores: float64 [N] confidences, or None where the words have none (their order counts then).
    """

    polygons: Sequence[NDArray[np.float64]]
    texts: Sequence[str]
    ignore: NDArray[np.bool_]
    scores: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(
        cls,
        polygons: Iterable[ArrayLike],
        texts: Sequence[str],
        ignore: Sequence[bool] | NDArray[np.bool_] | None = None,
        scores: Sequence[float] | NDArray[Any] | None = None,
    ) -> ImageWords:
        """Check and pack polygons ([n, 2] or flat x1, y1, x2, y2 ...), texts, ignore flags and scores.

        Raises:
            DataError: a polygon has under three points or a value that is not finite, or the counts differ.
        """
        arrays = [np.asarray(polygon, dtype=np.float64).reshape(-1, 2) for polygon in polygons]
        flags = np.zeros(len(arrays), bool) if ignore is None else np.asarray(ignore, bool)
        confidences = None if scores is None else np.asarray(scores, np.float64)
        counts = {len(arrays), len(texts), len(flags), len(arrays if confidences is None else confidences)}
        if len(counts) != 1:
            raise DataError(
                f"{len(arrays)} polygons came with {len(texts)} texts, {len(flags)} ignore flags and "
                f"{'no' if confidences is None else len(confidences)} scores; give one of each per word"
            )
        for index, (array, text) in enumerate(zip(arrays, texts, strict=True)):
            if len(array) < 3 or not np.isfinite(array).all():
                raise DataError(
                    f"polygon {index} ({text!r}) has {len(array)} points; "
                    "a polygon needs at least 3 points, all of them finite"
                )
        return cls(arrays, list(texts), flags, confidences)

    @classmethod
    def from_words(cls, words: Sequence[Word]) -> ImageWords:
        """Pack what a spotter found, confidences included."""
        return cls.of([w.polygon for w in words], [w.text for w in words], scores=[w.score for w in words])

    @classmethod
    def from_sample(cls, sample: Sample) -> ImageWords:
        """Pack the annotations of a sample."""
        return cls.of(sample.polygons, sample.texts, sample.ignore)

    def take(self, chosen: Sequence[int] | NDArray[np.int64]) -> ImageWords:
        """Some of the words, in the order of the indices given."""
        order = np.asarray(chosen, np.int64)
        return ImageWords(
            [self.polygons[i] for i in order],
            [self.texts[i] for i in order],
            self.ignore[order],
            None if self.scores is None else self.scores[order],
        )

    def best_first(self) -> ImageWords:
        """The same words by falling score (ties keep their order); itself where there are no scores."""
        if self.scores is None or len(self) < 2:
            return self
        return self.take(np.argsort(-self.scores, kind="stable"))
