"""Region proposals: torchvision's RPN, with don't-care regions kept out of its loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from dld_backends.maskrcnn.config import MaskRCNNConfig

STRIDES = (4, 8, 16, 32, 64)


class FloatRPNHead(RPNHead):
    """RPNHead whose outputs are float32 under autocast: box arithmetic in bfloat16 loses whole pixels."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Pyramid levels to objectness and box deltas per level."""
        logits, deltas = super().forward(x)
        return [t.float() for t in logits], [t.float() for t in deltas]


def covered(boxes: Tensor, regions: Tensor, by: float = 0.5) -> Tensor:
    """Which boxes [N, 4] have more than this fraction of their own area inside one of regions [M, 4]."""
    if not len(regions) or not len(boxes):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    low = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).prod(-1, keepdim=True)
    return (inside > by * area).any(1)


class TextRPN(RegionProposalNetwork):
    """The RPN; targets carry `boxes` and `ignore_boxes`, anchors on the latter are left out of the loss."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels (1 text, 0 background, -1 left out) and matched boxes per image."""
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for index, (boxes, target) in enumerate(zip(anchors, targets, strict=True)):
            unsure = covered(boxes, target["ignore_boxes"]) & (labels[index] == 0)
            labels[index] = labels[index].masked_fill(unsure, -1.0)
        return labels, matched


def build_rpn(config: MaskRCNNConfig) -> TextRPN:
    """The RPN of a config: one anchor size per level, text-shaped ratios (paper: scale 8, six ratios)."""
    sizes = tuple((config.anchor_scale * stride,) for stride in STRIDES)
    anchors = AnchorGenerator(sizes, (config.anchor_ratios,) * len(STRIDES))
    head = FloatRPNHead(config.fpn_channels, anchors.num_anchors_per_location()[0])
    return TextRPN(
        anchors,
        head,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2 * config.proposals, "testing": 2 * config.proposals},
        post_nms_top_n={"training": config.proposals, "testing": config.proposals},
        nms_thresh=0.7,
    )
