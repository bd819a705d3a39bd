"""FLOPs of the segmentation spotter, in torch and exported alike."""

from __future__ import annotations

from functools import lru_cache

import torch

from dld_backends.recognition.cost import ReadingCost
from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.network import Network
from dld_core.evaluation.cost import count, flops_of


@lru_cache(maxsize=16)
def spotter_cost(config: SegmentationConfig) -> ReadingCost:
    """What the spotter of these options costs."""
    with torch.device("meta"):
        network = Network(config).eval()

    @torch.no_grad()
    def image(height: int, width: int) -> tuple[float, float]:
        pixels = torch.empty(1, 3, height, width, dtype=torch.uint8, device="meta")
        maps, trunk = count(lambda: network.trunk(pixels))
        head = flops_of(lambda: network.head.probability(maps.fine))
        return trunk.check().flops + head, network.reader.map_flops(maps)

    return ReadingCost(image, network.reader.word_flops())
