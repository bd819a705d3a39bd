"""Parameter groups, the learning-rate curve, frozen parts, and the running average of weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from dld_core.errors import ConfigError
from dld_core.training.config import OptimizerConfig, TrainConfig


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over what learns, without decay on norms and biases; group key `factor` scales the rate."""
    for pattern in config.optimizer.lr_factors:
        _check_pattern(model, pattern, "optimizer.lr_factors")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (
                config.optimizer.weight_decay if parameter.ndim > 1 else 0.0,
                _factor(name, config.optimizer),
            )
            groups.setdefault(key, []).append(parameter)
    if not groups:
        raise ConfigError("'freeze' leaves nothing to learn; take patterns out of it")
    return torch.optim.AdamW(
        [{"params": p, "weight_decay": decay, "factor": factor} for (decay, factor), p in groups.items()],
        lr=config.lr,
        betas=config.optimizer.betas,
        eps=config.optimizer.eps,
        fused=True,
    )


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Rate of step `step` (0-based): a linear warm-up, then a cosine over `progress` (0-1) of the run."""
    warm = min((step + 1) / config.warmup_steps, 1.0) if config.warmup_steps else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return config.lr * warm * (config.final_lr + (1 - config.final_lr) * cosine)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def freeze(model: nn.Module, patterns: Iterable[str]) -> list[nn.Module]:
    """Stop the parameters that match; returns the modules that must stay in eval mode (their norms).

    Raises ConfigError for a pattern that matches nothing.
    """
    for pattern in patterns:
        _check_pattern(model, pattern, "freeze")
        for name, parameter in model.named_parameters():
            if fnmatchcase(name, pattern):
                parameter.requires_grad_(False)
    return [
        module
        for module in model.modules()
        if (own := [p for _, p in module.named_parameters(recurse=False)])
        and any(True for _ in module.buffers(recurse=False))
        and not any(p.requires_grad for p in own)
    ]


def _factor(name: str, config: OptimizerConfig) -> float:
    return next((f for pattern, f in config.lr_factors.items() if fnmatchcase(name, pattern)), 1.0)


def _check_pattern(model: nn.Module, pattern: str, key: str) -> None:
    names = [name for name, _ in model.named_parameters()]
    if not any(fnmatchcase(name, pattern) for name in names):
        some = ", ".join(names[:: max(len(names) // 4, 1)][:4])
        raise ConfigError(f"'{key}': no parameter is named like '{pattern}'; some names are {some}")


class Average:
    """Exponential running average of a model's weights; its decay grows with the steps at first.

    Buffers (norm statistics, counters) are copied: they are averages already. A decay of 0 copies all.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self._learnt = {name for name, _ in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step towards the model."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        live = model.state_dict()
        mine = [self.state[name] for name in live if name in self._learnt]
        torch._foreach_lerp_(mine, [live[name] for name in live if name in self._learnt], 1 - decay)
        for name, value in live.items():
            if name not in self._learnt:
                self.state[name].copy_(value)

    @torch.no_grad()
    def restore_buffers(self, model: nn.Module) -> None:
        """Set the model's buffers back to what they were at the last update."""
        for name, value in model.state_dict().items():
            if name not in self._learnt:
                value.copy_(self.state[name])

    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        self.updates = updates
        for name, value in state.items():
            self.state[name].copy_(value)
