"""A teacher that nothing can change, and passes of a student that leave no trace in its statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from dld_core.interfaces import TrainableSpotter
from dld_core.types import Batch, TrainOutput


class FrozenTeacher:
    """A spotter that only shows what it does.

    No nn.Module on purpose: as an attribute of a module it is no child of it, so that no `.train()` puts
    its norms into training, no optimiser finds its parameters and no state dict holds them. (The authors'
    code never leaves training mode, so that their teacher drifts with every batch.)

    Args:
        spotter: is put into eval mode, and its parameters stop asking for gradients.
    """

    def __init__(self, spotter: TrainableSpotter) -> None:
        self.spotter = spotter.eval().requires_grad_(False)

    def to(self, device: torch.device | str) -> FrozenTeacher:
        """Move it; returns itself."""
        self.spotter.to(device)
        return self

    @property
    def reference_short_side(self) -> int:
        """The short side, in pixels, at which it reads best."""
        return self.spotter.reference_short_side

    @torch.no_grad()
    def show(self, batch: Batch, hypotheses: int = 0) -> TrainOutput:
        """Its trace and maps of a batch.

        Args:
            hypotheses: how many of its best readings the trace is to carry; 0 for none.
        """
        if any(module.training for module in self.spotter.modules()):
            self.spotter.eval()  # somebody who holds the spotter itself has called train()
        shown = self.spotter.teacher_outputs(batch)
        if hypotheses:
            said = self.spotter.decoder.beam_search(shown.trace.context, hypotheses)
            shown = replace(shown, trace=replace(shown.trace, hypotheses=said))
        return shown


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, norms neither use nor change batch statistics: for passes that only evaluate."""
    norms = [m for m in module.modules() if isinstance(m, _NormBase) and m.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
