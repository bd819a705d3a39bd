"""The segmentation spotter from the files of `dld export`: the networks in onnxruntime, the rest in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_backends.detection.images import rounded_up, same_size_groups
from dld_backends.recognition.words import Points, Reading, certainty
from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.cost import spotter_cost
from dld_backends.segmentation.onnx_file import OnnxPair, open_pair
from dld_backends.segmentation.pages import find_words
from dld_core.decoders.charset import PRINTABLE_ASCII, Charset
from dld_core.decoders.prefix_search import best_texts, spell
from dld_core.decoders.roi_sampling import region_grids
from dld_core.errors import ConfigError, WeightsError
from dld_core.interfaces import Spotter
from dld_core.types import Word

_FREE = frozenset(
    {
        *("map_threshold", "region_threshold", "unclip", "outline", "curve_points", "min_side"),
        *("beam_width", "word_threshold", "max_words", "reference_short_side", "predict_batch"),
        *("max_length", "sharpness", "region_jitter"),  # of training, without effect
    }
)
"""Options that may differ from those of the export; the others are in the graphs."""


class OnnxSpotter(Spotter):
    """Reads like the SegmentationSpotter that was exported. No torch function is called while it reads.

    Args:
        pair: both halves.
        config: options, those of the graphs as they were exported.
        device: what computes.
    """

    config_type = SegmentationConfig
    size_divisor = 32
    thread_safe = True

    def __init__(self, pair: OnnxPair, config: SegmentationConfig, device: str = "cpu") -> None:
        self.config = config
        self.device = device
        self.charset = PRINTABLE_ASCII if config.charset is None else config.charset
        self.reference_short_side = config.reference_short_side
        self._detector, self._reader = pair.detector, pair.reader
        self._characters = Charset(self.charset)

    @classmethod
    def create(cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any) -> Self:
        """Open NAME.onnx (and NAME.reader.onnx beside it) with as many threads as torch has now.

        Args:
            weights: NAME.onnx.
            device: see `open_pair`.
            options: changes to those that were exported, where the graphs do not depend on them.

        Raises:
            MissingExtraError, WeightsError: see `open_pair`.
            ConfigError: an option is wrong, or another one than was exported.
        """
        SegmentationConfig.parse(options, where="backend segmentation")
        if weights is None or not str(weights).endswith(".onnx"):
            raise WeightsError(
                f"an OnnxSpotter needs a file that `dld export` wrote, not weights={weights!r}"
            )
        pair = open_pair(Path(weights), device, torch.get_num_threads())
        on_gpu = pair.detector.get_providers()[0].startswith("CUDA")
        return cls(pair, _changed(pair.config, options), device if on_gpu else "cpu")

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """See `Spotter.predict`."""
        arrays = [image.numpy(force=True) for image in images]  # views, where the images are on the CPU
        words: list[list[Word]] = [[] for _ in images]
        limit = self.config.predict_batch or (1 if self.device == "cpu" else 8)
        for group in same_size_groups(arrays, limit):
            size = arrays[group[0]].shape[1:]
            probability, *maps = self._detector.run(None, {"images": self._stack([arrays[i] for i in group])})
            for row, index in enumerate(group):
                read = partial(self._read, *(own[row : row + 1] for own in maps))
                words[index] = find_words(probability[row], size, read, self.config)
        return words

    def _stack(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Images of one size, padded with zeros (right, bottom) to multiples of 32: [B, 3, H, W]."""
        height, width = images[0].shape[1:]
        sides = (rounded_up(side, self.size_divisor) for side in (height, width))
        stacked = np.zeros((len(images), 3, *sides), np.uint8)
        for image, place in zip(images, stacked, strict=True):
            place[:, :height, :width] = image
        return stacked

    def _read(
        self, shared: NDArray[np.float32], detail: NDArray[np.float32], polygons: Sequence[Points]
    ) -> list[Reading]:
        """Text and certainty of regions, from the maps of one image."""
        if not len(polygons):
            return []
        points = region_grids(polygons, *self.config.roi_size)[None]
        (log_probs,) = self._reader.run(None, {"shared": shared, "detail": detail, "points": points})
        best = best_texts(log_probs[0], 1, self.config.beam_width)
        texts = spell(best.tokens[:, 0].tolist(), self._characters)
        sure = map(certainty, best.log_probs[:, 0].tolist(), best.lengths[:, 0].tolist())
        return list(map(Reading, texts, sure))

    def flops(self, height: int, width: int, words: int = 0) -> float:
        """FLOPs of one image, everything included (see `cost`); a multiply-add counts 2, also in int8."""
        return spotter_cost(self.config).at(height, width, words)


def _changed(exported: SegmentationConfig, options: dict[str, Any]) -> SegmentationConfig:
    config = SegmentationConfig.parse({**exported.model_dump(), **options}, where="backend segmentation")
    for name in SegmentationConfig.model_fields.keys() - _FREE:
        if getattr(config, name) != getattr(exported, name):
            raise ConfigError(
                f"{name} is {getattr(exported, name)!r} in the exported file and cannot be changed to "
                f"{getattr(config, name)!r}; leave it out, or export the weights again with it"
            )
    return config
