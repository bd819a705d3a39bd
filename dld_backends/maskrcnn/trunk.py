"""Backbone and feature pyramid, and the stride-4 map that the recogniser reads."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from dld_backends.detection.backbone import NormalizedTrunk, detail_stem, feature_body
from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.recognition.maps import ReadingMaps

LEVELS = ("0", "1", "2", "3")
"""Names of the pyramid levels at strides 4, 8, 16 and 32; "pool" (stride 64) is for proposals alone."""


class Trunk(NormalizedTrunk):
    """Images [B, 3, H, W] to pyramid levels and, with a detail stem, a fine stride-4 map."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__(config.pixel_mean, config.pixel_std)
        self.body, channels = feature_body(config.backbone, config.folded_norm)
        self.fpn = FeaturePyramidNetwork(channels, config.fpn_channels, extra_blocks=LastLevelMaxPool())
        self.detail = detail_stem(config.detail_channels)

    def pyramid(self, normal: Tensor) -> OrderedDict[str, Tensor]:
        """The five pyramid levels of normalised images (sides multiples of 32)."""
        stages = self.body(normal)
        levels: OrderedDict[str, Tensor] = self.fpn(OrderedDict(zip(LEVELS, stages, strict=True)))
        return levels

    def forward(self, images: Tensor) -> tuple[OrderedDict[str, Tensor], ReadingMaps]:
        """uint8 images to (pyramid levels, input of the recogniser)."""
        normal = self.normalize(images)
        levels = self.pyramid(normal)
        fine = levels["0"]
        if self.detail is not None:
            fine = torch.cat([fine, self.detail(normal)], 1)
        return levels, ReadingMaps(fine)
