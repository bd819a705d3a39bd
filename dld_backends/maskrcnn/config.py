"""Options of the Mask R-CNN spotter. A preset fills what is not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from dld_backends.recognition.config import ReadingConfig

# The anchors, heads and recogniser of the paper (ECCV 2022, section 4.1 and the authors' config).
PAPER: Mapping[str, Any] = {
    "recogniser": "attention",
    "backbone": "resnet50",
    "folded_norm": False,
    "pixel_mean": (0.485, 0.456, 0.406),
    "pixel_std": (0.229, 0.224, 0.225),
    "detail_channels": None,
    "fpn_channels": 256,
    "anchor_scale": 8.0,
    "box_features": 1024,
    "box_samples": 256,
    "mask_channels": (256, 256, 256, 256),
    "proposals": 1000,
    "recognition_channels": 256,
    "encoder_channels": (256, 256, 256),
    "lstm_hidden": 256,
    "lstm_layers": 2,
    "ctc_weight": 0.0,
    "decoder_hidden": 320,
    "reference_short_side": 1280,
}

# About a tenth of the cost, for two CPU cores: an ImageNet-pretrained mobile trunk whose first stages and
# norms stay frozen, thin pyramid and heads, smaller anchors, and a shallow stem that keeps fine strokes.
SMALL: Mapping[str, Any] = {
    "recogniser": "bridge",
    "backbone": "tf_efficientnet_lite0",
    "folded_norm": True,
    "pixel_mean": (0.5, 0.5, 0.5),
    "pixel_std": (0.5, 0.5, 0.5),
    "detail_channels": (24, 48),
    "fpn_channels": 64,
    "anchor_scale": 4.0,
    "box_features": 256,
    "box_samples": 64,
    "mask_channels": (64, 64),
    "proposals": 300,
    "recognition_channels": 96,
    "encoder_channels": (96, 128, 160),
    "lstm_hidden": 128,
    "lstm_layers": 1,
    "word_threshold": 0.6,
    "reference_short_side": 720,
}


class MaskRCNNConfig(ReadingConfig):
    """Options of the spotter; every field may be overridden on top of the preset.

    Attributes:
        preset: "small" (bundled weights) or "paper" (ResNet-50, FPN-256).
        detail_channels: channels at stride 2 and 4 of the stem that feeds fine detail to the recogniser,
            or None for the pyramid alone (paper).
        fpn_channels: channels of the feature pyramid.
        anchor_scale: anchor side at stride s is this times s.
        anchor_ratios: height / width of the anchors.
        box_features, box_samples: width of the box head; regions sampled per training image.
        mask_channels: convolutions of the mask head.
        proposals: regions kept after non-maximum suppression.
        detection_threshold: boxes below this score are dropped.
        nms_threshold: IoU above which the weaker of two boxes is dropped.
        fragment_threshold: the weaker of two words is dropped where they share more than this fraction of
            the smaller one's area.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": PAPER, "small": SMALL}

    preset: Literal["small", "paper"] = "small"
    detail_channels: tuple[int, int] | None
    fpn_channels: int = Field(ge=8)
    anchor_scale: float = Field(gt=0)
    anchor_ratios: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
    box_features: int = Field(ge=8)
    box_samples: int = Field(ge=4)
    mask_channels: tuple[int, ...]
    proposals: int = Field(ge=1)
    detection_threshold: float = Field(0.5, ge=0, le=1)
    nms_threshold: float = Field(0.5, gt=0, lt=1)
    fragment_threshold: float = Field(0.6, gt=0, le=1)
