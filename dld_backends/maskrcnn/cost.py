"""FLOPs of reading one image, counted on the meta device: nothing is computed, nothing guessed by hand.

The parts that depend on the image are taken at their nominal size: every proposal slot is filled.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.ops import roi_align

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.heads import MASK_SIZE
from dld_backends.recognition.cost import flops_of
from dld_core.evaluation.cost import SizedCost

if TYPE_CHECKING:
    from dld_backends.maskrcnn.spotter import MaskRCNNSpotter


def page_flops(config: MaskRCNNConfig, height: int, width: int, words: int) -> float:
    """FLOPs (a multiply-add counts 2) of one padded image of height x width holding so many words."""
    fixed, first_word = _sized_cost(config).at(height, width)
    return fixed + (first_word + words * _word_flops(config) if words else 0.0)


@lru_cache(maxsize=4)
def meta_spotter(config: MaskRCNNConfig) -> MaskRCNNSpotter:
    """The same network without memory."""
    from dld_backends.maskrcnn.spotter import MaskRCNNSpotter

    with torch.device("meta"):
        return MaskRCNNSpotter(config).eval()


@torch.no_grad()
def pyramid_flops(config: MaskRCNNConfig, height: int, width: int) -> float:
    """Backbone, feature pyramid and RPN head alone: what the paper's published figures hold."""
    spotter = meta_spotter(config)
    normal = torch.empty(1, 3, height, width, device="meta")
    return flops_of(lambda: spotter.rpn.head(list(spotter.trunk.pyramid(normal).values())))


@lru_cache(maxsize=16)
def _sized_cost(config: MaskRCNNConfig) -> SizedCost:
    return SizedCost(partial(image_flops, config), strides=(32, 64))


@torch.no_grad()
def image_flops(config: MaskRCNNConfig, height: int, width: int) -> tuple[float, float]:
    """What every image costs, and what the first word adds (the recogniser's map); counted now."""
    spotter = meta_spotter(config)
    image = torch.empty(1, 3, height, width, dtype=torch.uint8, device="meta")
    levels, maps = spotter.trunk(image)
    trunk = flops_of(lambda: spotter.trunk(image))
    rpn = flops_of(lambda: spotter.rpn.head(list(levels.values())))
    boxes = flops_of(lambda: _box_head(spotter, levels["0"], config.proposals))
    return trunk + rpn + boxes, spotter.reader.map_flops(maps)


def _box_head(spotter: MaskRCNNSpotter, level: Tensor, boxes: int) -> None:
    pooled = _pool(level, boxes, 7)
    hidden = spotter.box_head.layers(pooled)
    spotter.box_head.score(hidden)
    spotter.box_head.deltas(hidden)


def _pool(level: Tensor, regions: int, size: int) -> Tensor:
    pooled: Tensor = roi_align(level, torch.empty(regions, 5, device="meta"), size, 0.25, 2)
    return pooled


@lru_cache(maxsize=16)
@torch.no_grad()
def _word_flops(config: MaskRCNNConfig) -> float:
    """Mask and reading of one word."""
    spotter = meta_spotter(config)
    level = torch.empty(1, config.fpn_channels, 32, 32, device="meta")
    mask = flops_of(lambda: spotter.mask_head.layers(_pool(level, 1, MASK_SIZE // 2)))
    return mask + spotter.reader.word_flops()
