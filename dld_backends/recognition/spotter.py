"""What every spotter with a recognition branch shares: making, reading true regions, and batching."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from dld_backends.detection.images import same_size_groups, stack_images
from dld_backends.recognition.config import ReadingConfig
from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.recogniser import Recogniser
from dld_backends.recognition.weights import assign, kind_of, read_state
from dld_core.decoders.words import readable_words
from dld_core.images import resize
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import BundledPart, SequenceDecoder, TrainableSpotter, module_device
from dld_core.pipeline.models import bundled_part_file
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
    reader: Recogniser

    def __init__(self, config: ReadingConfig) -> None:
        super().__init__()
        self.config = config
        self.reads_native = config.recogniser == "bridge"
        self.reference_short_side = config.reference_short_side
        self.region_jitter = config.region_jitter
        self._folded = FoldedCopy()

    @classmethod
    def create(cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any) -> Self:
        """Build one in eval mode; see `Spotter.create`.

        Weights that hold a recogniser decide which one is built, unless `recogniser` is given.
        """
        where = f"backend {cls.name}"
        config = cls.config_type.parse(options, where=where)
        found = read_state(weights, cls.weights_folder, config.preset)  # type: ignore[attr-defined]
        kind = None if found is None else kind_of(found.state)
        if kind is not None and "recogniser" not in options:
            config = cls.config_type.parse({**options, "recogniser": kind}, where=where)
        spotter = cls(config)  # type: ignore[arg-type]
        if found is not None:
            assign(spotter, found)
        return spotter.to(device).eval()

    @property
    def charset(self) -> str:  # type: ignore[override]
        """See `Spotter`."""
        return self.reader.charset.characters

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
    def predict_group(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], shown: Sequence[Tensor]
    ) -> list[list[Word]]:
        """The words of stacked images that share one true size (height, width), in pixels of that size.

        Args:
            shown: the same images at whatever resolution they came.
        """

    # --- training ---------------------------------------------------------------------------------

    def recognize(self, batch: Batch) -> RecognitionTrace:
        """The recogniser on the ground-truth regions, without jitter; nothing is detected."""
        return self.trace(self.reading_maps(self.stack(batch.images)[0]), batch)

    def trace(self, maps: ReadingMaps, batch: Batch, jitter: float = 0.0) -> RecognitionTrace:
        """The recogniser on the ground-truth regions of maps at hand, moved at random by up to `jitter`."""
        words = readable_words(batch, self.reader.charset, self.config.max_length, jitter)
        return self.reader.trace(maps.showing(batch.images), *words)

    def recognition_losses(self, batch: Batch) -> TrainOutput:
        """Losses of the recogniser alone, with jitter: the warm-up of trunk and reader."""
        return self.read_regions(self.reading_maps(self.stack(batch.images)[0]), batch)

    def read_regions(self, maps: ReadingMaps, batch: Batch) -> TrainOutput:
        """The recogniser's losses and trace on jittered ground-truth regions of maps at hand."""
        trace = self.trace(maps, batch, self.region_jitter)
        return TrainOutput(self.reader.losses(trace), trace)

    # --- inference --------------------------------------------------------------------------------

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """See `Spotter.predict`."""
        return self.predict_at(images, [(image.shape[1], image.shape[2]) for image in images])

    @torch.no_grad()
    def predict_at(self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[list[Word]]:
        """See `Spotter.predict_at`. Only images of equal size share a forward pass, so that padding (and
        with it the answer) never depends on the company an image keeps."""
        if self.training:
            raise RuntimeError("call .eval() before predict: training mode would change batch statistics")
        reading: ReadingSpotter = self._folded.of(self)
        words: list[list[Word]] = [[] for _ in images]
        limit = self.config.predict_batch or (1 if module_device(self).type == "cpu" else 8)
        working = [_resized(image, size) for image, size in zip(images, sizes, strict=True)]
        for group in same_size_groups(working, limit):
            stacked = self.stack([working[i] for i in group])
            found = reading.predict_group(*stacked, [images[i] for i in group])
            for index, own in zip(group, found, strict=True):
                words[index] = _native(own, working[index], images[index])
        return words

    def train(self, mode: bool = True) -> Self:
        """As of any module. What comes after training is read with the weights as they are then."""
        self._folded.forget()
        return super().train(mode)

    def stack(self, images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Pad to a common size, a multiple of 32, on this module's device: [B, 3, H, W] and true sizes."""
        return stack_images(images, self.size_divisor, module_device(self))


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The image [3, H, W] at a working size (height, width), on the CPU where that is another one."""
    if (image.shape[1], image.shape[2]) == size:
        return image
    return as_tensor(resize(image.permute(1, 2, 0).cpu().numpy(), size=size))


def _native(words: list[Word], working: Tensor, native: Tensor) -> list[Word]:
    """Words of the image [3, h, w] as it was worked on, in pixels of the image [3, H, W] as it was given."""
    if working.shape == native.shape:
        return words
    x, y = native.shape[2] / working.shape[2], native.shape[1] / working.shape[1]
    return [Word(w.text, w.score, tuple((px * x, py * y) for px, py in w.polygon)) for w in words]
