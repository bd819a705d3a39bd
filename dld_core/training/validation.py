"""Looking at held-out samples: losses, words read right from true boxes, and the whole spotter's scores."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dld_core.data.dataset import BatchStream
from dld_core.errors import ConfigError
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import TrainableSpotter, module_device
from dld_core.training.config import TrainConfig, ValidationConfig
from dld_core.training.tasks import Reading, Step, Task, read_trace
from dld_core.types import Batch, Sample


class Validator:
    """Always looks at the same samples, with a copy of the spotter: training is not disturbed."""

    def __init__(self, spotter: TrainableSpotter, config: TrainConfig, validation: ValidationConfig) -> None:
        self.config = validation
        self.every = validation.every
        self.task = Task(copy.deepcopy(spotter), config).requires_grad_(False)
        self.stream = BatchStream(validation.data, validation.batch_size, [validation.size], config.seed + 1)
        self.bf16 = config.precision == "bf16-mixed"

    @torch.no_grad()
    def __call__(self, state: Mapping[str, Tensor]) -> dict[str, float]:
        """Scores `val/NAME` of the weights `state`: mean losses, word accuracies, more where asked for."""
        self.task.spotter.load_state_dict(state)
        count, size = self.config.samples, self.config.batch_size
        samples = [s for number in range(-(-count // size)) for s in self.stream[number]][:count]
        return {f"val/{name}": value for name, value in self._look_at(samples).items()}

    def _look_at(self, samples: list[Sample]) -> dict[str, float]:
        size = self.config.batch_size
        found = self._losses([samples[i : i + size] for i in range(0, len(samples), size)])
        if self.config.end_to_end:
            found |= self._end_to_end(samples)
        return found

    def merit(self, found: Mapping[str, float]) -> float | None:
        """The value that decides which weights are best, or None. Raises ConfigError for an unknown one."""
        if self.config.best is None:
            return None
        if f"val/{self.config.best}" not in found:
            names = ", ".join(name.removeprefix("val/") for name in found)
            raise ConfigError(f"'validation.best': there is no '{self.config.best}'; there are {names}")
        return found[f"val/{self.config.best}"]

    def _losses(self, groups: list[list[Sample]]) -> dict[str, float]:
        sums: dict[str, float] = {}
        reading = Reading()
        _set_mode_for_losses(self.task)
        device = module_device(self.task)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            for group in groups:
                output = self.task(Step(Batch.collate(group).to(device)))
                for name, loss in output.losses.items():
                    sums[name] = sums.get(name, 0.0) + float(loss) / len(groups)
                reading += read_trace(self.task.spotter, output.trace)
        accuracies = {"word_accuracy": reading.accuracy, "word_accuracy_any_case": reading.accuracy_any_case}
        return {**sums, **accuracies}

    def _end_to_end(self, samples: list[Sample]) -> dict[str, float]:
        from dld_core.evaluation import ImageWords, evaluate

        self.task.eval()
        truth = {str(i): ImageWords.from_sample(sample) for i, sample in enumerate(samples)}
        found = {}
        for i, sample in enumerate(samples):
            words = self.task.spotter.predict([as_tensor(sample.image)])[0]
            found[str(i)] = ImageWords.from_words(words)
        result = evaluate(truth, found)
        return {"detection": result.detection.hmean, "end_to_end": result.e2e.hmean}


def _set_mode_for_losses(task: nn.Module) -> None:
    """Train mode, since many detectors compute losses only there, but norms and dropout as in use."""
    task.train()
    for module in task.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd):
            module.eval()
