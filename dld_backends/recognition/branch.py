"""The recognition branch: regions of a shared feature map to text, for any trunk and any decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dld_backends.recognition.encoder import SequenceEncoder, conv_norm_relu, separable_norm_relu
from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.words import certainty
from dld_core.decoders.charset import Charset
from dld_core.decoders.precision import full_precision
from dld_core.decoders.roi_sampling import sample_regions
from dld_core.decoders.words import Regions, readable_words
from dld_core.interfaces import SequenceDecoder
from dld_core.types import RecognitionTrace

__all__ = ["RecognitionBranch", "readable_words"]  # what a backend that reads regions needs


class RecognitionBranch(nn.Module):
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

    def sample(
        self, maps: ReadingMaps | Tensor, regions: Sequence[Sequence[Tensor | NDArray[np.float32]]]
    ) -> Tensor:
        """Rectified features [N, C, h, w] of every region, image by image."""
        maps = ReadingMaps.of(maps)
        features = sample_regions(self.smooth(maps.fine), regions, self.stride, self.roi_size)
        if maps.detail is None:
            return features
        stride = self.stride * maps.fine.shape[-1] / maps.detail.shape[-1]
        return torch.cat([features, sample_regions(maps.detail, regions, stride, self.roi_size)], 1)

    def trace(
        self, maps: ReadingMaps | Tensor, regions: Regions, texts: Sequence[Sequence[str]]
    ) -> RecognitionTrace:
        """Read ground-truth regions, teacher-forced: the maps of a batch, per image regions and texts."""
        features = self.sample(maps, regions)
        context = self.encoder(features)
        targets = self.decoder.encode([text for image in texts for text in image]).to(features.device)
        counts = torch.tensor([len(image) for image in texts], device=features.device)
        rows = torch.repeat_interleave(torch.arange(len(texts), device=features.device), counts)
        if len(targets):
            logits = self.decoder.logits(context, targets)
        else:
            logits = context.new_zeros((0, targets.shape[1], self.decoder.vocabulary_size))
        return RecognitionTrace(features, context, logits, targets, rows)

    def losses(self, trace: RecognitionTrace, texts: Sequence[Sequence[str]]) -> dict[str, Tensor]:
        """Loss of the trace's own targets (and the auxiliary CTC loss, weighted)."""
        if len(trace.targets) == 0:
            zero = trace.roi_features.sum() * 0
            return {"recognition": zero, "ctc": zero} if self.ctc is not None else {"recognition": zero}
        losses = {"recognition": self.decoder.loss_of_logits(trace.logits, trace.targets)}
        if self.ctc is not None:
            losses["ctc"] = self.ctc_weight * self._ctc_loss(
                trace.context, [t for image in texts for t in image]
            )
        return losses

    def _ctc_loss(self, context: Tensor, texts: Sequence[str]) -> Tensor:
        assert self.ctc is not None
        ids = [self.charset.ids(text)[: context.shape[1]] for text in texts]
        lengths = torch.tensor([len(row) for row in ids])
        flat = torch.tensor([i + 1 for row in ids for i in row], device=context.device)  # 0 is the blank
        with full_precision(context.device):
            log_probs = self.ctc(context.float()).log_softmax(-1).transpose(0, 1)
        columns = torch.full_like(lengths, context.shape[1])
        return F.ctc_loss(log_probs, flat, columns, lengths, blank=0, zero_infinity=True)

    @torch.no_grad()
    def read(
        self, maps: ReadingMaps | Tensor, polygons: Sequence[NDArray[np.float32]]
    ) -> list[tuple[str, float]]:
        """Best text and its certainty for every region of one image, in order; maps are a batch of one."""
        if not len(polygons):
            return []
        best = self.decoder.beam_search(self.encoder(self.sample(maps, [polygons])), 1)
        texts = self.decoder.decode(best.tokens[:, 0])
        sure = map(certainty, best.log_probs[:, 0].tolist(), best.lengths[:, 0].tolist())
        return list(zip(texts, sure, strict=True))
