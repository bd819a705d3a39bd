"""Held-out samples: losses, words read right from true boxes, and the whole spotter's scores."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dld_core.data.dataset import BatchStream
from dld_core.errors import ConfigError
from dld_core.evaluation import ImageWords, evaluate
from dld_core.images import scale_to
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import TrainableSpotter, module_device
from dld_core.runtimes.norms import use_scale
from dld_core.training.config import TrainConfig, ValidationConfig
from dld_core.training.distill.views import resized
from dld_core.training.tasks import Reading, Step, Task, read_trace
from dld_core.types import Batch, Sample


class Validator:
    """Always takes the same samples, and a copy of the spotter: training is not disturbed.

    Args:
        spotter: what is validated.
        config: of the run.
        validation: on what, and when.
        scales: each sample is read at these, resized as in use, and NAME@SCALE is reported beside the mean as
            NAME; none for samples as they are.
        reference: the short side at scale 1, pixels.
    """

    def __init__(
        self,
        spotter: TrainableSpotter,
        config: TrainConfig,
        validation: ValidationConfig,
        scales: Sequence[float] = (),
        reference: int = 0,
    ) -> None:
        self.config = validation
        self.every = validation.every
        self.scales, self.reference = scales, reference
        # Weights of distillation's losses name terms that there are none of here.
        config = config.model_copy(update={"losses": {}}) if scales else config
        self.task = Task(copy.deepcopy(spotter), config).requires_grad_(False)
        self.stream = BatchStream(validation.data, validation.batch_size, [validation.size], config.seed + 1)
        self.bf16 = config.precision == "bf16-mixed"

    @torch.no_grad()
    def __call__(self, state: Mapping[str, Tensor]) -> dict[str, float]:
        """Scores `val/NAME` of the weights `state`: mean losses, word accuracies, more where asked for."""
        self.task.spotter.load_state_dict(state)
        count, size = self.config.samples, self.config.batch_size
        samples = [s for number in range(-(-count // size)) for s in self.stream[number]][:count]
        found = self._at_scales(samples) if self.scales else self._scores(samples)
        return {f"val/{name}": value for name, value in found.items()}

    def merit(self, found: Mapping[str, float]) -> float | None:
        """The value that decides which weights are best, or None. Raises ConfigError for an unknown one."""
        if self.config.best is None:
            return None
        if f"val/{self.config.best}" not in found:
            names = ", ".join(name.removeprefix("val/") for name in found)
            raise ConfigError(f"'validation.best': there is no '{self.config.best}'; there are {names}")
        return found[f"val/{self.config.best}"]

    def _at_scales(self, samples: Sequence[Sample]) -> dict[str, float]:
        by_scale = {}
        for scale in self.scales:
            with use_scale(scale):
                by_scale[scale] = self._scores([self._view(sample, scale) for sample in samples])
        found: dict[str, float] = {}
        for name in by_scale[self.scales[0]]:
            found[name] = sum(values[name] for values in by_scale.values()) / len(by_scale)
            found |= {f"{name}@{scale:g}": values[name] for scale, values in by_scale.items()}
        return found

    def _view(self, sample: Sample, scale: float) -> Sample:
        height, width = sample.image.shape[:2]
        fit = scale_to(height, width, self.reference, fraction=scale)
        return resized(sample, (fit.height, fit.width))

    def _scores(self, samples: Sequence[Sample]) -> dict[str, float]:
        size = self.config.batch_size
        found = self._losses([samples[i : i + size] for i in range(0, len(samples), size)])
        return found | self._end_to_end(samples) if self.config.end_to_end else found

    def _losses(self, groups: Sequence[Sequence[Sample]]) -> dict[str, float]:
        sums: dict[str, float] = {}
        reading = Reading()
        self.task.train()  # many detectors compute losses only there
        for module in self.task.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd):
                module.eval()
        device = module_device(self.task)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            for group in groups:
                output = self.task(Step(Batch.collate(group).to(device)))
                for name, loss in output.losses.items():
                    sums[name] = sums.get(name, 0.0) + float(loss) / len(groups)
                reading += read_trace(self.task.spotter, output.trace)
        accuracies = {"word_accuracy": reading.accuracy, "word_accuracy_any_case": reading.accuracy_any_case}
        return {**sums, **accuracies}

    def _end_to_end(self, samples: Sequence[Sample]) -> dict[str, float]:
        self.task.eval()
        truth = {str(i): ImageWords.from_sample(sample) for i, sample in enumerate(samples)}
        found = {}
        for i, sample in enumerate(samples):
            words = self.task.spotter.predict([as_tensor(sample.image)])[0]
            found[str(i)] = ImageWords.from_words(words)
        result = evaluate(truth, found)
        return {"detection": result.detection.hmean, "end_to_end": result.e2e.hmean}
