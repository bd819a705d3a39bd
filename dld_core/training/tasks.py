"""What a step computes: all losses of a spotter, or those of its recognition branch alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dld_core.errors import ConfigError
from dld_core.interfaces import TrainableSpotter
from dld_core.training.config import TrainConfig
from dld_core.types import Batch, RecognitionTrace, TrainOutput


class Step:
    """A batch that wrappers for many devices hand on as it is (they copy dataclasses field by field).

    Attributes:
        batch: what is learned from.
        progress: share in [0, 1] of the run that is done.
    """

    __slots__ = ("batch", "progress")

    def __init__(self, batch: Batch, progress: float = 0.0) -> None:
        self.batch = batch
        self.progress = progress


class Task(nn.Module):
    """The spotter as one module whose forward gives losses: what several devices synchronise around."""

    def __init__(self, spotter: TrainableSpotter, config: TrainConfig) -> None:
        super().__init__()
        self.spotter = spotter
        self.recognition_only = config.task == "recognition"
        self.weights = dict(config.losses)

    def forward(self, step: Step) -> TrainOutput:
        """Named losses times their weights, and the trace."""
        output = self._output(step.batch, step.progress)
        unknown = sorted(self.weights.keys() - output.losses.keys())
        if unknown:
            known = ", ".join(sorted(output.losses))
            raise ConfigError(f"'losses' names {', '.join(unknown)}; this task has: {known}")
        losses = {name: loss * self.weights.get(name, 1.0) for name, loss in output.losses.items()}
        return TrainOutput(losses, output.trace)

    def _output(self, batch: Batch, progress: float) -> TrainOutput:
        del progress
        return self._own(batch)

    def _own(self, batch: Batch) -> TrainOutput:
        """The spotter's losses."""
        return (self.spotter.recognition_losses if self.recognition_only else self.spotter.forward_train)(
            batch
        )


def total_loss(losses: dict[str, Tensor]) -> Tensor:
    """The sum of all losses. Raises ConfigError when there are none."""
    if not losses:
        raise ConfigError("the spotter gave no losses; its forward_train must name at least one")
    return torch.stack([loss.float().reshape(()) for loss in losses.values()]).sum()


@dataclass
class Reading:
    """How many words were read right from their true boxes."""

    words: int = 0
    right: int = 0
    right_any_case: int = 0

    def __iadd__(self, other: Reading) -> Reading:
        self.words += other.words
        self.right += other.right
        self.right_any_case += other.right_any_case
        return self

    @property
    def accuracy(self) -> float:
        return self.right / self.words if self.words else float("nan")

    @property
    def accuracy_any_case(self) -> float:
        return self.right_any_case / self.words if self.words else float("nan")


@torch.no_grad()
def read_trace(spotter: TrainableSpotter, trace: RecognitionTrace, limit: int | None = None) -> Reading:
    """Compare the decoder's best readings of (up to `limit`) rows of a trace with their targets."""
    targets = trace.targets[:limit]
    if not len(targets):
        return Reading()
    best = spotter.decoder.beam_search(trace.context[:limit].detach(), k=1)
    read = spotter.decoder.decode(best.tokens[:, 0])
    wanted = spotter.decoder.decode(targets)
    return Reading(
        len(wanted),
        sum(a == b for a, b in zip(read, wanted, strict=True)),
        sum(a.lower() == b.lower() for a, b in zip(read, wanted, strict=True)),
    )
