"""What reading an image will cost at each scale: sizes, FLOPs, and milliseconds on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_core.errors import ConfigError
from dld_core.images.resizing import WorkingLimits, full_factor, scale_to
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import Spotter
from dld_core.selection.policy import Policy

Size = tuple[int, int]

NOMINAL_WORDS = 10
"""Words that an image is assumed to hold while its cost is still a forecast."""
MOST_ENLARGED = 1.5
"""Enlargement over the native size beyond which a candidate scale is left out: it was found to bring
nothing.
"""
_SMALL = 0.5  # of the reference short side: images below may be enlarged further
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Forecast:
    """Costs of one image by candidate scale.

    Attributes:
        scales: candidates that make sense for the size (see MOST_ENLARGED).
        sizes: working (height, width) by scale.
        shares: costs by scale, as shares of the cost of the dearest candidate.
        gflops: by scale; None where the spotter's are not known.
    """

    scales: Sequence[float]
    sizes: Sequence[Size]
    shares: Sequence[float]
    gflops: Sequence[float] | None


class CostModel:
    """Costs of a spotter. Keeps no state but constants that are measured once.

    Args:
        spotter: whose costs count.
        limits: of working sizes.
        turn: held while the spotter reads, where callers must take turns.
    """

    def __init__(
        self,
        spotter: Spotter,
        limits: WorkingLimits | None = None,
        turn: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.spotter = spotter
        self.limits = limits or WorkingLimits()
        self.turn = turn or nullcontext()
        self._latency: tuple[float, float] | None = None
        self._lock = threading.Lock()

    def size(self, native: Size, scale: float) -> Size:
        """Working (height, width) of an image of this native (height, width)."""
        fit = scale_to(*native, self.spotter.reference_short_side, self.limits, scale)
        return fit.height, fit.width

    def gflops(self, size: Size, words: int = NOMINAL_WORDS) -> float | None:
        """GFLOPs of reading at a working size; None where the spotter does not declare them."""
        flops = self.spotter.flops(size[0], size[1], words)
        return None if flops is None else flops / 1e9

    def forecast(self, native: Size, scales: Sequence[float]) -> Forecast:
        """Costs with NOMINAL_WORDS words: FLOPs where they are known, else pixels."""
        kept = [s for s in scales if s in (min(scales), 1) or self._sensible(native, s)]
        sizes = [self.size(native, scale) for scale in kept]
        gflops = [g for g in map(self.gflops, sizes) if g is not None]
        known = len(gflops) == len(sizes)
        costs = gflops if known else [float(h * w) for h, w in sizes]
        return Forecast(kept, sizes, [cost / max(costs) for cost in costs], gflops if known else None)

    def _sensible(self, native: Size, scale: float) -> bool:
        """Whether a scale does not enlarge an image beyond what brings anything."""
        reference = self.spotter.reference_short_side
        factor = scale * full_factor(*native, reference, self.limits)
        return scale <= 1 or factor <= MOST_ENLARGED or min(native) < _SMALL * reference

    def within(
        self,
        sizes: Sequence[Size],
        policy: Policy,
        words: int = NOMINAL_WORDS,
        spent: tuple[float, float] = (0.0, 0.0),
    ) -> list[int]:
        """Indices of the sizes that keep the policy's limits, on top of `spent` (GFLOPs, milliseconds).

        Raises:
            ConfigError: a budget is given and the spotter's FLOPs are not known.
        """
        gflops = milliseconds = None
        if policy.budget is not None:
            known = [g for g in (self.gflops(size, words) for size in sizes) if g is not None]
            if len(known) < len(sizes):
                raise ConfigError(
                    f"the FLOPs of {type(self.spotter).__name__} are not known, so it cannot keep a budget; "
                    "give max_latency_ms or gamma"
                )
            gflops = [spent[0] + g for g in known]
        if policy.max_latency_ms is not None:
            milliseconds = [spent[1] + self.milliseconds(size) for size in sizes]
        return policy.within(len(sizes), gflops, milliseconds)

    def milliseconds(self, size: Size) -> float:
        """Expected time of reading at a working size: linear in pixels, measured once for a spotter."""
        with self._lock:
            if self._latency is None:
                self._latency = self._measure()
        fixed, per_pixel = self._latency
        return fixed + per_pixel * size[0] * size[1]

    def _measure(self) -> tuple[float, float]:
        points = []
        for side in (256, 640):
            points.append((side * side, quickest(partial(self._read, as_tensor(_page(side))))))
        (small, first), (large, last) = points
        slope = max(0.0, (last - first) / (large - small))
        return max(0.0, first - slope * small), slope

    def _read(self, picture: Tensor) -> None:
        with self.turn, torch.no_grad():
            self.spotter.predict([picture])


def quickest(work: Callable[[], object]) -> float:
    """Milliseconds of the best of a few runs."""
    taken = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return min(taken)


def _page(side: int) -> NDArray[np.uint8]:
    """A square page with NOMINAL_WORDS words, which take time to read."""
    page = np.full((side, side, 3), 235, np.uint8)
    step = side // NOMINAL_WORDS
    for number in range(NOMINAL_WORDS):
        corner = (step + side // 3 * (number % 2), step * number + 3 * step // 4)
        cv2.putText(page, f"WORD{number}", corner, cv2.FONT_HERSHEY_SIMPLEX, step / 40, (20, 20, 20), 2)
    return page
