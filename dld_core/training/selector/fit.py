"""Fit any selector by its own training loss: to what pages hold, and to what the spotter lost on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_core.errors import TrainingError
from dld_core.interfaces import ResolutionSelector
from dld_core.training.selector.config import FitConfig
from dld_core.training.selector.examples import Example
from dld_core.training.selector.losses import decision_loss, temperature_at
from dld_core.types import SelectorBatch

LogLosses = Callable[[int, dict[str, float]], None]


def fit(
    selector: ResolutionSelector,
    examples: Sequence[Example],
    config: FitConfig | None = None,
    log: LogLosses | None = None,
) -> ResolutionSelector:
    """Train a selector in place and return it, in eval mode.

    Args:
        selector: fresh, or one that has learned from other pages already.
        examples: any mixture of measured and unmeasured ones; the latter for selectors that learn from them.
        config: how.
        log: called every 50 steps with the step and the losses by name.

    Raises:
        TrainingError: a loss is not finite.
    """
    config = config or FitConfig()
    torch.manual_seed(config.seed)
    usable = [e for e in examples if selector.learns_from_pages or e.losses is not None]
    parameters = [p for p in selector.parameters() if p.requires_grad]
    if not usable or not parameters:
        return selector.eval()
    weights = {**selector.loss_weights, **config.weights}
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=0.02)
    selector.train()
    for step, batch in enumerate(islice(_batches(usable, config), config.steps)):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * _schedule(step, config.steps)
        progress = step / config.steps
        batch.decision = partial(_decision, batch, config, temperature_at(progress))
        losses = selector.training_loss(batch, progress)
        total = torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
        if not bool(total.isfinite()):
            raise TrainingError(f"the selector's loss is not finite in step {step + 1}; lower 'fit.lr'")
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        if log and (step + 1) % 50 == 0:
            log(step + 1, {name: float(loss.detach()) for name, loss in losses.items()})
    return selector.eval()


def _schedule(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _batches(examples: Sequence[Example], config: FitConfig) -> Iterator[SelectorBatch]:
    """Batches of one thumbnail size each, measured and unmeasured ones in their shares, without end."""
    rng = np.random.default_rng(config.seed)
    groups: tuple[dict[tuple[int, ...], list[Example]], ...] = ({}, {})
    for example in examples:
        groups[example.losses is None].setdefault(example.thumbnail.shape, []).append(example)
    while True:
        measured = groups[0] and (not groups[1] or rng.random() < config.measured_share)
        sizes = list(groups[0 if measured else 1].values())
        counts = np.array([len(group) for group in sizes], float)
        group = sizes[int(rng.choice(len(sizes), p=counts / counts.sum()))]
        chosen = rng.choice(len(group), min(config.batch_size, len(group)), replace=False)
        tones = rng.uniform((0.75, -0.12), (1.25, 0.12), (len(chosen), 2))
        yield _batch(
            [group[int(i)] for i in chosen], torch.from_numpy(tones).float(), rng.random(len(chosen)) < 0.5
        )


def _batch(examples: Sequence[Example], tones: Tensor, mirrored: NDArray[np.bool_]) -> SelectorBatch:
    """Examples as tensors: of other contrast and brightness, some of them mirrored."""
    pixels = torch.from_numpy(np.stack([e.thumbnail for e in examples])).permute(0, 3, 1, 2).float() / 255
    contrast, brightness = tones[:, 0, None, None, None], tones[:, 1, None, None, None]
    names = examples[0].targets
    targets = {name: torch.from_numpy(np.stack([e.targets[name] for e in examples])) for name in names}
    thumbnails = ((pixels - 0.45) * contrast + 0.45 + brightness).clamp(0, 1)
    for index in np.flatnonzero(mirrored).tolist():
        for values in (thumbnails, *(t for t in targets.values() if t.ndim > 1)):
            values[index] = values[index].flip(-1)
    losses = [e.losses for e in examples if e.losses is not None]
    costs = [e.costs for e in examples if e.costs is not None]
    return SelectorBatch(
        thumbnails,
        torch.tensor([e.native for e in examples]),
        targets,
        torch.from_numpy(np.stack(losses)) if losses else None,
        torch.from_numpy(np.stack(costs)) if costs else None,
        lambda scores: scores.sum() * 0,
    )


def _decision(batch: SelectorBatch, config: FitConfig, temperature: float, scores: Tensor) -> Tensor:
    """The loss of deciding by expected loss plus price, for prices all along the range."""
    if batch.losses is None or batch.costs is None:
        return scores.sum() * 0
    low, high = (math.log(value) for value in config.gamma)
    gamma = torch.empty(len(scores)).uniform_(low, high).exp()
    logits = -config.sharpness * (scores + gamma.unsqueeze(1) * batch.costs)
    regret = batch.losses - batch.losses.amin(1, keepdim=True)
    stake = 1 / (1 + gamma)  # divided by what is at stake, so that cheap and dear prices teach alike
    return decision_loss(
        logits, regret * stake.unsqueeze(1), batch.costs, gamma * stake, config.mode, temperature
    )
