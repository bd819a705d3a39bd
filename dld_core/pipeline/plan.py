"""Step 2, plan: who reads the image, at which size, within the limits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dld_core.errors import ConfigError
from dld_core.images import resize, scale_to
from dld_core.images.tensors import as_tensor
from dld_core.pipeline.load import Loaded
from dld_core.pipeline.models import Models
from dld_core.pipeline.request import MAX_SCALE, Request
from dld_core.plugins.hooks import hooks
from dld_core.selection import CostModel, DynamicResolution, Policy, ScaleDecision

_BATCH_PIXELS = 2  # a batch holds no more pixels than this many images at the working cap
_FRACTIONS = tuple(round(0.05 * step, 2) for step in range(1, 31))  # tried where a limit lowers a given scale


@dataclass(frozen=True, slots=True)
class Plan:
    """How one image will be read.

    Attributes:
        loaded: the image.
        pixels: RGB uint8 [h, w, 3], what the spotter gets: at the working size, or native if it wants that.
        size: the working (height, width).
        model: who reads.
        scale: the fraction of the full size.
        decision: the selector's, where it decided.
        notes: about the image and the limits.
        timings: milliseconds by step so far.
    """

    loaded: Loaded
    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    model: Literal["student", "teacher"]
    scale: float
    decision: ScaleDecision | None = None
    notes: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    def tensor(self) -> Tensor:
        """The pixels as a uint8 tensor [3, h, w]; native ones are not copied."""
        return as_tensor(self.pixels, share=self.pixels.shape[:2] != self.size)


class Planner:
    """Plans images for one wrapper.

    Args:
        models: who can read.
        costs: of reading.
        drs: the selector at work; None where there is none.
    """

    def __init__(self, models: Models, costs: CostModel, drs: DynamicResolution | None) -> None:
        self.models = models
        self.costs = costs
        self.drs = drs

    def check(self, request: Request) -> Request:
        """The request, or ConfigError where it cannot be met. What a limit needs measured is measured here,
        so that no image is timed with it.
        """
        if self.drs is None and (request.scale == "auto" or request.escalate or "gamma" in request.options):
            what = "scale 'auto'" if request.scale == "auto" else "escalate" if request.escalate else "gamma"
            raise ConfigError(
                f"{what} needs a resolution selector, and this wrapper has none; use scale 'full' or a "
                f"number above 0 and up to {MAX_SCALE}, or give selector=FILE, made by `dld distill`"
            )
        if request.limited:
            self.costs.within([(64, 64)], request.policy)
        return request

    def plan(self, loaded: Loaded, request: Request) -> Plan:
        """The plan of an image: the selector's decision, or the scale that was given, lowered to keep
        limits.
        """
        decision, notes = None, list(loaded.notes)
        timings = {"decode": loaded.milliseconds}
        if request.scale == "auto":
            assert self.drs is not None  # checked
            decision = self.drs(loaded.pixels, request.policy)
            scale, timings["select"] = decision.scale, decision.milliseconds
            if decision.note is not None:
                notes.append(decision.note)
        else:
            scale = 1.0 if request.scale == "full" else request.scale
            scale = self._within_limits(loaded, scale, request.policy, notes)
        model = request.reader(scale, full=request.scale == "full" and scale == 1.0)
        return self.at(loaded, scale, model, decision, tuple(notes), timings)

    def at(
        self,
        loaded: Loaded,
        scale: float,
        model: Literal["student", "teacher"],
        decision: ScaleDecision | None = None,
        notes: tuple[str, ...] = (),
        timings: dict[str, float] | None = None,
    ) -> Plan:
        """The image at a scale: resized once, from its native pixels."""
        start = time.perf_counter()
        spotter = self.models.get(model)
        fit = scale_to(*loaded.size, spotter.reference_short_side, self.costs.limits, scale)
        size = fit.height, fit.width
        pixels = loaded.pixels if spotter.reads_native else resize(loaded.pixels, size=size)
        spent = {**(timings or {}), "resize": (time.perf_counter() - start) * 1e3}
        hooks.scale_chosen(loaded.name or "", scale, {} if decision is None else decision.scores)
        all_notes = notes if fit.note is None else (*notes, fit.note)
        return Plan(loaded, pixels, size, model, round(scale, 4), decision, all_notes, spent)

    def escalated(
        self, plan: Plan, request: Request, spent: tuple[float, float], words: int
    ) -> Plan | str | None:
        """The plan to read an unsure image again at the largest scale that the limits leave room for.

        Args:
            spent: GFLOPs and milliseconds of the first reading.
            words: that the image seems to hold.

        Returns:
            The plan; a note where the limits leave no room; None where no scale is larger.
        """
        assert self.drs is not None
        largest = self.drs.larger(plan.scale, plan.loaded.size, request.policy, words, spent)
        if largest <= plan.scale:
            if self.drs.larger(plan.scale, plan.loaded.size) > plan.scale:
                return "unsure, but the limit leaves no room for a larger reading"
            return None
        again = self.at(plan.loaded, largest, request.reader(largest), plan.decision, plan.notes)
        return again if again.size > plan.size else None

    def _within_limits(self, loaded: Loaded, scale: float, policy: Policy, notes: list[str]) -> float:
        """The scale, lowered until the limits are kept."""
        if policy.budget is None and policy.max_latency_ms is None:
            return scale
        candidates = [s for s in _FRACTIONS if s < scale] + [scale]
        able = self.costs.within([self.costs.size(loaded.size, s) for s in candidates], policy)
        kept = candidates[max(able, default=0)]
        if kept < scale:
            limit = "the budget" if policy.max_latency_ms is None else "the limit"
            more = "" if able else ", which is still more than it allows"
            notes.append(f"scale lowered from {scale:g} to {kept:g} to keep {limit}{more}")
        return kept


def batches(
    sizes: Mapping[int, tuple[int, int]], batch_size: int, max_pixels: int
) -> Iterator[tuple[int, ...]]:
    """Indices of images to be read together: of one size, at most `batch_size`, of bounded area.

    Args:
        sizes: working (height, width) by index.
        max_pixels: the working cap of one image; a batch stays within twice that.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, size in sizes.items():
        groups.setdefault(size, []).append(index)
    for (height, width), indices in groups.items():
        count = max(1, min(batch_size, _BATCH_PIXELS * max_pixels // (height * width)))
        for start in range(0, len(indices), count):
            yield tuple(indices[start : start + count])
