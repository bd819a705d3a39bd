"""From the text map of an image to its words, whatever computed the map and reads. Free of torch."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dld_backends.recognition.words import Read, read_words
from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.regions import RegionOptions, find_regions
from dld_core.types import Word


def find_words(
    probability: NDArray[np.float32], size: tuple[int, int], read: Read, config: SegmentationConfig
) -> list[Word]:
    """The words of one image.

    Args:
        probability: of text, [H/s, W/s] of the padded image at the map stride s.
        size: height and width of the image itself, pixels.
        read: reads regions of this image.
    """
    stride = config.map_stride
    own = probability[: -(-size[0] // stride), : -(-size[1] // stride)]  # without the padding
    polygons, scores = find_regions(own, region_options(config))
    return read_words(read, polygons, scores, size, config.word_threshold)


@lru_cache(maxsize=16)
def region_options(config: SegmentationConfig) -> RegionOptions:
    """What of a config concerns regions."""
    return RegionOptions(**{field.name: getattr(config, field.name) for field in fields(RegionOptions)})
