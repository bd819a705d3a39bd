"""What every recogniser does: regions of a batch to states, states to text, traces for distillation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.words import Points, Reading, Spans, certainty
from dld_core.decoders.charset import Charset
from dld_core.decoders.words import Regions
from dld_core.interfaces import SequenceDecoder
from dld_core.types import RecognitionTrace

AnyRegions = Sequence[Sequence[Tensor | Points]]
"""Per image of a batch its regions, [n, 2] each, in pixels."""


class Regional(NamedTuple):
    """What a recogniser makes of N regions: features [N, C, h, w] and context states [N, T, D]."""

    features: Tensor
    context: Tensor


class Recogniser(nn.Module, ABC):
    """Reads regions of images: by attention or CTC from feature maps, or across the bridge from pixels.

    Attributes:
        charset: what can be read.
        decoder: context states to text.
        reads_pixels: whether `maps.images` are needed, at whatever resolution there is.
    """

    charset: Charset
    decoder: SequenceDecoder
    reads_pixels: bool = False

    @abstractmethod
    def states(self, maps: ReadingMaps, regions: AnyRegions) -> Regional:
        """All regions of a batch, image by image, in tensors of one shape; differentiable."""

    @abstractmethod
    def contexts(self, maps: ReadingMaps, polygons: Sequence[Points]) -> Iterator[tuple[list[int], Tensor]]:
        """The regions of one image for reading: groups of their indices, and context states [n, T, D].

        Args:
            maps: of a batch of one.
        """

    @abstractmethod
    def map_flops(self, maps: ReadingMaps) -> float:
        """FLOPs that the first region adds, whatever the number of regions; maps are on the meta device."""

    @abstractmethod
    def word_flops(self) -> float:
        """FLOPs of reading one word of nominal size."""

    def trace(self, maps: ReadingMaps, regions: Regions, texts: Sequence[Sequence[str]]) -> RecognitionTrace:
        """Read ground-truth regions, teacher-forced: the maps of a batch, per image regions and texts."""
        features, context = self.states(maps, regions)
        targets = self.decoder.encode([text for image in texts for text in image]).to(features.device)
        counts = torch.tensor([len(image) for image in texts], device=features.device)
        rows = torch.repeat_interleave(torch.arange(len(texts), device=features.device), counts)
        if len(targets):
            logits = self.decoder.logits(context, targets)
        else:
            logits = context.new_zeros((0, targets.shape[1], self.decoder.vocabulary_size))
        return RecognitionTrace(features, context, logits, targets, rows)

    def losses(self, trace: RecognitionTrace) -> dict[str, Tensor]:
        """Loss of the trace's own targets; a zero with a graph where there are none."""
        if len(trace.targets) == 0:
            return {"recognition": trace.roi_features.sum() * 0}
        return {"recognition": self.decoder.loss_of_logits(trace.logits, trace.targets)}

    def spans(self, context: Tensor, texts: Sequence[str], polygons: Sequence[Points]) -> list[Spans]:
        """Where the words of each text lie along its region; () where that is not known."""
        del context, polygons
        return [() for _ in texts]

    @torch.no_grad()
    def read(self, maps: ReadingMaps, polygons: Sequence[Points]) -> list[Reading]:
        """The best reading of every region of one image, in order; maps are of a batch of one."""
        found: dict[int, Reading] = {}
        for rows, context in self.contexts(maps, polygons):
            best = self.decoder.beam_search(context, 1)
            texts = self.decoder.decode(best.tokens[:, 0])
            sure = map(certainty, best.log_probs[:, 0].tolist(), best.lengths[:, 0].tolist())
            spans = self.spans(context, texts, [polygons[row] for row in rows])
            found.update(zip(rows, map(Reading, texts, sure, spans), strict=True))
        return [found[index] for index in range(len(polygons))]
