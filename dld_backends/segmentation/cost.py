"""FLOPs of the segmentation spotter, counted on a copy of its network without memory."""

from __future__ import annotations

from functools import lru_cache

import torch

from dld_backends.recognition.cost import ReadingCost, word_flops
from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.network import Network
from dld_core.evaluation.cost import count, flops_of


@lru_cache(maxsize=16)
def spotter_cost(config: SegmentationConfig) -> ReadingCost:
    """What the spotter of these options costs, in torch and exported alike."""
    with torch.device("meta"):
        network = Network(config).eval()

    @torch.no_grad()
    def image(height: int, width: int) -> tuple[float, float]:
        pixels = torch.empty(1, 3, height, width, dtype=torch.uint8, device="meta")
        (fine, _), trunk = count(lambda: network.trunk(pixels))
        head = flops_of(lambda: network.head.probability(fine))
        return trunk.check().flops + head, flops_of(lambda: network.reader.smooth(fine))

    return ReadingCost(image, word_flops(network.reader))
