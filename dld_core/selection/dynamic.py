"""DRS at work: the scale of one image, from its thumbnail, the costs of the scales, and a policy."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_core.evaluation.cost import flops_of
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import ResolutionSelector
from dld_core.selection.forecast import NOMINAL_WORDS, CostModel
from dld_core.selection.letters import small_letters
from dld_core.selection.policy import Policy
from dld_core.selection.thumbnail import thumbnail, thumbnail_size, tile_grid, tiles

_LOG = logging.getLogger("dld")
_SHRINK = 3.5  # tiles of a large image shrink no further than this, so that small letters stay visible
DENSE_WORDS = 30
"""An image on which so many words are expected is a page of text. Its letters are near the limit of what a
thumbnail shows, and most of its cost is reading lines, which no scale saves: it is read at full size."""
_LETTERS = 5  # of a word
_WORTH_REPORTING = 1.0  # words lost
_UNABLE = "no scale is expected to keep within the limit; read at {:g}, the cheapest"


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """A scale, and why.

    Attributes:
        scale: fraction of the full size.
        scores: expected words lost by candidate scale; lower is better.
        costs: by candidate in the same order, as shares of the dearest.
        gflops, milliseconds: of the selection itself.
        words: expected on the image; None for a selector that does not say.
        note: a warning, or None: no scale keeps the limits, words are lost, or the selector failed.
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
        selector: its candidate scales, and the loss it expects at each.
        costs: of the spotter that will read.
    """

    def __init__(self, selector: ResolutionSelector, costs: CostModel) -> None:
        self.selector = selector.eval()
        self.costs = costs
        self.long_side, self.gamma = selector.config.long_side, selector.config.gamma
        self._flops: dict[tuple[int, ...], float] = {}

    def __call__(self, image: NDArray[np.uint8], policy: Policy) -> ScaleDecision:
        """Decide for RGB uint8 [H, W, 3] at its native size.

        A selector that raises, exits or returns NaN costs no image: the decision is then the full scale, with
        a note.
        """
        native = image.shape[0], image.shape[1]
        try:
            own = self.own_gflops(*native)  # counted once for each thumbnail size, outside of the time
            start = time.perf_counter()
            expected, words = self._expect(image)
            _check(expected, len(self.selector.scales))
            to_full = "gamma" not in policy.model_fields_set and _is_page(image, words)
        except (Exception, SystemExit) as error:
            return self._without_selector(error)
        forecast = self.costs.forecast(native, self.selector.scales)
        known = dict(zip(self.selector.scales, expected, strict=True))
        scores = {scale: known[scale] for scale in forecast.scales}
        taken = (time.perf_counter() - start) * 1e3
        count_ = NOMINAL_WORDS if words is None else round(words)
        able = self.costs.within(forecast.sizes, policy, count_, (own, taken))
        priced = policy.priced(self.gamma)
        index = priced.choose(list(scores.values()), forecast.shares, able)
        if to_full:
            index = _full(forecast.scales, able, index)
        scale = forecast.scales[index]
        note = _loss_note(scores, scale) if able else _UNABLE.format(scale)
        return ScaleDecision(scale, scores, forecast.shares, own, taken, words, note)

    def larger(
        self,
        scale: float,
        native: tuple[int, int],
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
        forecast = self.costs.forecast(native, self.selector.scales)
        able = self.costs.within(forecast.sizes, policy or Policy(), words, spent)
        return max([forecast.scales[index] for index in able] + [scale])

    def _expect(self, image: NDArray[np.uint8]) -> tuple[list[float], float | None]:
        """Expected losses by scale, and the number of words where the selector says it."""
        losses, words = torch.zeros(len(self.selector.scales), dtype=torch.float64), 0.0
        for tile in tiles(image, int(_SHRINK * self.long_side)):
            with torch.no_grad():
                found, count_ = self.selector.expect(*self._inputs(tile))
            losses += found[0].double().cpu()
            words = math.nan if count_ is None else words + float(count_[0])
        return losses.tolist(), None if math.isnan(words) else words

    def _inputs(self, image: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        small = as_tensor(thumbnail(image, self.long_side))
        device = self._device()
        return small[None].to(device).float() / 255, torch.tensor([image.shape[:2]], device=device)

    def _device(self) -> torch.device:
        return next(self.selector.parameters(), torch.empty(0)).device

    def own_gflops(self, height: int, width: int) -> float:
        """GFLOPs of the selector, counted once per thumbnail size on a real run."""
        rows, columns = tile_grid(height, width, int(_SHRINK * self.long_side))
        tile = -(-height // rows), -(-width // columns)
        shape = thumbnail_size(*tile, self.long_side)
        if shape not in self._flops:
            device = self._device()
            inputs = torch.zeros(1, 3, *shape, device=device), torch.tensor([[height, width]], device=device)
            with torch.no_grad():
                self._flops[shape] = flops_of(lambda: self.selector(*inputs)) / 1e9
        return rows * columns * self._flops[shape]

    def _without_selector(self, error: BaseException) -> ScaleDecision:
        name = type(self.selector).__name__
        reason = f"the selector {name} failed ({type(error).__name__}: {error}); read at full scale"
        _LOG.warning("%s", reason)
        return ScaleDecision(1.0, {}, (), 0.0, 0.0, None, reason)


def _is_page(image: NDArray[np.uint8], words: float | None) -> bool:
    """Whether it holds a page of text, by what the selector expects or else by its small letters."""
    return (words or 0) >= DENSE_WORDS or small_letters(image) >= DENSE_WORDS * _LETTERS


def _full(scales: Sequence[float], able: Sequence[int], chosen: int) -> int:
    """The index of the full scale, or of the largest below it; of those that keep the limits, if any does."""
    kept = [index for index in able if scales[index] <= 1]
    return max(kept, key=lambda index: scales[index], default=chosen)


def _check(expected: Sequence[float], scales: int) -> None:
    if len(expected) != scales:
        raise ValueError(f"it gave {len(expected)} losses for {scales} scales")
    if not all(map(math.isfinite, expected)):
        raise ValueError("it gave a loss that is not finite")


def _loss_note(scores: Mapping[float, float], scale: float) -> str | None:
    """What the price or the limits cost in words, where it is a word or more."""
    best = min(scores, key=lambda other: (scores[other], other))
    lost = scores[scale] - scores[best]
    if lost < _WORTH_REPORTING:
        return None
    return f"read small: scale {best:g} would read about {lost:.0f} more word{'' if lost < 1.5 else 's'}"
