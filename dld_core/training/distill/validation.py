"""Looking at held-out samples at several scales, resized as in use."""

from __future__ import annotations

from dld_core.images import scale_to
from dld_core.interfaces import TrainableSpotter
from dld_core.runtimes.norms import use_scale
from dld_core.training.config import ValidationConfig
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.views import resized
from dld_core.training.validation import Validator
from dld_core.types import Sample


class ScaledValidator(Validator):
    """The same looks as in training, each NAME as NAME@SCALE for every scale and its mean as NAME.

    Args:
        student: who is looked at.
        config: of the run.
        validation: what is looked at, and when.
        reference: the short side at full scale, pixels.
    """

    def __init__(
        self, student: TrainableSpotter, config: DistillConfig, validation: ValidationConfig, reference: int
    ) -> None:
        super().__init__(student, config.model_copy(update={"losses": {}}), validation)
        self.scales = config.validation_scales
        self.reference = reference

    def _look_at(self, samples: list[Sample]) -> dict[str, float]:
        by_scale = {}
        for scale in self.scales:
            with use_scale(scale):
                by_scale[scale] = super()._look_at([self._seen(sample, scale) for sample in samples])
        found: dict[str, float] = {}
        for name in by_scale[self.scales[0]]:
            found[name] = sum(values[name] for values in by_scale.values()) / len(by_scale)
            found |= {f"{name}@{scale:g}": values[name] for scale, values in by_scale.items()}
        return found

    def _seen(self, sample: Sample, scale: float) -> Sample:
        fit = scale_to(sample.image.shape[0], sample.image.shape[1], self.reference, fraction=scale)
        return resized(sample, (fit.height, fit.width))
