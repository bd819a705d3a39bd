"""The Mask R-CNN text spotter of the paper, end to end: proposals, boxes, masks, text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.cost import spotter_cost
from dld_backends.maskrcnn.network import Network
from dld_backends.maskrcnn.polygons import mask_polygon, without_fragments
from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.spotter import ReadingSpotter
from dld_backends.recognition.words import Points, read_words
from dld_core.types import Batch, BoxOutputs, TrainOutput, Word

_SHOWN = 64  # proposals of an image that a teacher judges for its student


class MaskRCNNSpotter(ReadingSpotter):
    """Two-stage spotter with attention decoder (ECCV 2022, section 3; "Base spotter").

    Args:
        config: a MaskRCNNConfig or nothing for the preset "small".
    """

    name = "maskrcnn"
    weights_folder = Path(__file__).parent / "weights"
    config_type: ClassVar[type[MaskRCNNConfig]] = MaskRCNNConfig
    config: MaskRCNNConfig

    def __init__(self, config: MaskRCNNConfig | None = None) -> None:
        config = config or MaskRCNNConfig.parse({})
        super().__init__(config)
        network = Network(config)
        self.trunk, self.rpn, self.reader = network.trunk, network.rpn, network.reader
        self.box_head, self.mask_head = network.box_head, network.mask_head

    def reading_maps(self, images: Tensor) -> ReadingMaps:
        """What the recogniser reads from; proposals and heads do not run."""
        maps: ReadingMaps = self.trunk(images)[1]
        return maps

    # --- training ---------------------------------------------------------------------------------

    def forward_train(self, batch: Batch) -> TrainOutput:
        """Losses: objectness, rpn_box, class, box, mask, recognition (and ctc), each of weight 1."""
        images, sizes = self.stack(batch.images)
        levels, maps = self.trunk(images)
        targets = [_detection_targets(p, i) for p, i in zip(batch.polygons, batch.ignore, strict=True)]
        losses = self._detection_losses(images, sizes, levels, targets)
        reading = self.read_regions(maps, batch)
        box_outputs = (
            None if batch.teacher_boxes is None else self._box_outputs(levels, batch.teacher_boxes, sizes)
        )
        return TrainOutput({**losses, **reading.losses}, reading.trace, box_outputs=box_outputs)

    def teacher_outputs(self, batch: Batch) -> TrainOutput:
        """The trace of the true regions and what the box head makes of the likeliest proposals.

        No maps: a word that shrinks changes its pyramid level and its anchor, so that objectness of equal
        levels is about other words. Boxes are the same at every resolution.
        """
        images, sizes = self.stack(batch.images)
        levels, maps = self.trunk(images)
        proposals = [p[:_SHOWN].float() for p in self.rpn(ImageList(images, sizes), levels)[0]]
        return TrainOutput(
            {}, self.trace(maps, batch), box_outputs=self._box_outputs(levels, proposals, sizes)
        )

    def _box_outputs(
        self, levels: OrderedDict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> BoxOutputs:
        logits, deltas = self.box_head(levels, boxes, sizes)
        return BoxOutputs(boxes, logits, deltas[:, 4:])

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

    def flops(self, height: int, width: int, words: int = 0) -> float:
        """FLOPs of one image, everything included (see `cost`); a multiply-add counts 2."""
        return spotter_cost(self.config).at(height, width, words)

    # --- inference --------------------------------------------------------------------------------

    def predict_group(
        self, images: Tensor, sizes: Sequence[tuple[int, int]], shown: Sequence[Tensor]
    ) -> list[list[Word]]:
        """Proposals, boxes, masks, and the reading of every polygon."""
        true_sizes = list(sizes)
        levels, maps = self.trunk(images)
        maps = maps.showing(shown, sizes)
        proposals, _ = self.rpn(ImageList(images, true_sizes), levels)
        logits, deltas = self.box_head(levels, proposals, true_sizes)
        found = self.box_head.detect(logits, deltas, proposals, true_sizes)
        masks = self.mask_head(levels, [boxes for boxes, _ in found], true_sizes).sigmoid().cpu().numpy()
        words = []
        for index, (boxes, scores) in enumerate(found):
            own, masks = masks[: len(boxes)], masks[len(boxes) :]
            polygons = [mask_polygon(m, b) for m, b in zip(own, boxes.cpu().numpy(), strict=True)]
            words.append(self._read(maps.of_image(index), polygons, scores.tolist(), sizes[index]))
        return words

    def _read(
        self, maps: ReadingMaps, polygons: list[Points], scores: list[float], size: tuple[int, int]
    ) -> list[Word]:
        """Read along each polygon, then drop parts and doubles of surer words."""
        read = partial(self.reader.read, maps)
        words = read_words(read, polygons, scores, size, self.config.word_threshold)
        limit = self.config.fragment_threshold
        return [
            words[i] for i in without_fragments([w.array for w in words], [w.score for w in words], limit)
        ]


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
