"""The network: a light feature pyramid, the differentiable binarisation head (arXiv 1911.08947), and
a recogniser."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_backends.detection.backbone import NormalizedTrunk, feature_body
from dld_backends.recognition.build import build_recogniser
from dld_backends.recognition.encoder import conv_norm_relu, separable_norm_relu
from dld_backends.recognition.maps import ReadingMaps
from dld_backends.segmentation.config import SegmentationConfig

PRIOR = 0.1
"""Probability of text that an untrained head gives, about the share of text in a photo."""


class LightTrunk(NormalizedTrunk):
    """uint8 images [B, 3, H, W] (sides multiples of 32) to the maps of head and recogniser.

    Top-down sums of the backbone's stages (feature pyramid, arXiv 1612.03144), each smoothed by a
    separable convolution; only the finest level goes on. The recogniser also sees the backbone's first
    stage, at stride 2: a word 8 pixels high is two rows of the shared map.
    """

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__(config.pixel_mean, config.pixel_std)
        self.body, (first, *stages) = feature_body(config.backbone, config.folded_norm, finest=2)
        width = config.pyramid_channels
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in stages)
        self.smooth = nn.ModuleList(separable_norm_relu(width, width) for _ in stages)
        self.detail = separable_norm_relu(first, config.detail_channels)

    def forward(self, images: Tensor) -> ReadingMaps:
        """The maps, float32 or as autocast has it."""
        shared, first = self.shared(images)
        return ReadingMaps(shared, self.detail(first))

    def shared(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The shared map, [B, C, H/4, W/4], and the backbone's first stage, [B, D, H/2, W/2]."""
        first, *stages = self.body(self.normalize(images))
        level: Tensor | None = None
        for stage, lateral, smooth in reversed(list(zip(stages, self.lateral, self.smooth, strict=True))):
            own = lateral(stage)
            level = smooth(own if level is None else own + F.interpolate(level, scale_factor=2.0))
        assert level is not None
        return level, first


class Maps(NamedTuple):
    """Logits of a batch, each float32 [B, H/s, W/s] at the map stride s."""

    text: Tensor
    threshold: Tensor

    def binary(self, sharpness: float) -> Tensor:
        """The approximate binary map, 1 / (1 + exp(-k (P - T))) (equation 2)."""
        return torch.sigmoid(sharpness * (self.text.sigmoid() - self.threshold.sigmoid()))


class BinarizationHead(nn.Module):
    """Two branches on the shared map: where text is, and the threshold that separates touching words."""

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.text = _branch(config.pyramid_channels, config.head_channels, config.map_stride)
        self.threshold = _branch(config.pyramid_channels, config.head_channels, config.map_stride)
        final = self.text[-1]
        assert final.bias is not None
        nn.init.constant_(final.bias, math.log(PRIOR / (1 - PRIOR)))  # type: ignore[arg-type]

    def forward(self, fine: Tensor) -> Maps:
        """Both maps, for training."""
        return Maps(self.text(fine).squeeze(1).float(), self.threshold(fine).squeeze(1).float())

    def probability(self, fine: Tensor) -> Tensor:
        """Text probability alone, [B, H/s, W/s] in [0, 1], for inference."""
        probability: Tensor = self.text(fine).squeeze(1).float().sigmoid()
        return probability


def _branch(inputs: int, width: int, stride: int) -> nn.Sequential:
    """From stride 4 to one channel at the map stride, one doubling of the resolution at a time."""
    doubled = [
        nn.ConvTranspose2d(width, width, 2, 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    final = nn.Conv2d(width, 1, 3, padding=1) if stride == 2 else nn.ConvTranspose2d(width, 1, 2, 2)
    return nn.Sequential(conv_norm_relu(inputs, width), *doubled, final)


class Network(nn.Module):
    """Trunk, head and recogniser."""

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.trunk = LightTrunk(config)
        self.head = BinarizationHead(config)
        self.reader = build_recogniser(
            config, config.pyramid_channels, config.detail_channels, separable=True
        )
