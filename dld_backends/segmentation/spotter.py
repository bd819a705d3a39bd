"""The segmentation text spotter, end to end: a map of text, regions, text along each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.spotter import ReadingSpotter
from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.cost import spotter_cost
from dld_backends.segmentation.losses import binarization_losses
from dld_backends.segmentation.network import Network
from dld_backends.segmentation.onnx_spotter import OnnxSpotter
from dld_backends.segmentation.pages import find_words
from dld_core.decoders.targets import draw_targets
from dld_core.types import Batch, DenseMap, TrainOutput, Word


class SegmentationSpotter(ReadingSpotter):
    """Bottom-up spotter: differentiable binarisation (arXiv 1911.08947) and a CTC recogniser.

    Args:
        config: a SegmentationConfig or nothing for the preset "small".
    """

    name = "segmentation"
    weights_folder = Path(__file__).parent / "weights"
    config_type: ClassVar[type[SegmentationConfig]] = SegmentationConfig
    config: SegmentationConfig

    def __init__(self, config: SegmentationConfig | None = None) -> None:
        config = config or SegmentationConfig.parse({})
        super().__init__(config)
        network = Network(config)
        self.trunk, self.head, self.reader = network.trunk, network.head, network.reader

    @classmethod
    def create(cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any) -> Any:
        """Build one in eval mode; an OnnxSpotter where the weights are a file that `dld export` wrote."""
        if weights is not None and Path(weights).suffix == ".onnx":
            return OnnxSpotter.create(weights, device, **options)
        return super().create(weights, device, **options)

    def export(self, file: Path, calibration: Sequence[NDArray[np.uint8]] | None = None) -> list[Path]:
        """Write it as ONNX; see `dld_core.interfaces.Exportable`."""
        from dld_backends.segmentation.export import export  # needs onnx, which is optional

        return export(self.state_dict(), self.config, file, calibration)

    def reading_maps(self, images: Tensor) -> ReadingMaps:
        """The map that head and recogniser share, and the recogniser's own finer one."""
        maps: ReadingMaps = self.trunk(images)
        return maps

    def forward_train(self, batch: Batch) -> TrainOutput:
        """Losses: probability, threshold, binary (weighted as in `losses.WEIGHTS`) and recognition."""
        images, _ = self.stack(batch.images)
        maps = self.reading_maps(images)
        seen = self.head(maps.fine)
        losses = binarization_losses(seen, self._targets(batch, images), self.config.sharpness)
        reading = self.read_regions(maps, batch)
        return TrainOutput({**losses, **reading.losses}, reading.trace, self._shown(seen.text))

    def teacher_outputs(self, batch: Batch) -> TrainOutput:
        """The trace of the true regions and the text map, from one pass of the trunk."""
        maps = self.reading_maps(self.stack(batch.images)[0])
        text = self.head.text(maps.fine).squeeze(1).float()
        return TrainOutput({}, self.trace(maps, batch), self._shown(text))

    def _shown(self, text: Tensor) -> dict[str, DenseMap]:
        """The logits of text, for a student or teacher at another resolution.

        Not the threshold map: its slopes are as wide as the shrink distance in pixels, so at another scale
        they are another picture.
        """
        return {"text": DenseMap(text, self.config.map_stride)}

    def _targets(self, batch: Batch, images: Tensor) -> list[Tensor]:
        """Text, care, threshold and near, each [B, H/s, W/s] on the device of the images."""
        config, size = self.config, (images.shape[2], images.shape[3])
        drawn = [
            draw_targets(
                [polygon.cpu().numpy() for polygon in polygons],
                ignore.tolist(),
                size,
                config.map_stride,
                config.shrink_ratio,
                config.min_side,
            )
            for polygons, ignore in zip(batch.polygons, batch.ignore, strict=True)
        ]
        return [torch.from_numpy(np.stack(kind)).to(images.device) for kind in zip(*drawn, strict=True)]

    def flops(self, height: int, width: int, words: int = 0) -> float:
        """FLOPs of one image, everything included (see `cost`); a multiply-add counts 2."""
        return spotter_cost(self.config).at(height, width, words)

    @torch.no_grad()
    def predict_group(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], shown: Sequence[Tensor]
    ) -> list[list[Word]]:
        """The map, its regions, and the reading of every region."""
        maps = self.reading_maps(images).showing(shown, sizes)
        text = self.head.probability(maps.fine).cpu().numpy()
        reads = [partial(self.reader.read, maps.of_image(index)) for index in range(len(sizes))]
        return [find_words(*page, self.config) for page in zip(text, sizes, reads, strict=True)]
