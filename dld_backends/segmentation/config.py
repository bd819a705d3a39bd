"""Options of the segmentation spotter. A preset fills what is not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from dld_backends.recognition.config import ReadingConfig

# For small machines: finding words costs a third of what the Mask R-CNN spotter's `small` takes.
SMALL: Mapping[str, Any] = {
    "recogniser": "bridge",
    "backbone": "mobilenetv4_conv_small",
    "folded_norm": False,
    "pixel_mean": (0.485, 0.456, 0.406),
    "pixel_std": (0.229, 0.224, 0.225),
    "pyramid_channels": 64,
    "head_channels": 16,
    "detail_channels": 24,
    "recognition_channels": 72,
    "encoder_channels": (96, 128, 160),
    "lstm_hidden": 128,
    "lstm_layers": 1,
    "reference_short_side": 720,
    # Chosen on photos held out from the training photos, for the bundled weights.
    "map_threshold": 0.5,
    "region_threshold": 0.3,
    "unclip": 1.5,
    "word_threshold": 0.5,
}

# Half the channels of the backbone, for phones and for trying things out.
TINY: Mapping[str, Any] = {
    **SMALL,
    "recogniser": "ctc",
    "backbone": "mobilenetv4_conv_small_050",
    "pyramid_channels": 32,
    "head_channels": 12,
    "detail_channels": 16,
    "recognition_channels": 48,
    "encoder_channels": (64, 96, 128),
    "lstm_hidden": 96,
}


class SegmentationConfig(ReadingConfig):
    """Options of the spotter; every field may be overridden on top of the preset.

    Attributes:
        preset: "small" or "tiny".
        pyramid_channels: of the stride-4 map that detection and recognition share.
        detail_channels: of the stride-2 map that the recogniser reads beside it, for words of few pixels.
        head_channels: inside each branch of the binarisation head.
        map_stride: image pixels per position of the probability and threshold maps.
        shrink_ratio: r of the shrunken regions that the probability map shows: a word's outline moves
            inwards by area * (1 - r^2) / perimeter.
        sharpness: k of the approximate binary map.
        map_threshold: a position of the probability map above this is text.
        region_threshold: regions whose mean probability lies below this are dropped.
        unclip: by how much regions grow back, as a multiple of what undoes the shrinking exactly.
        outline: "curved" follows bent words with `curve_points` on each long side and takes the smallest
            rectangle for the others; "boxes" takes the rectangle always.
        curve_points: see above.
        min_side: words narrower than this many pixels are not taught and not returned.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": SMALL, "tiny": TINY}

    preset: Literal["small", "tiny"] = "small"
    roi_size: tuple[Literal[8], int] = (8, 36)
    pyramid_channels: int = Field(ge=8)
    detail_channels: int = Field(ge=4)
    head_channels: int = Field(ge=4)
    map_stride: Literal[1, 2] = 1
    shrink_ratio: float = Field(0.4, gt=0, lt=1)
    sharpness: float = Field(50.0, gt=0)
    map_threshold: float = Field(0.3, gt=0, lt=1)
    region_threshold: float = Field(0.5, ge=0, lt=1)
    unclip: float = Field(1.0, ge=0, le=3)
    outline: Literal["curved", "boxes"] = "curved"
    curve_points: int = Field(7, ge=2, le=32)
    min_side: float = Field(3.0, ge=0)
