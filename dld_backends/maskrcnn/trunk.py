"""Backbone and feature pyramid, and the stride-4 map that the recogniser reads."""

from __future__ import annotations

from collections import OrderedDict

import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.recognition.encoder import conv_norm_relu

LEVELS = ("0", "1", "2", "3")
"""Names of the pyramid levels at strides 4, 8, 16 and 32; "pool" (stride 64) is for proposals alone."""


class Trunk(nn.Module):
    """Normalised images [B, 3, H, W] to pyramid levels and, with a detail stem, a fine stride-4 map."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(config.pixel_mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(config.pixel_std).view(3, 1, 1) * 255, persistent=False)
        body = timm.create_model(
            config.backbone, pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
        )
        channels: list[int] = body.feature_info.channels()  # type: ignore[operator, union-attr]
        self.body = fold_norms(body) if config.folded_norm else body
        self.fpn = FeaturePyramidNetwork(channels, config.fpn_channels, extra_blocks=LastLevelMaxPool())
        self.detail = _detail_stem(config.detail_channels)

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 RGB to floats as the backbone was trained on."""
        normal: Tensor = (images.to(self.mean.dtype) - self.mean) / self.std
        return normal

    def pyramid(self, normal: Tensor) -> OrderedDict[str, Tensor]:
        """The five pyramid levels of normalised images (sides multiples of 32)."""
        stages = self.body(normal)
        levels: OrderedDict[str, Tensor] = self.fpn(OrderedDict(zip(LEVELS, stages, strict=True)))
        return levels

    def forward(self, images: Tensor) -> tuple[OrderedDict[str, Tensor], Tensor]:
        """uint8 images to (pyramid levels, [B, C, H/4, W/4] input of the recogniser)."""
        normal = self.normalize(images).contiguous(memory_format=torch.channels_last)
        levels = self.pyramid(normal)
        fine = levels["0"]
        if self.detail is not None:
            fine = torch.cat([fine, self.detail(normal)], 1)
        return levels, fine


def _detail_stem(channels: tuple[int, int] | None) -> nn.Sequential | None:
    if channels is None:
        return None
    return nn.Sequential(
        conv_norm_relu(3, channels[0], stride=2), conv_norm_relu(channels[0], channels[1], stride=2)
    )


def fold_norms(body: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution before it, in place.

    The norms become fixed affine maps: the same at every resolution and batch, nothing for training to
    disturb, and a third of the trunk's training time saved. Expects each norm to follow its convolution in
    order of registration, as in timm's EfficientNets.
    """
    last: nn.Conv2d | None = None
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                last = child
            elif isinstance(child, nn.BatchNorm2d) and last is not None:
                assert child.running_mean is not None
                assert child.running_var is not None
                last.weight, last.bias = fuse_conv_bn_weights(
                    last.weight,
                    last.bias,
                    child.running_mean,
                    child.running_var,
                    child.eps,
                    child.weight,
                    child.bias,
                )
                setattr(parent, name, getattr(child, "act", nn.Identity()))
                last = None
    return body
