"""Sequential knowledge distillation: features, context states and whole readings of the teacher."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from dld_core.config import PartConfig
from dld_core.distillation.terms import feature_distance, logit_divergence, sequence_loss
from dld_core.errors import ConfigError
from dld_core.interfaces import Distiller, SequenceDecoder
from dld_core.types import Hypotheses, RecognitionTrace


class SKDConfig(PartConfig):
    """Weights of the terms, 0 for none (it is then not computed), and their settings.

    Attributes:
        roi_features: of the L2 distance of region features.
        context: of the L2 distance of the states that the decoder looks at.
        sequence: of the student's likelihood of the teacher's readings.
        logit: of the divergence of the distributions per step, the baseline that the paper compares with.
        k: how many readings of the teacher count.
        weighting: of the k readings: "uniform" (the paper) or by the "teacher"'s own probabilities.
        per: what the sequence term is a mean over: "character", as decoders' own losses are, or "word".
        temperature: of the logit term.
    """

    roi_features: float = Field(1.0, ge=0)
    context: float = Field(1.0, ge=0)
    sequence: float = Field(1.0, ge=0)
    logit: float = Field(0.0, ge=0)
    k: int = Field(3, ge=1, le=64)
    weighting: Literal["uniform", "teacher"] = "uniform"
    per: Literal["character", "word"] = "character"
    temperature: float = Field(2.0, gt=0)


class SequentialDistiller(Distiller):
    """The paper's distiller (arXiv 2207.06694, section 3.3), and logit distillation as its baseline.

    Where the teacher's trace carries no hypotheses, the context of the teacher is read with the decoder
    at hand, the student's: right as long as the two decoders agree, as they do at the start.

    Args:
        options: fields of SKDConfig.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = config = SKDConfig.parse(options, where="distiller skd")
        compared = ("roi_features", "context", "logit")
        self.zero_when_equal = frozenset(name for name in compared if getattr(config, name) > 0)
        self.hypotheses = config.k if config.sequence > 0 else 0
        if not self.zero_when_equal and not self.hypotheses:
            raise ConfigError("distiller skd: every term has the weight 0; give one of them a weight")

    def forward(
        self, teacher: RecognitionTrace, student: RecognitionTrace, student_decoder: SequenceDecoder
    ) -> dict[str, Tensor]:
        """The terms by name, times their weights.

        Raises:
            ConfigError: the two traces cannot be compared.
        """
        config = self.config
        self._check(teacher, student)
        losses = {}
        if config.roi_features:
            losses["roi_features"] = feature_distance(teacher.roi_features, student.roi_features)
        if config.context:
            losses["context"] = feature_distance(teacher.context, student.context)
        if config.sequence:
            said = self._hypotheses(teacher, student_decoder)
            losses["sequence"] = sequence_loss(
                student_decoder, student.context, said, config.weighting, config.per
            )
        if config.logit:
            counts = student_decoder.counted_steps(student.logits, student.targets)
            losses["logit"] = logit_divergence(teacher.logits, student.logits, counts, config.temperature)
        return {name: getattr(config, name) * loss for name, loss in losses.items()}

    def _hypotheses(self, teacher: RecognitionTrace, decoder: SequenceDecoder) -> Hypotheses:
        if teacher.hypotheses is None:
            return decoder.beam_search(teacher.context.detach(), self.config.k)
        said, k = teacher.hypotheses, self.config.k
        return Hypotheses(said.tokens[:, :k], said.lengths[:, :k], said.log_probs[:, :k])

    def _check(self, teacher: RecognitionTrace, student: RecognitionTrace) -> None:
        """Rows must line up, and what is compared element by element must have one shape."""
        if len(teacher.targets) != len(student.targets):
            raise ConfigError(
                f"the teacher's trace has {len(teacher.targets)} rows and the student's "
                f"{len(student.targets)}; both must read the same words, so give both spotters the same "
                "charset and max_length"
            )
        for term, field in (("roi_features", "roi_features"), ("context", "context"), ("logit", "logits")):
            one, other = (tuple(getattr(trace, field).shape[1:]) for trace in (teacher, student))
            if len(teacher.targets) and getattr(self.config, term) and one != other:
                raise ConfigError(
                    f"the teacher's {field} have the shape {one} per word and the student's {other}, so "
                    f"'{term}' cannot compare them; give both spotters the same options, or set "
                    f"'distiller_options: {{{term}: 0}}' and keep the terms that compare readings"
                )
