"""The curve of fixed scales ("vanilla multi-scale"): accuracy, cost and latency of a spotter at each.

Whatever chooses a resolution must lie above this curve; a single full-resolution figure is no baseline.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dld_core.config import replacing, write_file
from dld_core.errors import ImageError, MissingExtraError
from dld_core.evaluation.bootstrap import hmean_interval
from dld_core.evaluation.cost import flops_of
from dld_core.evaluation.fixed import FixedScale
from dld_core.evaluation.plot import plot
from dld_core.evaluation.scores import EvaluationResult, Tally
from dld_core.evaluation.words import ImageWords
from dld_core.images import open_image
from dld_core.types import Word

Score = Callable[[Mapping[str, ImageWords]], EvaluationResult]
Track = Callable[[Iterable[tuple[str, Path]]], Iterable[tuple[str, Path]]]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One scale: its scores, what reading cost, and how long it took."""

    scale: float
    result: EvaluationResult
    gflops: float | None
    milliseconds: Sequence[float]

    def row(self) -> dict[str, Any]:
        """The point as a row of the csv."""
        result, taken = self.result, np.array(self.milliseconds)
        row: dict[str, Any] = {"scale": self.scale, "images": len(result.names)}
        row |= _task("detection", result.counted, False) | _task("e2e", result.plain, True)
        row |= _task("word_spotting", result.spotting, True)
        return row | {
            "recognition_accuracy": result.counted.accuracy,
            "recognition_accuracy_exact": result.counted.exact_accuracy,
            "one_minus_ned": result.counted.one_minus_ned,
            "gflops": self.gflops,
            "gmacs": None if self.gflops is None else self.gflops / 2,
            "latency_ms_median": float(np.median(taken)),
            "latency_ms_p95": float(np.quantile(taken, 0.95)),
            "images_per_second": 1e3 / float(taken.mean()),
        }


def _task(name: str, tally: Tally, reading: bool) -> dict[str, float]:
    rates = tally.reading if reading else tally.detection
    interval = hmean_interval(tally, reading)
    values = {**rates.as_dict(), "hmean_low": interval.low, "hmean_high": interval.high}
    return {f"{name}_{key}": value for key, value in values.items()}


@dataclass(slots=True)
class _Log:
    words: dict[str, ImageWords] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)
    flops: list[float] = field(default_factory=list)


def trace(
    readers: Sequence[FixedScale],
    images: Mapping[str, Path],
    score: Score,
    errors: dict[str, str],
    track: Track | None = None,
) -> list[CurvePoint]:
    """Read every image at every scale, all scales of an image in turn, and score each scale.

    The cost is counted on the real run (once more, untimed) where the spotter declares none.

    Args:
        readers: one for each scale.
        images: files by name.
        score: scores what was read, when everything is.
        errors: takes the names of images that cannot be read, and why; they are left out.
        track: wraps the iteration, for a progress bar.

    Raises:
        ImageError: no image can be read.
        UncountedOperatorError: an operator ran whose cost is unknown.
    """
    logs = [_Log() for _ in readers]
    items = images.items()
    for index, (name, path) in enumerate(track(items) if track else items):
        try:
            pixels = open_image(path, exif=False)
        except ImageError as error:
            errors[name] = str(error)
            continue
        if not logs[0].words:
            for reader in readers:  # the first run of each shape is slower; keep it out of the latency
                reader.read(pixels)
        for step in range(len(readers)):
            place = (step + index) % len(readers)
            _measure(readers[place], pixels, name, logs[place])
    if not logs[0].words:
        raise ImageError(f"none of the {len(images)} images can be read: {next(iter(errors.values()), '')}")
    return [
        CurvePoint(reader.scale, score(log.words), float(np.mean(log.flops)) / 1e9 or None, log.milliseconds)
        for reader, log in zip(readers, logs, strict=True)
    ]


def _measure(reader: FixedScale, pixels: Any, name: str, log: _Log) -> None:
    start = time.perf_counter()
    words: list[Word] = reader.read(pixels)
    log.milliseconds.append((time.perf_counter() - start) * 1e3)
    log.words[name] = ImageWords.from_words(words)
    declared = reader.declared(pixels.shape[0], pixels.shape[1], len(words))
    log.flops.append(flops_of(lambda: reader.read(pixels)) if declared is None else declared)


def save(
    points: Sequence[CurvePoint], folder: Path, about: Mapping[str, Any], tell: Callable[[str], None]
) -> list[Path]:
    """Write curve.csv, curve.json and curve.png; without matplotlib, `tell` why there is no picture."""
    paths = write(points, folder, about)
    rows = [point.row() for point in points]
    title = f"{about.get('backend', '')}: fixed scales of the native size, {rows[0]['images']} images"
    try:
        return [*paths, plot(rows, folder / "curve.png", title)]
    except MissingExtraError as error:
        tell(str(error))
        return paths


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV, whole or not at all; returns the path. A row may lack columns of others."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write(points: Sequence[CurvePoint], folder: Path, about: Mapping[str, Any]) -> list[Path]:
    """Write curve.csv and curve.json (rows, and what was measured how); the paths."""
    rows = [point.row() for point in points]
    table, record = folder / "curve.csv", folder / "curve.json"
    write_table(table, rows)
    details = {
        **about,
        "unit": "gflops: 1e9 FLOPs, a multiply-add counted as 2; gmacs: 1e9 multiply-adds",
        "latency": "one image at a time, decoded pixels to words; all scales of an image in turn",
        "interval": "95%, percentile bootstrap over images, 1000 resamples, seed 0",
        "protocol": points[0].result.protocol.describe(),
        **{key: value for key, value in points[0].result.extras.items() if key == "lexicon"},
        "points": rows,
    }
    write_file(record, json.dumps(details, indent=2, ensure_ascii=False) + "\n")
    return [table, record]
