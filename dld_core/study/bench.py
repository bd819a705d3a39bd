"""FLOPs, latency and memory of a spotter at several scales, side by side in one run.

Every image is read at every scale in turn before the next repeat begins, the order of the scales rotating, so
that a machine that slows down for a while slows all scales alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dld_core.evaluation.cost.counter import count
from dld_core.evaluation.cost.memory import device_peak_bytes, peak_bytes, reset_device_peak, reset_peak
from dld_core.evaluation.fixed import FixedScale
from dld_core.images.opencv import import_cv2
from dld_core.selection.selected import SelectedScale

Pixels = NDArray[np.uint8]
Reader = FixedScale | SelectedScale
# A declared cost that is this far from the counted one is shown beside it.
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class ScaleCost:
    """What reading costs at one scale; means over images, except where a name says otherwise.

    Attributes:
        scale: the fraction, or "auto" for the selector's choice.
        width, height: mean working size in pixels.
        words: mean number of words found (and read: they are in the cost).
        gflops: FLOPs / 1e9 counted on real runs, a multiply-add counted as two; everything torch computes
            between the decoded image and the words, resizing included. For a spotter outside torch (an ONNX
            engine), what it declares stands in; None where it declares nothing.
        gmacs: the same in multiply-adds.
        gflops_spotter: the part of it that is the spotter's (all but resizing).
        gflops_declared: what the spotter says of itself, or None.
        gelements: elements / 1e9 that passed operators declared free of FLOPs (activations, pooling, ...).
        latency_ms_median, latency_ms_p95: over all images and repeats, one image at a time, from decoded
            pixels to words in the image's own coordinates.
        images_per_second: 1 / mean latency.
        peak_memory_mb: the largest resident memory of the whole process while reading, MB (1e6 bytes).
        device_memory_mb: the most that torch allocated on the GPU, or None.
    """

    scale: float | str
    width: float
    height: float
    words: float
    gflops: float | None
    gmacs: float | None
    gflops_spotter: float | None
    gflops_declared: float | None
    gelements: float
    latency_ms_median: float
    latency_ms_p95: float
    images_per_second: float
    peak_memory_mb: float
    device_memory_mb: float | None

    @property
    def declared_differs(self) -> bool:
        """Whether the spotter's declared cost is over 1% from what was counted for it."""
        if self.gflops_spotter is None or self.gflops_declared is None:
            return False
        return abs(self.gflops_declared - self.gflops_spotter) > TOLERANCE * self.gflops_spotter

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Log:
    sizes: list[tuple[int, int]] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    flops: list[float | None] = field(default_factory=list)
    spotter: list[float | None] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    declared: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: int = 0
    device_memory: int | None = None

    def summary(self, scale: float | str) -> ScaleCost:
        height, width = np.mean(self.sizes, axis=0)
        gflops = _mean_giga(self.flops)
        milliseconds = np.array(self.seconds) * 1e3
        return ScaleCost(
            scale=scale,
            width=float(width),
            height=float(height),
            words=float(np.mean(self.words)),
            gflops=gflops,
            gmacs=None if gflops is None else gflops / 2,
            gflops_spotter=_mean_giga(self.spotter),
            gflops_declared=_mean_giga(self.declared),
            gelements=float(np.mean(self.elements)) / 1e9,
            latency_ms_median=float(np.median(milliseconds)),
            latency_ms_p95=float(np.quantile(milliseconds, 0.95)),
            images_per_second=1e3 / float(milliseconds.mean()),
            peak_memory_mb=self.memory / 1e6,
            device_memory_mb=None if self.device_memory is None else self.device_memory / 1e6,
        )


def _mean_giga(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) / 1e9 if known else None


def bench(
    readers: Sequence[Reader],
    images: Sequence[Callable[[], Pixels]],
    repeats: int = 3,
    warmup: int = 1,
    device: str = "cpu",
    track: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> list[ScaleCost]:
    """Measure every reader on every image.

    Args:
        readers: one per scale; they may choose it themselves.
        images: each loads the decoded pixels of one image (not timed).
        repeats: timed rounds. Before them comes one counted round, and `warmup` untimed reads per scale.
        device: where the spotter computes, for its memory.
        track: wraps the rounds, for a progress bar.

    Raises:
        UncountedOperatorError: an operator ran whose cost is unknown.
    """
    logs = [_Log() for _ in readers]
    # What is worked out once, such as a selector's own cost, counts for no image.
    for reader in readers:
        reader.prepare(images[0]())
    rounds: Iterable[int] = range(repeats + 1)
    for number in track(rounds) if track else rounds:
        for index, load in enumerate(images):
            pixels = load()
            for place in _rotated(len(readers), number + index):
                if number == 0:
                    _count(readers[place], pixels, logs[place])
                else:
                    _time(readers[place], pixels, logs[place], device)
        if number == 0:
            _warm_up(readers, images[0](), warmup)
    return [log.summary(reader.scale) for log, reader in zip(logs, readers, strict=True)]


def _rotated(length: int, by: int) -> list[int]:
    return [(place + by) % length for place in range(length)]


def _warm_up(readers: Sequence[Reader], pixels: Pixels, times: int) -> None:
    for _ in range(times):
        for reader in readers:
            reader.read(pixels)


def _count(reader: Reader, pixels: Pixels, log: _Log) -> None:
    view, resizing = count(lambda: reader.prepare(pixels))
    words, reading = count(lambda: reader.spot(view))
    log.sizes.append(view.size)
    log.words.append(len(words))
    declared = reader.spotter.flops(*view.size, len(words))
    spent = reading.check().flops or declared
    log.flops.append(None if spent is None else resizing.check().flops + spent)
    log.spotter.append(spent)
    log.elements.append(resizing.elements + reading.elements)
    log.declared.append(declared)


def _time(reader: Reader, pixels: Pixels, log: _Log, device: str) -> None:
    reset_peak()
    reset_device_peak(device)
    start = time.perf_counter()
    reader.read(pixels)
    log.seconds.append(time.perf_counter() - start)
    log.memory = max(log.memory, peak_bytes())
    used = device_peak_bytes(device)
    log.device_memory = used if used is None else max(log.device_memory or 0, used)


@contextmanager
def threads(number: int | None) -> Iterator[int]:
    """Let torch and OpenCV use so many threads; gives the number in force."""
    cv2 = import_cv2()
    before, cv2_before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        if number is not None:
            torch.set_num_threads(number)
            cv2.setNumThreads(number)
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(cv2_before)
