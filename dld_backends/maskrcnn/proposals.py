"""Region proposals: torchvision's RPN, with don't-care regions kept out of its loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from dld_backends.maskrcnn.config import MaskRCNNConfig

STRIDES = (4, 8, 16, 32, 64)


class FloatAnchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors in float32 under autocast (the parent takes the features' type)."""

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Anchors of every image; of the features only shapes and device matter."""
        anchors: list[Tensor] = super().forward(image_list, [f[:, :1].float() for f in feature_maps])
        return anchors


class FloatRPNHead(RPNHead):  # type: ignore[misc]
    """RPNHead whose outputs are float32 under autocast: box arithmetic in bfloat16 loses whole pixels."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Pyramid levels to objectness and box deltas per level."""
        logits, deltas = super().forward(x)
        return [t.float() for t in logits], [t.float() for t in deltas]


def covered(boxes: Tensor, regions: Tensor, by: float = 0.5) -> Tensor:
    """Which boxes [N, 4] have more than this fraction of their own area inside one of regions [M, 4]."""
    return (_inside_share(boxes[:, None], regions[None]) > by).any(1)


class TextRPN(RegionProposalNetwork):  # type: ignore[misc]
    """The RPN; targets carry `boxes` and `ignore_boxes`, anchors on the latter are left out of the loss."""

    foreground, background = 0.6, 0.3

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels (1 text, 0 background, -1 left out) and matched boxes per image."""
        per_cell = self.anchor_generator.num_anchors_per_location()[0]
        pairs = [self._assign(a, t, per_cell) for a, t in zip(anchors, targets, strict=True)]
        return [labels for labels, _ in pairs], [matched for _, matched in pairs]

    def _assign(self, anchors: Tensor, target: dict[str, Tensor], per_cell: int) -> tuple[Tensor, Tensor]:
        """torchvision's matching (best word per anchor, and the best anchors of every word), but only where
        an anchor's centre lies on the word: all pairs would cost more than the network."""
        labels = anchors.new_zeros(len(anchors))
        matched = torch.zeros_like(anchors)
        boxes = target["boxes"]
        word, anchor = _near(anchors, boxes, per_cell, reach=0.5)
        if len(word):
            overlap = _pair_iou(boxes[word], anchors[anchor])
            best = labels.clone().scatter_reduce(0, anchor, overlap, "amax")
            best_of_word = boxes.new_zeros(len(boxes)).scatter_reduce(0, word, overlap, "amax")
            winner = overlap >= best[anchor]
            matched[anchor[winner]] = boxes[word[winner]]
            labels[(best >= self.background) & (best < self.foreground)] = -1.0
            labels[best >= self.foreground] = 1.0
            labels[anchor[(overlap >= best_of_word[word]) & (overlap > 0)]] = 1.0
        region, anchor = _near(anchors, target["ignore_boxes"], per_cell, reach=0.0)
        hidden = _inside_share(anchors[anchor], target["ignore_boxes"][region]) > 0.5
        unsure = anchor[hidden]
        labels[unsure[labels[unsure] == 0]] = -1.0
        return labels, matched


def _near(anchors: Tensor, boxes: Tensor, per_cell: int, reach: float) -> tuple[Tensor, Tensor]:
    """Pairs (box, anchor) where the anchor's centre lies inside the box, widened by `reach` cells."""
    cells = anchors.view(-1, per_cell, 4)[:, 0]
    centre = (cells[:, :2] + cells[:, 2:]) / 2
    side = (cells[:, 2:] - cells[:, :2]).clamp(min=0).prod(1, keepdim=True).sqrt() * reach
    low, high = boxes[:, None, :2] - side, boxes[:, None, 2:] + side
    box, cell = ((centre >= low) & (centre <= high)).all(-1).nonzero(as_tuple=True)
    anchor = (cell[:, None] * per_cell + torch.arange(per_cell, device=anchors.device)).flatten()
    return box.repeat_interleave(per_cell), anchor


def _intersection(first: Tensor, second: Tensor) -> Tensor:
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3).prod(-1)


def _pair_iou(first: Tensor, second: Tensor) -> Tensor:
    shared = _intersection(first, second)
    return shared / (_area(first) + _area(second) - shared)


def _inside_share(boxes: Tensor, regions: Tensor) -> Tensor:
    return _intersection(boxes, regions) / _area(boxes)


def build_rpn(config: MaskRCNNConfig) -> TextRPN:
    """The RPN of a config: one anchor size per level, text-shaped ratios (paper: scale 8, six ratios)."""
    sizes = tuple((config.anchor_scale * stride,) for stride in STRIDES)
    anchors = FloatAnchors(sizes, (config.anchor_ratios,) * len(STRIDES))
    head = FloatRPNHead(config.fpn_channels, anchors.num_anchors_per_location()[0])
    return TextRPN(
        anchors,
        head,
        fg_iou_thresh=TextRPN.foreground,
        bg_iou_thresh=TextRPN.background,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2 * config.proposals, "testing": 2 * config.proposals},
        post_nms_top_n={"training": config.proposals, "testing": config.proposals},
        nms_thresh=0.7,
    )
