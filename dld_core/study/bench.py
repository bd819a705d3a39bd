"""FLOPs, latency and memory of a spotter at several scales, side by side in one run.

Every image is read at every scale in turn before the next repeat begins, the order of the scales rotating, so
that a machine that slows down for a while slows all scales alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.cost import count
from dld_core.evaluation.cost.memory import device_peak_bytes, peak_bytes, reset_peak
from dld_core.evaluation.fixed import Base, FixedScale
from dld_core.pipeline.wrapper import DLDWrapper
from dld_core.selection import CostModel, DynamicResolution
from dld_core.selection.selected import SelectedScale

Pixels = NDArray[np.uint8]
Reader = FixedScale | SelectedScale


def readers_of(wrapper: DLDWrapper, scales: Sequence[float], base: Base) -> list[Reader]:
    """A wrapper's student at fixed scales and, where it has a selector, at the scale that it decides."""
    readers: list[Reader] = [FixedScale(wrapper.spotter, scale, base) for scale in scales]
    if wrapper.selector is not None:
        costs = CostModel(wrapper.spotter, wrapper.working)
        readers.append(SelectedScale(DynamicResolution(wrapper.selector, costs)))
    return readers


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
        gelements: elements / 1e9 that passed operators without FLOPs (activations, pooling, copies, ...).
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
    """What was seen of one reader: means are taken of `counted`, which holds fields of ScaleCost by image."""

    counted: list[dict[str, float | None]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: int = 0
    device_memory: int | None = None

    def summary(self, scale: float | str) -> ScaleCost:
        milliseconds = np.array(self.seconds) * 1e3
        means: dict[str, Any] = {name: _mean([one[name] for one in self.counted]) for name in self.counted[0]}
        return ScaleCost(
            scale=scale,
            **means,
            latency_ms_median=float(np.median(milliseconds)),
            latency_ms_p95=float(np.quantile(milliseconds, 0.95)),
            images_per_second=1e3 / float(milliseconds.mean()),
            peak_memory_mb=self.memory / 1e6,
            device_memory_mb=None if self.device_memory is None else self.device_memory / 1e6,
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


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
            for step in range(len(readers)):
                place = (step + number + index) % len(readers)
                if number == 0:
                    logs[place].counted.append(_count(readers[place], pixels))
                else:
                    _time(readers[place], pixels, logs[place], device)
        if number == 0:
            pixels = images[0]()
            for reader in [*readers] * warmup:
                reader.read(pixels)
    return [log.summary(reader.scale) for log, reader in zip(logs, readers, strict=True)]


def _count(reader: Reader, pixels: Pixels) -> dict[str, float | None]:
    view, resizing = count(lambda: reader.prepare(pixels))
    words, reading = count(lambda: reader.spot(view))
    height, width = view.size
    declared = reader.spotter.flops(height, width, len(words))
    spotter = reading.check().flops or declared
    total = None if spotter is None else (resizing.check().flops + spotter) / 1e9
    return {
        "height": height,
        "width": width,
        "words": len(words),
        "gflops": total,
        "gmacs": None if total is None else total / 2,
        "gflops_spotter": None if spotter is None else spotter / 1e9,
        "gflops_declared": None if declared is None else declared / 1e9,
        "gelements": (resizing.elements + reading.elements) / 1e9,
    }


def _time(reader: Reader, pixels: Pixels, log: _Log, device: str) -> None:
    reset_peak(device)
    start = time.perf_counter()
    reader.read(pixels)
    log.seconds.append(time.perf_counter() - start)
    log.memory = max(log.memory, peak_bytes())
    used = device_peak_bytes(device)
    log.device_memory = used if used is None else max(log.device_memory or 0, used)
