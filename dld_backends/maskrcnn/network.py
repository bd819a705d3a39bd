"""The parts of the Mask R-CNN text spotter, built from its options."""

from __future__ import annotations

from torch import nn

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.heads import BoxHead, MaskHead
from dld_backends.maskrcnn.proposals import build_rpn
from dld_backends.maskrcnn.trunk import Trunk
from dld_backends.recognition.build import build_recogniser


class Network(nn.Module):
    """Trunk, proposals, box and mask heads, and the recogniser."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        self.rpn = build_rpn(config)
        self.box_head = BoxHead(config)
        self.mask_head = MaskHead(config)
        stem = config.detail_channels[1] if config.detail_channels else 0
        self.reader = build_recogniser(config, config.fpn_channels + stem)
