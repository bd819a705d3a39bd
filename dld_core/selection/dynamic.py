"""Choosing the scale of one image: thumbnail, scores, costs, policy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dld_core.errors import ConfigError
from dld_core.images.resizing import WorkingLimits, scale_to
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import ResolutionSelector, Spotter
from dld_core.selection.policy import Policy
from dld_core.selection.thumbnail import thumbnail, thumbnail_size

if TYPE_CHECKING:
    from torch import Tensor

NOMINAL_WORDS = 10
"""Words that an image is taken to hold while its cost is still a forecast."""
MOST_ENLARGED = 1.3
"""Of an image, where nothing is known of how small its text is: more of it was found to bring nothing."""
_SMALL = 0.5  # of the reference short side: images below may be enlarged further
_REPEATS = 3
_WORTH_TELLING = 1.0  # words lost
_UNABLE = "no scale is expected to keep within the limit; read at {:g}, the cheapest"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What reading an image will cost, as far as its size tells.

    Attributes:
        scales: those that make sense for the size: no image is enlarged far beyond the pixels it has, but for
            those below half the reference size.
        sizes: (height, width) that the spotter would see, by scale.
        shares: costs, as shares of the dearest among all scales of the selector.
        gflops: by scale; None where the spotter's are not known.
        own: GFLOPs of choosing.
    """

    scales: Sequence[float]
    sizes: Sequence[tuple[int, int]]
    shares: Sequence[float]
    gflops: Sequence[float] | None
    own: float


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """A scale, and why.

    Attributes:
        scale: fraction of the reference short side.
        scores: words lost by scale that makes sense for the image, as the selector expects; lower is better.
        costs: by scale in the same order, as shares of the dearest of all.
        gflops: of choosing.
        milliseconds: of choosing.
        words: that the selector expects to find; None for one that does not say.
        note: what should be known of the choice, or None: no scale keeps the limits, or words are lost.
    """

    scale: float
    scores: Mapping[float, float]
    costs: Sequence[float]
    gflops: float
    milliseconds: float
    words: float | None = None
    note: str | None = None


class DynamicResolution:
    """A selector at work for one spotter. Keeps no state between images but measured constants.

    Args:
        selector: in eval mode.
        spotter: whose costs count.
        limits: of working sizes.
        turn: held while the spotter reads, where callers must take turns.
    """

    def __init__(
        self,
        selector: ResolutionSelector,
        spotter: Spotter,
        limits: WorkingLimits | None = None,
        turn: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.selector = selector.eval()
        self.spotter = spotter
        self.limits = limits or WorkingLimits()
        self.turn = turn or nullcontext()
        self.long_side, self.gamma = selector.config.long_side, selector.config.gamma
        self._flops: dict[tuple[int, ...], float] = {}
        self._latency: tuple[float, float, float] | None = None
        self._lock = threading.Lock()

    def __call__(self, image: NDArray[np.uint8], policy: Policy) -> ScaleDecision:
        """Choose for RGB uint8 [H, W, 3] at its native size."""
        height, width = image.shape[:2]
        self._own_gflops(height, width)  # counting them, once for each size, is no part of choosing
        start = time.perf_counter()
        expected, words = self._look(image)
        known = dict(zip(self.selector.scales, expected, strict=True))
        costs = self.forecast(height, width)
        scores = {scale: known[scale] for scale in costs.scales}
        limits = self._limited(costs, policy, NOMINAL_WORDS if words is None else round(words))
        index = policy.priced(self.gamma).choose(list(scores.values()), costs.shares, *limits)
        able = policy.within(len(scores), *limits)
        note = _loss_told(scores, costs.scales[index]) if able else _UNABLE.format(costs.scales[index])
        taken = (time.perf_counter() - start) * 1e3
        return ScaleDecision(costs.scales[index], scores, costs.shares, costs.own, taken, words, note)

    def _limited(
        self, costs: Forecast, policy: Policy, words: int, spent: tuple[float, float] | None = None
    ) -> tuple[list[float] | None, list[float] | None]:
        """GFLOPs and milliseconds of each scale, as far as the policy limits them, on top of what was spent:
        on choosing, where nothing else is named.
        """
        gflops = milliseconds = None
        if policy.budget is not None:
            read = [self._gflops_of(size, words) for size in costs.sizes]
            before = costs.own if spent is None else spent[0]
            gflops = [before + g for g in read if g is not None]
            if len(gflops) < len(read):
                raise ConfigError(
                    f"what {type(self.spotter).__name__} costs is not known in FLOPs, so it cannot be held "
                    "to a budget; give max_latency_ms or gamma"
                )
        if policy.max_latency_ms is not None:
            choosing, reading = self._milliseconds(costs.sizes)
            before = choosing if spent is None else spent[1]
            milliseconds = [before + ms for ms in reading]
        return gflops, milliseconds

    def forecast(self, height: int, width: int) -> Forecast:
        """Costs for a native size, with NOMINAL_WORDS words: FLOPs where they are known, else pixels."""
        scales = self.selector.scales
        sizes = [self._size(height, width, scale) for scale in scales]
        gflops = [g for g in map(self._gflops_of, sizes) if g is not None]
        known = len(gflops) == len(sizes)
        costs = gflops if known else [float(h * w) for h, w in sizes]
        kept = [
            i
            for i, scale in enumerate(scales)
            if scale == min(scales) or self._sensible(min(height, width), scale)
        ]
        return Forecast(
            [scales[i] for i in kept],
            [sizes[i] for i in kept],
            [costs[i] / max(costs) for i in kept],
            [gflops[i] for i in kept] if known else None,
            self._own_gflops(height, width),
        )

    def _sensible(self, native: int, scale: float) -> bool:
        """Whether a short side is not enlarged beyond what brings anything."""
        reference = self.spotter.reference_short_side
        return native < _SMALL * reference or scale * reference <= MOST_ENLARGED * native

    def larger(
        self,
        scale: float,
        height: int,
        width: int,
        policy: Policy | None = None,
        words: int = NOMINAL_WORDS,
        spent: tuple[float, float] = (0.0, 0.0),
    ) -> float:
        """The largest candidate for a native size, where an unsure reading escalates to.

        Args:
            policy: only what it leaves room for counts, beside what was `spent` (GFLOPs, milliseconds).
            words: that the image seems to hold.

        Returns:
            The scale itself where no larger one is possible.
        """
        costs, limits = self.forecast(height, width), policy or Policy()
        able = limits.within(len(costs.scales), *self._limited(costs, limits, words, spent))
        return max([costs.scales[index] for index in able] + [scale])

    def _look(self, image: NDArray[np.uint8]) -> tuple[list[float], float | None]:
        """Scores by scale, and the number of words, where the selector says it."""
        import torch

        pixels, native = self._inputs(image)
        with torch.no_grad():
            scores, words = self.selector.expect(pixels, native)
        return scores[0].double().tolist(), None if words is None else float(words[0])

    def _inputs(self, image: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        import torch

        small = as_tensor(thumbnail(image, self.long_side))
        parameter = next(self.selector.parameters(), torch.empty(0))
        pixels = small[None].to(parameter.device).float() / 255
        return pixels, torch.tensor([image.shape[:2]], device=parameter.device)

    def _size(self, height: int, width: int, scale: float) -> tuple[int, int]:
        fit = scale_to(height, width, self.spotter.reference_short_side, self.limits, scale)
        return fit.height, fit.width

    def _gflops_of(self, size: tuple[int, int], words: int = NOMINAL_WORDS) -> float | None:
        flops = self.spotter.flops(size[0], size[1], words)
        return None if flops is None else flops / 1e9

    def _own_gflops(self, height: int, width: int) -> float:
        """GFLOPs of the selector, counted once per thumbnail size on a real run."""
        import torch

        from dld_core.evaluation.cost.counter import count

        shape = thumbnail_size(height, width, self.long_side)
        if shape not in self._flops:
            device = next(self.selector.parameters(), torch.empty(0)).device
            inputs = torch.zeros(1, 3, *shape, device=device), torch.tensor([[height, width]], device=device)
            with torch.no_grad():
                self._flops[shape] = count(lambda: self.selector(*inputs))[1].check().flops / 1e9
        return self._flops[shape]

    def _milliseconds(self, sizes: Sequence[tuple[int, int]]) -> tuple[float, list[float]]:
        """Expected time of choosing, and of reading at each size: linear in pixels, measured once here."""
        with self._lock:
            if self._latency is None:
                self._latency = self._measure_latency()
        choosing, fixed, per_pixel = self._latency
        return choosing, [fixed + per_pixel * height * width for height, width in sizes]

    def _measure_latency(self) -> tuple[float, float, float]:
        points = []
        for side in (256, 640):
            picture = as_tensor(_page(side))
            points.append((side * side, _quickest(partial(self._read, picture))))
        (small, first), (large, last) = points
        slope = max(0.0, (last - first) / (large - small))
        page = _page(640)
        return _quickest(lambda: self._look(page)), max(0.0, first - slope * small), slope

    def _read(self, picture: Tensor) -> None:
        import torch

        with self.turn, torch.no_grad():
            self.spotter.predict([picture])


def _quickest(work: Callable[[], object]) -> float:
    """Milliseconds of the best of a few runs."""
    taken = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return min(taken)


def _loss_told(scores: Mapping[float, float], scale: float) -> str | None:
    """What the price or the limits cost in words, where it is a word and more."""
    best = min(scores, key=lambda other: (scores[other], other))
    lost = scores[scale] - scores[best]
    if lost < _WORTH_TELLING:
        return None
    return f"read small: scale {best:g} would read about {lost:.0f} more word{'' if lost < 1.5 else 's'}"


def _page(side: int) -> NDArray[np.uint8]:
    """A square page with NOMINAL_WORDS words, which take time to read."""
    import cv2

    page = np.full((side, side, 3), 235, np.uint8)
    step = side // NOMINAL_WORDS
    for number in range(NOMINAL_WORDS):
        corner = (step + side // 3 * (number % 2), step * number + 3 * step // 4)
        cv2.putText(page, f"WORD{number}", corner, cv2.FONT_HERSHEY_SIMPLEX, step / 40, (20, 20, 20), 2)
    return page
