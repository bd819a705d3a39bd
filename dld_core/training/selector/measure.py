"""What a spotter loses at every scale: the table that a selector learns from.

Each image is read at every scale, several times, each time with its borders cut a little: whether a word of
a few pixels is read is half luck, and a target averaged over runs holds less of it. Where there are no
labels, the spotter's own words at the largest scale stand for the truth.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dld_core.config import replacing
from dld_core.errors import DataError
from dld_core.evaluation.choice import border_cuts, without_borders
from dld_core.evaluation.fixed import FixedScale
from dld_core.evaluation.outcomes import outcomes
from dld_core.evaluation.words import ImageWords
from dld_core.interfaces import Spotter
from dld_core.selection.thumbnail import thumbnail

SURE = 0.5
"""Without labels, words of the full reading below this score are ignored."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One image of N words, read J times at each of K scales.

    Attributes:
        size: [2] native height and width.
        thumbnail: RGB uint8 [h, w, 3].
        points, counts: outlines of the words, end to end, native pixels; points of each [N].
        cares: [N] whether a word counts.
        read: [J, K, N] whether it was read right.
        detections: [J, K] how many detections counted.
        gflops: [K] of the spotter, for the words that it found in the first run; NaN where unknown.
        milliseconds: [J, K] resizing and reading.
    """

    size: NDArray[np.int64]
    thumbnail: NDArray[np.uint8]
    points: NDArray[np.float64]
    counts: NDArray[np.int64]
    cares: NDArray[np.bool_]
    read: NDArray[np.bool_]
    detections: NDArray[np.int64]
    gflops: Floats
    milliseconds: Floats

    @property
    def polygons(self) -> list[Floats]:
        """One [n, 2] array per word."""
        return np.split(self.points, np.cumsum(self.counts)[:-1]) if len(self.counts) else []

    @property
    def lost(self) -> Floats:
        """[N, K] share of runs in which each word was not read."""
        return 1.0 - np.asarray(self.read.mean(0).T, np.float64)

    def losses(self, alarm: float, runs: slice = slice(None)) -> Floats:
        """[K] words lost, and `alarm` times the detections, averaged over runs.

        With `alarm` half the h-mean reached, a difference in this loss is the difference that the choice
        makes to the h-mean over a whole data set (its linearisation); a mean of h-means per image is another
        thing.
        """
        cares = int(self.cares.sum())
        correct = self.read[runs][:, :, self.cares].sum(2)
        return np.asarray((cares - correct + alarm * self.detections[runs]).mean(0), np.float64)

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> Measurement:
        """Raises DataError where the file is damaged."""
        try:
            with np.load(path, allow_pickle=False) as content:
                return cls(**{field.name: content[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is no measurement ({error}); delete it and measure again") from None


@dataclass(frozen=True, slots=True)
class Measurer:
    """Reads images at every scale and notes what became of their words.

    Attributes:
        spotter: what reads.
        scales: fractions of its reference short side; the largest stands in where there are no labels.
        runs: J; the first sees the image as it is, the others with their borders cut.
        long_side: of the thumbnails.
    """

    spotter: Spotter
    scales: Sequence[float]
    runs: int = 2
    long_side: int = 384

    def __call__(self, name: str, image: NDArray[np.uint8], truth: ImageWords | None = None) -> Measurement:
        """One image, RGB uint8 [H, W, 3]; `name` seeds the cuts; `truth` in its pixels, or None."""
        readers = [FixedScale(self.spotter, scale, "reference") for scale in self.scales]
        truth = truth if truth is not None else _own_words(readers[-1], image)
        cuts = border_cuts(name, self.runs, image.shape[0], image.shape[1])
        rows = [[_read(reader, image, truth, cut) for reader in readers] for cut in cuts]
        flops = [
            reader.declared(image.shape[0], image.shape[1], row.words)
            for reader, row in zip(readers, rows[0], strict=True)
        ]
        return Measurement(
            size=np.array(image.shape[:2], np.int64),
            thumbnail=thumbnail(image, self.long_side),
            points=np.concatenate([np.zeros((0, 2)), *truth.polygons]),
            counts=np.array([len(polygon) for polygon in truth.polygons], np.int64),
            cares=~truth.ignore,
            read=np.array([[row.read for row in run] for run in rows], bool).reshape(
                len(rows), len(readers), len(truth)
            ),
            detections=np.array([[row.detections for row in run] for run in rows], np.int64),
            gflops=np.array([np.nan if value is None else value / 1e9 for value in flops]),
            milliseconds=np.array([[row.milliseconds for row in run] for run in rows]),
        )


def _own_words(full: FixedScale, image: NDArray[np.uint8]) -> ImageWords:
    """What a spotter reads at its largest scale, in the place of labels."""
    words = full.read(image)
    unsure = [word.score < SURE for word in words]
    return ImageWords.of([w.polygon for w in words], [w.text for w in words], unsure)


class _Reading(NamedTuple):
    read: NDArray[np.bool_]
    detections: int
    words: int
    milliseconds: float


def _read(
    reader: FixedScale, image: NDArray[np.uint8], truth: ImageWords, cut: NDArray[np.int64]
) -> _Reading:
    part, (left, top) = without_borders(image, cut)
    start = time.perf_counter()
    words = reader.read(part)
    taken = (time.perf_counter() - start) * 1e3
    moved = replace(truth, polygons=[polygon - np.array([left, top]) for polygon in truth.polygons])
    result = outcomes(moved, ImageWords.from_words(words))
    return _Reading(result.read, result.detections, len(words), taken)


def stack_losses(measurements: Sequence[Measurement], alarm: float, runs: slice = slice(None)) -> Floats:
    """[B, K] losses of many images."""
    return np.stack([measurement.losses(alarm, runs) for measurement in measurements])


def relative_costs(measurement: Measurement) -> Floats:
    """[K] cost of each scale as a share of the largest: FLOPs where known, else the time taken."""
    known = np.isfinite(measurement.gflops).all()
    cost = measurement.gflops if known else np.median(measurement.milliseconds, 0)
    return np.asarray(cost / cost[-1], np.float64)


def describe(
    measurements: Sequence[Measurement], scales: Sequence[float], alarm: float
) -> list[dict[str, Any]]:
    """Per scale: mean loss in words and mean relative cost, for progress and logs."""
    losses = stack_losses(measurements, alarm).mean(0)
    costs = np.mean([relative_costs(m) for m in measurements], 0)
    rows = zip(scales, losses.tolist(), costs.tolist(), strict=True)
    return [{"scale": scale, "words_lost": lost, "cost": cost} for scale, lost, cost in rows]
