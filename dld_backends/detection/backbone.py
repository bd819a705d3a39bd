"""What the trunks share: normalised pixels, timm features, a stem for fine detail."""

from __future__ import annotations

from typing import Literal

import timm
import torch
from torch import Tensor, nn

from dld_backends.recognition.encoder import conv_norm_relu
from dld_core.runtimes.folding import fold_norms

Triple = tuple[float, float, float]


class NormalizedTrunk(nn.Module):
    """Base of a trunk that takes uint8 RGB and normalises it as its backbone was trained.

    Args:
        pixel_mean, pixel_std: of RGB in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, pixel_mean: Triple, pixel_std: Triple) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(pixel_mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(pixel_std).view(3, 1, 1) * 255, persistent=False)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 RGB [B, 3, H, W] to floats as the backbone was trained on, channels last."""
        normal: Tensor = (images.to(self.mean.dtype) - self.mean) / self.std
        return normal.contiguous(memory_format=torch.channels_last)


def feature_body(name: str, folded: bool, finest: Literal[2, 4] = 4) -> tuple[nn.Module, list[int]]:
    """A timm model as the maps of its stages at strides 4, 8, 16 and 32, and their channels.

    Args:
        name: of a timm model; its weights are random.
        folded: fold its batch norms into its convolutions (see `fold_norms`).
        finest: 2 gives the stage at stride 2 as well, first.
    """
    stages = (0, 1, 2, 3, 4) if finest == 2 else (1, 2, 3, 4)
    body = timm.create_model(name, pretrained=False, features_only=True, out_indices=stages)
    channels: list[int] = body.feature_info.channels()  # type: ignore[operator, union-attr]
    return (fold_norms(body) if folded else body), channels


def detail_stem(channels: tuple[int, int] | None) -> nn.Sequential | None:
    """Two convolutions from pixels to stride 4, with these channels at strides 2 and 4; None for none."""
    if channels is None:
        return None
    return nn.Sequential(
        conv_norm_relu(3, channels[0], stride=2), conv_norm_relu(channels[0], channels[1], stride=2)
    )
