"""The Mask R-CNN text spotter of the paper, end to end: proposals, boxes, masks, text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.heads import BoxHead, MaskHead
from dld_backends.maskrcnn.polygons import Points, is_tall, mask_polygon, upright
from dld_backends.maskrcnn.proposals import build_rpn
from dld_backends.maskrcnn.trunk import Trunk
from dld_backends.recognition.attention import AttentionDecoder
from dld_backends.recognition.branch import RecognitionBranch, jitter_regions, readable_words
from dld_backends.recognition.encoder import SequenceEncoder
from dld_backends.weights import load_weights
from dld_core.charset import Charset
from dld_core.interfaces import TrainableSpotter, module_device
from dld_core.types import Batch, RecognitionTrace, TrainOutput, Word

SIZE_DIVISOR = 32


class MaskRCNNSpotter(TrainableSpotter):
    """Two-stage spotter with attention decoder (ECCV 2022, section 3; "Base spotter").

    Args:
        config: a MaskRCNNConfig or nothing for the preset "small".
    """

    config_type: ClassVar[type[MaskRCNNConfig]] = MaskRCNNConfig
    size_divisor = SIZE_DIVISOR
    thread_safe = True

    def __init__(self, config: MaskRCNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MaskRCNNConfig.parse({})
        self.charset = config.charset
        self.reference_short_side = config.reference_short_side
        characters = Charset(config.charset)
        self.trunk = Trunk(config)
        self.rpn = build_rpn(config)
        self.box_head = BoxHead(config)
        self.mask_head = MaskHead(config)
        encoder = SequenceEncoder(
            config.recognition_channels, config.encoder_channels, config.lstm_hidden, config.lstm_layers
        )
        decoder = AttentionDecoder(
            characters, encoder.features, config.decoder_hidden, max_length=config.max_length
        )
        fine = config.fpn_channels + (config.detail_channels[1] if config.detail_channels else 0)
        self.reader = RecognitionBranch(
            fine,
            config.recognition_channels,
            encoder,
            decoder,
            characters,
            config.roi_size,
            ctc_weight=config.ctc_weight,
        )

    @property
    def decoder(self) -> AttentionDecoder:  # type: ignore[override]
        """The sequence decoder (also reachable as a submodule of the reader)."""
        decoder = self.reader.decoder
        assert isinstance(decoder, AttentionDecoder)
        return decoder

    @classmethod
    def create(cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any) -> Self:
        """Build one in eval mode; see `Spotter.create`."""
        spotter = cls(MaskRCNNConfig.parse(options, where="backend maskrcnn"))
        folder = Path(__file__).parent / "weights"
        load_weights(spotter, weights, folder, spotter.config.preset)
        return spotter.to(device).eval()

    # --- training ---------------------------------------------------------------------------------

    def forward_train(self, batch: Batch) -> TrainOutput:
        """Losses: objectness, rpn_box, class, box, mask, recognition (and ctc), each of weight 1."""
        images, sizes = self._stack(batch.images)
        levels, fine = self.trunk(images)
        targets = [_detection_targets(p, i) for p, i in zip(batch.polygons, batch.ignore, strict=True)]
        losses = self._detection_losses(images, sizes, levels, targets)
        regions, texts = readable_words(batch, self.reader.charset, self.config.max_length)
        trace = self.reader.trace(fine, jitter_regions(regions, self.config.region_jitter), texts)
        losses.update(self.reader.losses(trace, texts))
        return TrainOutput(losses, trace)

    def _detection_losses(
        self, images: Tensor, sizes: list[tuple[int, int]], levels: Any, targets: list[dict[str, Any]]
    ) -> dict[str, Tensor]:
        proposals, rpn = self.rpn(ImageList(images, sizes), levels, targets)
        boxes, classes, words, deltas = self.box_head.sample([p.float() for p in proposals], targets)
        logits, offsets = self.box_head(levels, boxes, sizes)
        classification, regression = self.box_head.loss(logits, offsets, classes, deltas)
        positive = [b[c == 1] for b, c in zip(boxes, classes, strict=True)]
        polygons = [
            target["polygons"][int(i)]
            for target, label, index in zip(targets, classes, words, strict=True)
            for i in index[label == 1]
        ]
        mask = self.mask_head.loss(self.mask_head(levels, positive, sizes), torch.cat(positive), polygons)
        return {
            "objectness": rpn["loss_objectness"],
            "rpn_box": rpn["loss_rpn_box_reg"],
            "class": classification,
            "box": regression,
            "mask": mask,
        }

    def recognize(self, batch: Batch) -> RecognitionTrace:
        """The recogniser on the ground-truth regions, without jitter; proposals and heads do not run."""
        images, _ = self._stack(batch.images)
        _, fine = self.trunk(images)
        regions, texts = readable_words(batch, self.reader.charset, self.config.max_length)
        return self.reader.trace(fine, regions, texts)

    def recognition_losses(self, batch: Batch) -> TrainOutput:
        """Losses of the recogniser alone, with jitter: the warm-up of trunk and reader."""
        images, _ = self._stack(batch.images)
        _, fine = self.trunk(images)
        regions, texts = readable_words(batch, self.reader.charset, self.config.max_length)
        trace = self.reader.trace(fine, jitter_regions(regions, self.config.region_jitter), texts)
        return TrainOutput(self.reader.losses(trace, texts), trace)

    def flops(self, height: int, width: int, words: int = 0) -> float:
        """FLOPs of one image, everything included (see `cost`); a multiply-add counts 2."""
        from dld_backends.maskrcnn.cost import page_flops

        return page_flops(self.config, _rounded(height), _rounded(width), words)

    # --- inference --------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """See `Spotter.predict`. Only images of equal size share a forward pass, so that padding (and
        with it the answer) never depends on the company an image keeps."""
        if self.training:
            raise RuntimeError("call .eval() before predict: training mode would change batch statistics")
        words: list[list[Word]] = [[] for _ in images]
        for group in self._groups(images):
            for index, found in zip(group, self._predict_group([images[i] for i in group]), strict=True):
                words[index] = found
        return words

    def _groups(self, images: Sequence[Tensor]) -> list[list[int]]:
        limit = self.config.predict_batch or (1 if module_device(self).type == "cpu" else 8)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(tuple(image.shape), []).append(index)
        return [group[i : i + limit] for group in by_size.values() for i in range(0, len(group), limit)]

    def _predict_group(self, images: Sequence[Tensor]) -> list[list[Word]]:
        stacked, sizes = self._stack(images)
        levels, fine = self.trunk(stacked)
        proposals, _ = self.rpn(ImageList(stacked, sizes), levels)
        logits, deltas = self.box_head(levels, proposals, sizes)
        found = self.box_head.detect(logits, deltas, proposals, sizes)
        masks = self.mask_head(levels, [boxes for boxes, _ in found], sizes).sigmoid().cpu().numpy()
        words = []
        for index, (boxes, scores) in enumerate(found):
            own, masks = masks[: len(boxes)], masks[len(boxes) :]
            polygons = [mask_polygon(m, b) for m, b in zip(own, boxes.cpu().numpy(), strict=True)]
            words.append(self._read(fine[index : index + 1], polygons, scores.tolist(), sizes[index]))
        return words

    def _read(
        self, fine: Tensor, polygons: list[Points], scores: list[float], size: tuple[int, int]
    ) -> list[Word]:
        """Read along each polygon; a tall one is read upright too, and the surer reading stays."""
        tall = [i for i, polygon in enumerate(polygons) if is_tall(polygon)]
        readings = self.reader.read(fine, [polygons + [upright(polygons[i]) for i in tall]])
        for extra, index in enumerate(tall, start=len(polygons)):
            if readings[extra][1] > readings[index][1]:
                readings[index], polygons[index] = readings[extra], upright(polygons[index])
        words = []
        for polygon, detected, (text, certainty) in zip(
            polygons, scores, readings[: len(scores)], strict=True
        ):
            score = float(np.sqrt(detected * certainty))
            if text.strip() and score >= self.config.word_threshold:
                words.append(Word(text.strip(), min(score, 1.0), _inside(polygon, size)))
        return words

    def _stack(self, images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Pad to a common size, a multiple of 32, on this module's device: [B, 3, H, W] and true sizes."""
        device = module_device(self)
        sizes = [(int(image.shape[1]), int(image.shape[2])) for image in images]
        height = _rounded(max(h for h, _ in sizes))
        width = _rounded(max(w for _, w in sizes))
        padded = [
            F.pad(image.to(device), (0, width - w, 0, height - h))
            for image, (h, w) in zip(images, sizes, strict=True)
        ]
        return torch.stack(padded), sizes


def _rounded(side: int) -> int:
    """Up to the next multiple of the size divisor."""
    return -(-side // SIZE_DIVISOR) * SIZE_DIVISOR


def _inside(polygon: Points, size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    height, width = size
    clipped = np.clip(polygon, 0, [width, height])
    return tuple((float(x), float(y)) for x, y in clipped)


def _detection_targets(polygons: list[Tensor], ignore: Tensor) -> dict[str, Any]:
    """Boxes of care words and of don't-care regions; words of no extent count as don't-care."""
    care = [p for p, i in zip(polygons, ignore.tolist(), strict=True) if not i and _extent(p)]
    rest = [p for p, i in zip(polygons, ignore.tolist(), strict=True) if i or not _extent(p)]
    return {
        "boxes": _boxes(care, ignore.device),
        "labels": torch.ones(len(care), dtype=torch.int64, device=ignore.device),
        "ignore_boxes": _boxes(rest, ignore.device),
        "polygons": care,
    }


def _extent(polygon: Tensor) -> bool:
    return bool(((polygon.amax(0) - polygon.amin(0)) >= 1).all())


def _boxes(polygons: list[Tensor], device: torch.device) -> Tensor:
    if not polygons:
        return torch.zeros((0, 4), device=device)
    return torch.stack([torch.cat([p.amin(0), p.amax(0)]) for p in polygons]).float()
