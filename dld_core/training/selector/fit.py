"""Fit a selector: its maps to what the pages hold, its scores and decisions to what the spotter lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from dld_core.config import PartConfig
from dld_core.selection.network import DenseSelector, SelectorMaps
from dld_core.training.selector.examples import Example, by_size
from dld_core.training.selector.losses import Mode, decision_loss, temperature_at

Tell = Callable[[int, dict[str, float]], None]


DEFAULT_WEIGHTS = {"density": 20.0, "height": 0.5, "lost": 1.0, "words": 1.0, "decision": 1.0}


class FitConfig(PartConfig):
    """How a selector is fitted.

    Attributes:
        steps: of the optimiser.
        batch_size: images per step.
        lr: highest learning rate; it falls along a cosine.
        mode: loss of the decisions, "paper" or "expected" (see `losses`).
        gamma: range that the price of cost is drawn from (log-uniformly), so that one selector serves all.
        sharpness: of the decisions' softmax, per word.
        measured_share: of the steps that see images read by the spotter (the others see text alone).
        weights: of the losses by name.
        seed: of everything random.
    """

    steps: int = Field(default=3000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    mode: Mode = "expected"
    gamma: tuple[float, float] = (0.05, 5.0)
    sharpness: float = Field(default=3.0, gt=0)
    measured_share: float = Field(default=0.5, ge=0, le=1)
    weights: dict[str, float] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not 0 < self.gamma[0] <= self.gamma[1]:
            raise ValueError("'gamma' must be a smallest and a largest price, both above 0")
        unknown = sorted(self.weights.keys() - DEFAULT_WEIGHTS.keys())
        if unknown:
            raise ValueError(f"'weights' has no loss {unknown[0]!r}; there are {', '.join(DEFAULT_WEIGHTS)}")
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("'weights' must not be below 0")
        return self


def fit(
    selector: DenseSelector,
    examples: Sequence[Example],
    config: FitConfig | None = None,
    tell: Tell | None = None,
) -> DenseSelector:
    """Train a selector in place and return it, in eval mode.

    Args:
        selector: fresh, or one that has learned from other pages already.
        examples: any mixture of measured and unmeasured ones.
        tell: called now and then with the step and the losses by name.
    """
    config = config or FitConfig()
    torch.manual_seed(config.seed)
    weights = {**DEFAULT_WEIGHTS, **config.weights}
    optimizer = torch.optim.AdamW(selector.parameters(), lr=config.lr, weight_decay=0.02)
    selector.train()
    batches = _batches(examples, config)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * _schedule(step, config.steps)
        batch = next(batches)
        maps = selector.maps(batch.thumbnails, batch.native)
        losses = losses_of(maps, batch, config, step / config.steps)
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(selector.parameters(), 5.0)
        optimizer.step()
        if tell and (step + 1) % 50 == 0:
            tell(step + 1, {name: float(loss.detach()) for name, loss in losses.items()})
    return selector.eval()


def _schedule(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


class _Batch:
    """Examples as tensors; `losses` and `costs` [B, K] are None for those that no spotter has read."""

    def __init__(self, examples: Sequence[Example], flips: Sequence[bool], tones: Tensor) -> None:
        pictures = np.stack([_flip(e.thumbnail, f, 1) for e, f in zip(examples, flips, strict=True)])
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        contrast, brightness = tones[:, 0, None, None, None], tones[:, 1, None, None, None]
        self.thumbnails = ((pixels - 0.45) * contrast + 0.45 + brightness).clamp(0, 1)
        self.native = torch.tensor([e.native for e in examples])
        names = ("density", "log_height", "covered", "lost")
        maps = [
            np.stack([_flip(getattr(e.targets, n), f, -1) for e, f in zip(examples, flips, strict=True)])
            for n in names
        ]
        self.density, self.log_height, self.covered, self.lost = (torch.from_numpy(m) for m in maps)
        losses = [e.losses for e in examples if e.losses is not None]
        costs = [e.costs for e in examples if e.costs is not None]
        self.losses = torch.from_numpy(np.stack(losses)) if losses else None
        self.costs = torch.from_numpy(np.stack(costs)) if costs else None


def _flip(values: NDArray[Any], mirrored: bool, axis: int) -> NDArray[Any]:
    return np.ascontiguousarray(np.flip(values, axis)) if mirrored else values


def _batches(examples: Sequence[Example], config: FitConfig) -> Iterator[_Batch]:
    """Batches of one thumbnail size each, measured and unmeasured ones in their shares."""
    rng = np.random.default_rng(config.seed)
    kinds = [[e for e in examples if e.measured], [e for e in examples if not e.measured]]
    groups = [[[kind[i] for i in group] for group in by_size(kind)] for kind in kinds]
    while True:
        use = 0 if groups[0] and (not groups[1] or rng.random() < config.measured_share) else 1
        sizes = np.array([len(group) for group in groups[use]], float)
        group = groups[use][int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
        chosen = rng.choice(len(group), min(config.batch_size, len(group)), replace=False)
        tones = torch.from_numpy(rng.uniform((0.75, -0.12), (1.25, 0.12), (len(chosen), 2))).float()
        yield _Batch([group[int(i)] for i in chosen], (rng.random(len(chosen)) < 0.5).tolist(), tones)


def losses_of(maps: SelectorMaps, batch: _Batch, config: FitConfig, progress: float) -> dict[str, Tensor]:
    """Named losses of one batch; those of the spotter's outcomes where there are any."""
    covered = batch.covered.sum((1, 2)).clamp(min=1.0)
    off = (maps.log_height - batch.log_height).abs() * batch.covered
    losses = {
        "density": (maps.density - batch.density * (maps.density + 1e-4).log()).mean(),
        "height": (off.sum((1, 2)) / covered).mean(),
    }
    if batch.losses is None or batch.costs is None:
        return losses
    words = batch.density.sum((1, 2))
    wrong = F.binary_cross_entropy_with_logits(maps.lost, batch.lost, reduction="none").mean(1)
    losses["lost"] = ((wrong * batch.density).sum((1, 2)) / words.clamp(min=1.0)).mean()
    spread = (1 + words).sqrt().unsqueeze(1)
    losses["words"] = F.smooth_l1_loss(maps.scores / spread, batch.losses / spread)
    losses["decision"] = _decision(maps.scores, batch.losses, batch.costs, config, progress)
    return losses


def _decision(scores: Tensor, words: Tensor, costs: Tensor, config: FitConfig, progress: float) -> Tensor:
    """The loss of deciding by score plus price, for prices all along the range."""
    low, high = (math.log(value) for value in config.gamma)
    gamma = torch.empty(len(scores)).uniform_(low, high).exp()
    logits = -config.sharpness * (scores + gamma.unsqueeze(1) * costs)
    regret = words - words.amin(1, keepdim=True)
    # Divided by what is at stake, so that cheap and dear prices teach alike.
    stake = 1 / (1 + gamma)
    return decision_loss(
        logits,
        regret * stake.unsqueeze(1),
        costs,
        gamma * stake,
        config.mode,
        temperature_at(progress),
    )
