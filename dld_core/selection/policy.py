"""From scores to a scale, under a price or a limit. Deterministic: the same scores give the same scale.

The authors' code draws Gumbel noise at test time as well, so that one image gets different scales; here the
smallest of score plus price is taken. What the network predicts (words lost) does not hold the price, so one
trained selector serves every trade-off.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from dld_core.config import PartConfig
from dld_core.interfaces import DEFAULT_GAMMA


class Policy(PartConfig):
    """What reading may cost.

    Attributes:
        gamma: words one is willing to lose to save the whole cost of reading an image at full scale
            (the paper's gamma weighs FLOPs against a divergence). 0 asks for accuracy alone; left out, a
            selector's own price counts where it has one.
        budget: the most GFLOPs (a multiply-add counted as 2) that one image may cost; None for no limit.
        max_latency_ms: the most milliseconds that reading one image may take; None for no limit.
    """

    gamma: float = Field(default=DEFAULT_GAMMA, ge=0)
    budget: float | None = Field(default=None, gt=0)
    max_latency_ms: float | None = Field(default=None, gt=0)

    def priced(self, gamma: float) -> Policy:
        """With this price where none was given."""
        return self if "gamma" in self.model_fields_set else self.model_copy(update={"gamma": gamma})

    def choose(
        self, scores: Sequence[float], costs: Sequence[float], able: Sequence[int] | None = None
    ) -> int:
        """The index of the scale to read at.

        Args:
            scores: words lost at each scale.
            costs: of each scale, as a fraction of the full cost.
            able: indices of the scales that keep the limits; None for all.

        Returns:
            The cheapest of the able scales whose score plus price is smallest; the cheapest of all where none
            is able.
        """
        kept = range(len(costs)) if able is None else able
        if not kept:
            return min(range(len(costs)), key=lambda i: costs[i])
        return min(kept, key=lambda i: (scores[i] + self.gamma * costs[i], costs[i]))

    def within(
        self, count: int, gflops: Sequence[float | None] | None, milliseconds: Sequence[float] | None
    ) -> list[int]:
        """Which of so many scales keep the limits."""
        return [index for index in range(count) if self._within(index, gflops, milliseconds)]

    def _within(
        self, index: int, gflops: Sequence[float | None] | None, milliseconds: Sequence[float] | None
    ) -> bool:
        cost = None if gflops is None else gflops[index]
        if self.budget is not None and cost is not None and cost > self.budget:
            return False
        return (
            self.max_latency_ms is None or milliseconds is None or milliseconds[index] <= self.max_latency_ms
        )
