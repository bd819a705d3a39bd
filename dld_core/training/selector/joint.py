"""The selector inside the distillation loop, as the paper trains it: accuracy is a KL to the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dld_core.config import PartConfig
from dld_core.interfaces import SequenceDecoder, TrainableSpotter
from dld_core.selection.forecast import NOMINAL_WORDS
from dld_core.selection.network import DenseSelector
from dld_core.selection.thumbnail import thumbnail_size
from dld_core.training.selector.losses import Mode, decision_loss, divergence, temperature_at
from dld_core.types import RecognitionTrace


class JointConfig(PartConfig):
    """The selector's part in the loop.

    Attributes:
        mode: "paper" (Gumbel-softmax decisions) or "expected".
        gamma: weight of cost (the paper's: 0.1 and 0.3).
        weight: of this loss among the others.
        per: what the divergence is counted by: "word" (mean, whatever their number) or "image" (sum).
        sharpness: of the softmax over scales.
    """

    mode: Mode = "paper"
    gamma: float = Field(default=0.1, ge=0)
    weight: float = Field(default=1.0, gt=0)
    per: Literal["word", "image"] = "image"
    sharpness: float = Field(default=3.0, gt=0)


class JointSelection(nn.Module):
    """Losses of a selector that learns with the student (`selection` of `dld_core.distillation.distill`).

    Args:
        selector: learns; its scales must hold those that the loop reads.
        spotter: whose costs count, and whose decoder knows which steps say something.
        config: see above.

    Attributes:
        progress: share in [0, 1] of the run that is done, for the temperature; the loop sets it.
    """

    _decoder: SequenceDecoder

    def __init__(self, selector: DenseSelector, spotter: TrainableSpotter, config: JointConfig) -> None:
        super().__init__()
        self.selector = selector
        self.config = config
        self.progress = 0.0
        self._flops = spotter.flops
        # Not a submodule: what the decoder learns is not for this module to save.
        object.__setattr__(self, "_decoder", spotter.decoder)

    def forward(
        self,
        teacher: RecognitionTrace,
        students: Mapping[float, RecognitionTrace],
        images: Sequence[Tensor],
        scales: Sequence[float],
    ) -> dict[str, Tensor]:
        """`selection`: what the decisions of this batch cost, over the scales that were read."""
        columns = [self.selector.scales.index(scale) for scale in scales]
        logits = torch.stack([self._scores(image)[columns] for image in images])
        lost = torch.stack([self._lost(teacher, students[scale], len(images)) for scale in scales], 1)
        costs = torch.stack([self._costs(image, scales) for image in images])
        loss = decision_loss(
            -self.config.sharpness * (logits + self.config.gamma * costs),
            lost.detach(),
            costs,
            self.config.gamma,
            self.config.mode,
            temperature_at(self.progress),
        )
        return {"selection": self.config.weight * loss}

    def _scores(self, image: Tensor) -> Tensor:
        """[K] of one view of the teacher's, which is a crop at full scale."""
        height, width = int(image.shape[1]), int(image.shape[2])
        size = thumbnail_size(height, width, self.selector.config.long_side)
        pixels = F.interpolate(image[None].float() / 255, size, mode="bicubic", antialias=True).clamp(0, 1)
        native = torch.tensor([[height, width]], device=image.device)
        return self.selector.maps(pixels, native, reference=min(height, width)).scores[0]

    def _lost(self, teacher: RecognitionTrace, student: RecognitionTrace, images: int) -> Tensor:
        """[B] the accuracy term of one scale."""
        counts = self._decoder.counted_steps(student.logits, student.targets)
        sums = divergence(teacher.logits, student.logits, counts, teacher.sample_index, images)
        if self.config.per == "image":
            return sums
        words = torch.bincount(teacher.sample_index, minlength=images).clamp(min=1)
        return sums / words

    def _costs(self, image: Tensor, scales: Sequence[float]) -> Tensor:
        """[K] of each scale, as a share of the largest candidate's."""
        height, width = int(image.shape[1]), int(image.shape[2])
        full = max(self.selector.scales)
        values = [self._cost(height * s, width * s) / self._cost(height * full, width * full) for s in scales]
        return torch.tensor(values, device=image.device)

    def _cost(self, height: float, width: float) -> float:
        size = max(1, round(height)), max(1, round(width))
        flops = self._flops(*size, NOMINAL_WORDS)
        return float(size[0] * size[1]) if flops is None else flops
