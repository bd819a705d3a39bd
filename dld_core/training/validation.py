"""Looking at held-out samples: mean losses, and the share of words read right from true boxes."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dld_core.data.dataset import BatchStream
from dld_core.interfaces import TrainableSpotter, module_device
from dld_core.training.config import TrainConfig, ValidationConfig
from dld_core.training.tasks import Parcel, Reading, Task, read_trace
from dld_core.types import Batch


class Validator:
    """Always looks at the same samples, with a copy of the spotter: training is not disturbed."""

    def __init__(self, spotter: TrainableSpotter, config: TrainConfig, validation: ValidationConfig) -> None:
        self.every = validation.every
        self.task = Task(copy.deepcopy(spotter), config).requires_grad_(False)
        _losses_without_side_effects(self.task)
        stream = BatchStream(validation.data, validation.batch_size, [validation.size], config.seed + 1)
        self.batches = -(-validation.samples // validation.batch_size)
        self.stream = stream
        self.bf16 = config.precision == "bf16-mixed"

    @torch.no_grad()
    def __call__(self, state: Mapping[str, Tensor]) -> dict[str, float]:
        """Losses (`val/NAME`) and word accuracies of the weights `state`."""
        self.task.spotter.load_state_dict(state)
        device = module_device(self.task)
        sums: dict[str, float] = {}
        reading = Reading()
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            for number in range(self.batches):
                output = self.task(Parcel(Batch.collate(self.stream[number]).to(device)))
                for name, loss in output.losses.items():
                    sums[name] = sums.get(name, 0.0) + float(loss)
                reading += read_trace(self.task.spotter, output.trace)
        metrics = {f"val/{name}": value / self.batches for name, value in sums.items()}
        metrics |= {
            "val/word_accuracy": reading.accuracy,
            "val/word_accuracy_any_case": reading.accuracy_any_case,
        }
        return metrics


def _losses_without_side_effects(task: nn.Module) -> None:
    """Train mode, since many detectors compute losses only there, but norms and dropout as in use."""
    task.train()
    for module in task.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd):
            module.eval()
