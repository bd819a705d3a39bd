"""Box and mask heads: what a proposal is, where exactly, and which of its pixels are text."""

from __future__ import annotations

from collections import OrderedDict

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import _utils as det_utils
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes
from torchvision.ops.poolers import LevelMapper

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.proposals import STRIDES, covered
from dld_backends.maskrcnn.trunk import LEVELS

MASK_SIZE = 28


def region_pool(size: int) -> MultiScaleRoIAlign:
    """RoIAlign of size x size on the pyramid level that suits each box (arXiv 1612.03144, equation 1).

    The scales of the levels are given. torchvision infers them from the first image that it sees, whose
    features are padded, and keeps them: a first image of one pixel would misplace all later boxes.
    """
    pool = MultiScaleRoIAlign(list(LEVELS), size, 2)
    strides = STRIDES[: len(LEVELS)]
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = LevelMapper(strides[0].bit_length() - 1, strides[-1].bit_length() - 1)
    return pool


class BoxHead(nn.Module):
    """RoIAlign 7x7, two fully connected layers, text score and box deltas."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.pool = region_pool(7)
        width = config.box_features
        self.layers = nn.Sequential(
            nn.Flatten(1),
            nn.Linear(config.fpn_channels * 49, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        self.score = nn.Linear(width, 2)
        self.deltas = nn.Linear(width, 8)
        self.coder = det_utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.matcher = det_utils.Matcher(0.5, 0.5, allow_low_quality_matches=False)
        self.sampler = det_utils.BalancedPositiveNegativeSampler(config.box_samples, 0.5)

    def forward(
        self, levels: OrderedDict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Boxes per image [n, 4] -> logits [N, 2] and deltas [N, 8], float32."""
        return self.judge(self.pool(levels, boxes, sizes))

    def judge(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """The same from pooled features [N, C, 7, 7]."""
        hidden = self.layers(pooled)
        return self.score(hidden).float(), self.deltas(hidden).float()

    @torch.no_grad()
    def sample(
        self, proposals: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Choose training regions: boxes, labels (1 text, 0 background), matched word index, deltas."""
        chosen = [self._label(torch.cat([p, t["boxes"]]), t) for p, t in zip(proposals, targets, strict=True)]
        positive, negative = self.sampler([labels for _, labels, _ in chosen])
        boxes, classes, words, goals = [], [], [], []
        for (all_boxes, labels, match), pos, neg, target in zip(
            chosen, positive, negative, targets, strict=True
        ):
            keep = torch.where(pos | neg)[0]
            boxes.append(all_boxes[keep])
            classes.append(labels[keep])
            words.append(match[keep])
            truth = target["boxes"][match[keep]] if len(target["boxes"]) else all_boxes[keep]
            goals.append(truth)
        deltas = list(self.coder.encode(goals, boxes))
        return boxes, classes, words, deltas

    def _label(self, boxes: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        if len(target["boxes"]):
            match = self.matcher(box_iou(target["boxes"], boxes))
        else:
            match = torch.full((len(boxes),), -1, dtype=torch.int64, device=boxes.device)
        labels = (match >= 0).long()
        unsure = covered(boxes, target["ignore_boxes"]) & (labels == 0)
        return boxes, labels.masked_fill(unsure, -1), match.clamp(min=0)

    def loss(
        self, logits: Tensor, deltas: Tensor, classes: list[Tensor], goals: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Classification and regression loss of sampled regions."""
        classification, regression = fastrcnn_loss(logits, deltas, classes, goals)
        return classification, regression

    def detect(
        self, logits: Tensor, deltas: Tensor, proposals: list[Tensor], sizes: list[tuple[int, int]]
    ) -> list[tuple[Tensor, Tensor]]:
        """Boxes [n, 4] and scores [n] per image, best first, after non-maximum suppression."""
        counts = [len(p) for p in proposals]
        boxes = torch.split(self.coder.decode(deltas, proposals)[:, 1], counts)
        scores = torch.split(logits.softmax(-1)[:, 1], counts)
        return [self._suppress(b, s, size) for b, s, size in zip(boxes, scores, sizes, strict=True)]

    def _suppress(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        boxes = clip_boxes_to_image(boxes, size)
        keep = torch.where(scores >= self.config.detection_threshold)[0]
        keep = keep[remove_small_boxes(boxes[keep], 1.0)]
        keep = keep[batched_nms(boxes[keep], scores[keep], torch.zeros_like(keep), self.config.nms_threshold)]
        keep = keep[: self.config.max_words]
        return boxes[keep], scores[keep]


class MaskHead(nn.Module):
    """RoIAlign 14x14, convolutions, one transposed convolution: text probability on 28x28."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.pool = region_pool(MASK_SIZE // 2)
        blocks: list[nn.Module] = []
        width = config.fpn_channels
        for channels in config.mask_channels:
            blocks += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
            width = channels
        blocks += [nn.ConvTranspose2d(width, width, 2, 2), nn.ReLU(), nn.Conv2d(width, 1, 1)]
        self.layers = nn.Sequential(*blocks)

    def forward(
        self, levels: OrderedDict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Boxes per image -> logits [N, 28, 28], float32."""
        if sum(len(b) for b in boxes) == 0:
            return levels["0"].new_zeros((0, MASK_SIZE, MASK_SIZE), dtype=torch.float32)
        logits: Tensor = self.layers(self.pool(levels, boxes, sizes)).squeeze(1).float()
        return logits

    def loss(self, logits: Tensor, boxes: Tensor, polygons: list[Tensor]) -> Tensor:
        """Binary cross-entropy against each region's own polygon; zero (with graph) without regions."""
        if len(boxes) == 0:
            return logits.sum() * 0
        truth = mask_targets(boxes.detach().cpu().numpy(), [p.detach().cpu().numpy() for p in polygons])
        return F.binary_cross_entropy_with_logits(logits, torch.from_numpy(truth).to(logits.device))


def mask_targets(boxes: NDArray[np.float32], polygons: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Each polygon drawn in the frame of its box, [N, 28, 28] in {0, 1}, sub-pixel."""
    masks = np.zeros((len(boxes), MASK_SIZE, MASK_SIZE), np.uint8)
    shift = 4  # fractional bits of cv2.fillPoly's fixed-point coordinates
    for mask, box, polygon in zip(masks, boxes, polygons, strict=True):
        side = np.maximum(box[2:] - box[:2], 1e-3)
        local = (polygon - box[:2]) / side * MASK_SIZE - 0.5
        local = np.clip(local, -10 * MASK_SIZE, 11 * MASK_SIZE)
        cv2.fillPoly(mask, [np.round(local * (1 << shift)).astype(np.int32)], 1, shift=shift)
    return masks.astype(np.float32)
