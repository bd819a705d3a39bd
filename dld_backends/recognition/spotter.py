"""What every spotter with a recognition branch shares: making, reading true regions, and batching."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from dld_backends.detection.images import same_size_groups, stack_images
from dld_backends.recognition.branch import RecognitionBranch
from dld_backends.recognition.config import ReadingConfig
from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.weights import load_weights
from dld_core.decoders.words import readable_words
from dld_core.interfaces import BundledPart, SequenceDecoder, TrainableSpotter, module_device
from dld_core.pipeline.parts import bundled_part_file
from dld_core.runtimes.folding import FoldedCopy
from dld_core.types import Batch, RecognitionTrace, TrainOutput, Word


class ReadingSpotter(TrainableSpotter):
    """Base of a spotter whose `reader` reads regions of shared maps.

    A subclass sets `reader`, and writes `reading_maps`, `predict_group` and `forward_train`.

    Args:
        config: the subclass's options.

    Attributes:
        name: what it is registered as, for messages.
        weights_folder: of its bundled weights.
    """

    name: ClassVar[str]
    weights_folder: ClassVar[Path]
    size_divisor = 32
    thread_safe = True
    adaptation_settings: ClassVar[Mapping[str, Any]] = {"options": {"region_jitter": 0.04}, "min_height": 4}
    reader: RecognitionBranch

    def __init__(self, config: ReadingConfig) -> None:
        super().__init__()
        self.config = config
        self.charset = config.charset
        self.reference_short_side = config.reference_short_side
        self.region_jitter = config.region_jitter
        self._folded = FoldedCopy()

    @classmethod
    def create(cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any) -> Self:
        """Build one in eval mode; see `Spotter.create`."""
        spotter = cls(cls.config_type.parse(options, where=f"backend {cls.name}"))  # type: ignore[arg-type]
        load_weights(spotter, weights, cls.weights_folder, spotter.config.preset)
        return spotter.to(device).eval()

    def bundled_part(self, part: BundledPart) -> Path | None:
        """`PRESET_student.safetensors` or `PRESET_selector.safetensors` beside the weights, if there."""
        return bundled_part_file(self.weights_folder, self.config.preset, part)

    @property
    def decoder(self) -> SequenceDecoder:  # type: ignore[override]
        """The sequence decoder, a submodule of the reader."""
        return self.reader.decoder

    @abstractmethod
    def reading_maps(self, images: Tensor) -> ReadingMaps:
        """uint8 images [B, 3, H, W], sides multiples of 32, to what the reader reads from."""

    @abstractmethod
    def predict_group(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[list[Word]]:
        """The words of stacked images that share one true size (height, width)."""

    # --- training ---------------------------------------------------------------------------------

    def recognize(self, batch: Batch) -> RecognitionTrace:
        """The recogniser on the ground-truth regions, without jitter; nothing is detected."""
        maps = self.reading_maps(self.stack(batch.images)[0])
        regions, texts = readable_words(batch, self.reader.charset, self.config.max_length)
        return self.reader.trace(maps, regions, texts)

    def recognition_losses(self, batch: Batch) -> TrainOutput:
        """Losses of the recogniser alone, with jitter: the warm-up of trunk and reader."""
        return self.read_regions(self.reading_maps(self.stack(batch.images)[0]), batch)

    def read_regions(self, maps: ReadingMaps, batch: Batch) -> TrainOutput:
        """The recogniser's losses and trace on jittered ground-truth regions of maps at hand."""
        words = readable_words(batch, self.reader.charset, self.config.max_length, self.region_jitter)
        trace = self.reader.trace(maps, *words)
        return TrainOutput(self.reader.losses(trace, words[1]), trace)

    # --- inference --------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """See `Spotter.predict`. Only images of equal size share a forward pass, so that padding (and
        with it the answer) never depends on the company an image keeps."""
        if self.training:
            raise RuntimeError("call .eval() before predict: training mode would change batch statistics")
        reading: ReadingSpotter = self._folded.of(self)
        words: list[list[Word]] = [[] for _ in images]
        limit = self.config.predict_batch or (1 if module_device(self).type == "cpu" else 8)
        for group in same_size_groups(images, limit):
            found = reading.predict_group(*self.stack([images[i] for i in group]))
            for index, own in zip(group, found, strict=True):
                words[index] = own
        return words

    def train(self, mode: bool = True) -> Self:
        """As of any module. What comes after training is read with the weights as they are then."""
        self._folded.forget()
        return super().train(mode)

    def stack(self, images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Pad to a common size, a multiple of 32, on this module's device: [B, 3, H, W] and true sizes."""
        return stack_images(images, self.size_divisor, module_device(self))
