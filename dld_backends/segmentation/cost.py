"""FLOPs of reading one image, counted on the meta device: nothing is computed, nothing guessed by hand."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import torch

from dld_backends.recognition.cost import flops_of
from dld_backends.segmentation.config import SegmentationConfig
from dld_core.evaluation.cost import SizedCost

if TYPE_CHECKING:
    from dld_backends.segmentation.spotter import SegmentationSpotter


def page_flops(config: SegmentationConfig, height: int, width: int, words: int) -> float:
    """FLOPs (a multiply-add counts 2) of one padded image of height x width holding so many words."""
    fixed, first_word = _sized_cost(config).at(height, width)
    return fixed + (first_word + words * _word_flops(config) if words else 0.0)


@lru_cache(maxsize=4)
def meta_spotter(config: SegmentationConfig) -> SegmentationSpotter:
    """The same network without memory."""
    from dld_backends.segmentation.spotter import SegmentationSpotter

    with torch.device("meta"):
        return SegmentationSpotter(config).eval()


@lru_cache(maxsize=16)
def _sized_cost(config: SegmentationConfig) -> SizedCost:
    return SizedCost(partial(image_flops, config))


@torch.no_grad()
def image_flops(config: SegmentationConfig, height: int, width: int) -> tuple[float, float]:
    """What every image costs, and what the first word adds (the recogniser's map); counted now."""
    spotter = meta_spotter(config)
    image = torch.empty(1, 3, height, width, dtype=torch.uint8, device="meta")
    maps = spotter.trunk(image)
    fixed = flops_of(lambda: spotter.trunk(image)) + flops_of(lambda: spotter.head.probability(maps.fine))
    return fixed, spotter.reader.map_flops(maps)


@lru_cache(maxsize=16)
def _word_flops(config: SegmentationConfig) -> float:
    return meta_spotter(config).reader.word_flops()
