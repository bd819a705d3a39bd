# A selector with a network and a loss of its own, and a distiller that compares directions.
import torch
from torch.nn.functional import cosine_similarity, softplus

from dld_core import Distiller, ResolutionSelector
from dld_core.interfaces import SelectorConfig


class EdgeConfig(SelectorConfig):
    width: int = 8  # channels


class EdgeSelector(ResolutionSelector):
    config_type, loss_weights = EdgeConfig, {"off": 2.0}

    def __init__(self, config=None):
        super().__init__(config or EdgeConfig())
        self.edges = torch.nn.Conv2d(3, self.config.width, 5, stride=4)
        self.lost = torch.nn.Linear(self.config.width + 1, len(self.scales))

    def forward(self, thumbnails, native_sizes):
        strength = self.edges(thumbnails).abs().mean((2, 3))
        height = native_sizes.to(strength.dtype).amin(1, keepdim=True).log2() / 10
        return softplus(self.lost(torch.cat([strength, height], 1)))

    def training_loss(self, batch, progress=0.0):
        return {"off": (self(batch.thumbnails, batch.native_sizes) - batch.losses).abs().mean()}


class CosineDistiller(Distiller):
    zero_when_equal = frozenset({"direction"})

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = weight

    def forward(self, teacher, student, student_decoder):
        apart = 1 - cosine_similarity(student.context, teacher.context.detach(), dim=-1)
        return {"direction": self.weight * apart.clamp(min=0).sum() / max(apart.numel(), 1)}
