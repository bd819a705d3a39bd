"""FLOPs of the Mask R-CNN spotter.

What depends on the image is taken at its nominal size: every proposal slot is filled.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torchvision.ops import roi_align

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.heads import MASK_SIZE
from dld_backends.maskrcnn.network import Network
from dld_backends.recognition.cost import ReadingCost
from dld_core.evaluation.cost import count, flops_of


@lru_cache(maxsize=16)
@torch.no_grad()
def spotter_cost(config: MaskRCNNConfig) -> ReadingCost:
    """What the spotter of these options costs."""
    network = _network(config)

    @torch.no_grad()
    def image(height: int, width: int) -> tuple[float, float]:
        pixels = torch.empty(1, 3, height, width, dtype=torch.uint8, device="meta")
        (levels, maps), trunk = count(lambda: network.trunk(pixels))
        proposing = flops_of(lambda: network.rpn.head(list(levels.values())))
        boxes = flops_of(lambda: network.box_head.judge(_pool(levels["0"], config.proposals, 7)))
        return trunk.check().flops + proposing + boxes, network.reader.map_flops(maps)

    level = torch.empty(1, config.fpn_channels, 32, 32, device="meta")
    mask = flops_of(lambda: network.mask_head.layers(_pool(level, 1, MASK_SIZE // 2)))
    return ReadingCost(image, mask + network.reader.word_flops(), strides=(32, 64))


@torch.no_grad()
def pyramid_flops(config: MaskRCNNConfig, height: int, width: int) -> float:
    """Backbone, feature pyramid and RPN head alone: what the paper's published figures hold."""
    network = _network(config)
    normal = torch.empty(1, 3, height, width, device="meta")
    return flops_of(lambda: network.rpn.head(list(network.trunk.pyramid(normal).values())))


def _network(config: MaskRCNNConfig) -> Network:
    with torch.device("meta"):
        return Network(config).eval()


def _pool(level: Tensor, regions: int, size: int) -> Tensor:
    pooled: Tensor = roi_align(level, torch.empty(regions, 5, device="meta"), size, 0.25, 2)
    return pooled
