"""The selector inside the distillation loop, as the paper trains it: accuracy is a KL to the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_core.interfaces import ResolutionSelector, SequenceDecoder, TrainableSpotter
from dld_core.selection.forecast import NOMINAL_WORDS
from dld_core.selection.thumbnail import thumbnail_size
from dld_core.training.selector.config import JointConfig
from dld_core.training.selector.losses import decision_loss, divergence, temperature_at
from dld_core.types import RecognitionTrace

_MOST_LOST = 20.0  # nats per character, of a reading that the student cannot give


class JointSelection(nn.Module):
    """Losses of a selector that learns with the student.

    Args:
        selector: learns; its scales must hold those that the loop reads.
        student: whose costs count, and whose decoder knows which steps say something.
        config: see JointConfig.

    Attributes:
        compares_logits: whether the logits of teacher and student are about the same tokens. Where they are
            not, accuracy is the student's log-likelihood of the teacher's best reading instead.
    """

    _decoder: SequenceDecoder

    def __init__(self, selector: ResolutionSelector, student: TrainableSpotter, config: JointConfig) -> None:
        super().__init__()
        self.selector = selector
        self.config = config
        self.compares_logits = True
        self._flops = student.flops
        # Not a submodule: what the decoder learns is not for this module to save.
        object.__setattr__(self, "_decoder", student.decoder)

    def forward(
        self,
        teacher: RecognitionTrace,
        students: Mapping[float, RecognitionTrace],
        images: Sequence[Tensor],
        progress: float,
    ) -> dict[str, Tensor]:
        """`selection`: what the decisions of this batch cost, over the scales that were read.

        Args:
            teacher: its trace.
            students: the student's traces by scale.
            images: the teacher's views, uint8 [3, H, W] of one size: crops at full scale.
            progress: share in [0, 1] of the run that is done, for the temperature.
        """
        height, width = images[0].shape[1:]
        costs = self._costs(height, width, list(students)).to(images[0].device)
        columns = [self.selector.scales.index(scale) for scale in students]
        expected = self._expected(torch.stack(list(images)))[:, columns]
        lost = [self._lost(teacher, student, len(images)) for student in students.values()]
        loss = decision_loss(
            -self.config.sharpness * (expected + self.config.gamma * costs),
            torch.stack(lost, 1).detach(),
            costs,
            self.config.gamma,
            self.config.mode,
            temperature_at(progress),
        )
        return {"selection": self.config.weight * loss}

    def _expected(self, images: Tensor) -> Tensor:
        """[B, K] of crops: they are what a whole image of their size would be, were that the reference."""
        height, width = images.shape[2:]
        size = thumbnail_size(height, width, self.selector.config.long_side)
        pixels = F.interpolate(images.float() / 255, size, mode="bicubic", antialias=True).clamp(0, 1)
        native = torch.tensor([[height, width]], device=images.device).expand(len(images), -1)
        own = self.selector.reference_short_side
        self.selector.reference_short_side = float(min(height, width))
        try:
            expected: Tensor = self.selector(pixels, native)
        finally:
            self.selector.reference_short_side = own
        return expected

    def _lost(self, teacher: RecognitionTrace, student: RecognitionTrace, images: int) -> Tensor:
        """[B] the accuracy term of one scale."""
        if self.compares_logits and teacher.logits.shape == student.logits.shape:
            counts = self._decoder.counted_steps(student.logits, student.targets)
            by_word = divergence(teacher.logits, student.logits, counts)
        else:
            assert teacher.hypotheses is not None  # the loop gives them where there is a selection
            best = teacher.hypotheses
            said = self._decoder.log_prob(student.context, best.tokens[:, 0])
            by_word = (-said / best.lengths[:, 0].clamp(min=1)).clamp(0, _MOST_LOST).float()
        sums = by_word.new_zeros(images).index_add(0, teacher.sample_index, by_word)
        if self.config.per == "image":
            return sums
        return sums / torch.bincount(teacher.sample_index, minlength=images).clamp(min=1)

    def _costs(self, height: int, width: int, scales: Sequence[float]) -> Tensor:
        """[1, K] of the student at each scale, as a share of the largest candidate's."""
        full = self._cost(height, width, max(self.selector.scales))
        return torch.tensor([[self._cost(height, width, scale) / full for scale in scales]])

    def _cost(self, height: int, width: int, scale: float) -> float:
        size = max(1, round(height * scale)), max(1, round(width * scale))
        flops = self._flops(*size, NOMINAL_WORDS)
        return float(size[0] * size[1]) if flops is None else flops
