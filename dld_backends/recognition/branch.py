"""The recogniser that reads shared feature maps, by attention or CTC, for any trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_backends.recognition.encoder import SequenceEncoder, conv_norm_relu, separable_norm_relu
from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.recogniser import AnyRegions, Recogniser, Regional
from dld_backends.recognition.words import Points
from dld_core.decoders.charset import Charset
from dld_core.decoders.precision import full_precision
from dld_core.decoders.roi_sampling import sample_regions
from dld_core.evaluation.cost import flops_of
from dld_core.interfaces import SequenceDecoder
from dld_core.types import RecognitionTrace

STEPS_PER_WORD = 6
"""Characters of an average word and its end token, for the cost."""


class RecognitionBranch(Recogniser):
    """One convolution on the stride-4 map, regions sampled along their polygons, encoder, decoder.

    Args:
        inputs, channels: of the convolution on the map.
        encoder: region features to context states.
        decoder: context states to text.
        charset: what can be read.
        roi_size: rows and columns of a rectified region.
        stride: image pixels per position of the map.
        ctc_weight: weight of an auxiliary CTC loss on the context states, which gets attention over its
            first plateau sooner (joint CTC-attention, arXiv 1609.06773); 0 for none.
        separable: make the convolution on the map a depthwise-separable one (about an eighth of the cost).
        detail: channels of the finer map that is read beside it; the encoder sees both.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        encoder: SequenceEncoder,
        decoder: SequenceDecoder,
        charset: Charset,
        roi_size: tuple[int, int] = (8, 32),
        stride: int = 4,
        ctc_weight: float = 0.0,
        separable: bool = False,
        detail: int = 0,
    ) -> None:
        super().__init__()
        self.channels = channels + detail
        self.smooth = (separable_norm_relu if separable else conv_norm_relu)(inputs, channels)
        self.encoder = encoder
        self.decoder = decoder
        self.charset = charset
        self.roi_size = roi_size
        self.stride = stride
        self.ctc_weight = ctc_weight
        self.ctc = nn.Linear(encoder.features, len(charset) + 1) if ctc_weight else None

    def states(self, maps: ReadingMaps, regions: AnyRegions) -> Regional:
        """Rectified features [N, C, h, w] of every region, image by image, and their context states."""
        features = sample_regions(self.smooth(maps.fine), regions, self.stride, self.roi_size)
        if maps.detail is not None:
            stride = self.stride * maps.fine.shape[-1] / maps.detail.shape[-1]
            finer = sample_regions(maps.detail, regions, stride, self.roi_size)
            features = torch.cat([features, finer], 1)
        return Regional(features, self.encoder(features))

    def contexts(self, maps: ReadingMaps, polygons: Sequence[Points]) -> Iterator[tuple[list[int], Tensor]]:
        """All regions at once: they are of one size."""
        if len(polygons):
            yield list(range(len(polygons))), self.states(maps, [polygons]).context

    def losses(self, trace: RecognitionTrace) -> dict[str, Tensor]:
        """Loss of the trace's own targets, and the auxiliary CTC loss, weighted."""
        losses = super().losses(trace)
        if self.ctc is None:
            return losses
        texts = self.decoder.decode(trace.targets)
        ctc = self.ctc_weight * self._ctc_loss(trace.context, texts) if texts else losses["recognition"]
        return {**losses, "ctc": ctc}

    def _ctc_loss(self, context: Tensor, texts: Sequence[str]) -> Tensor:
        assert self.ctc is not None
        ids = [self.charset.ids(text)[: context.shape[1]] for text in texts]
        lengths = torch.tensor([len(row) for row in ids])
        flat = torch.tensor([i + 1 for row in ids for i in row], device=context.device)  # 0 is the blank
        with full_precision(context.device):
            log_probs = self.ctc(context.float()).log_softmax(-1).transpose(0, 1)
        columns = torch.full_like(lengths, context.shape[1])
        return F.ctc_loss(log_probs, flat, columns, lengths, blank=0, zero_infinity=True)

    def map_flops(self, maps: ReadingMaps) -> float:
        """The convolution on the map."""
        return flops_of(lambda: self.smooth(maps.fine))

    @torch.no_grad()
    def word_flops(self) -> float:
        """Rectified features, encoder and decoder of one word."""
        rows, columns = self.roi_size
        fine = torch.empty(1, self.channels, 32, 32, device="meta")
        grid = torch.empty(1, rows, columns, 2, device="meta")
        tokens = torch.zeros(1, STEPS_PER_WORD, dtype=torch.int64, device="meta")

        def read() -> Tensor:
            regions = F.grid_sample(fine, grid, align_corners=False)
            return self.decoder.logits(self.encoder(regions), tokens)

        return flops_of(read)
