"""Distilling detection: the teacher's dense maps at the student's resolution, and boxes in its view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_core.types import Batch, BoxOutputs, DenseMap

Size = tuple[int, int]
_BETA = 1 / 9  # where the smooth L1 distance turns straight, as in torchvision's box losses


def map_divergence(
    teacher: DenseMap,
    student: DenseMap,
    teacher_sizes: Sequence[Size],
    student_sizes: Sequence[Size],
    text_share: float | None = 0.5,
) -> Tensor:
    """KL(teacher || student) of the probabilities, a share of it over what is text and the rest elsewhere.

    The teacher's probabilities (not its logits) are averaged down: a position of the student's that text
    half covers should say one half. Text is a few per cent of a photo; without the shares the background
    would be nearly all of the mean. With them, what is doubtful is taken for text more often than it is one:
    where no loss on true labels corrects that, let every position count alike. The teacher is believed
    everywhere, in ignore regions too.

    Args:
        teacher, student: over their batches as padded; the padding is left out.
        teacher_sizes, student_sizes: true (height, width) of the images of each batch, pixels.
        text_share: of the mean, in (0, 1); None for the mean over all positions.
    """
    parts = []
    for index, (large, small) in enumerate(zip(teacher_sizes, student_sizes, strict=True)):
        logits = _inside(student, index, small)
        shown = _inside(teacher, index, large).detach().sigmoid()
        wanted = shrink(shown, (logits.shape[0], logits.shape[1])).clamp(0, 1)
        entropy = torch.special.entr(wanted) + torch.special.entr(1 - wanted)
        crossed = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        parts.append(shared_mean((crossed - entropy).clamp(min=0), wanted, text_share))
    return torch.stack(parts).mean()


def shrink(probability: Tensor, size: Size) -> Tensor:
    """A map [H, W] at another size, low-pass filtered where it gets smaller."""
    wide = probability[None, None]
    return F.interpolate(wide, size=size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _inside(dense: DenseMap, index: int, size: Size) -> Tensor:
    """The logits [h, w] of one image without its padding."""
    height, width = (max(round(side / dense.stride), 1) for side in size)
    return dense.logits[index, :height, :width].float()


def with_teacher_boxes(view: Batch, shown: BoxOutputs, larger: Batch) -> Batch:
    """The student's view with the boxes that the teacher judged in its own, larger one."""
    boxes = []
    for own, one, other in zip(shown.boxes, larger.images, view.images, strict=True):
        x, y = other.shape[2] / one.shape[2], other.shape[1] / one.shape[1]
        boxes.append(own * own.new_tensor([x, y, x, y]))
    return replace(view, teacher_boxes=boxes)


def box_divergence(
    teacher: BoxOutputs, student: BoxOutputs, text_share: float | None = 0.5
) -> dict[str, Tensor]:
    """`class`: KL(teacher || student), a share of it over text. `box`: smooth L1 distance of the corrections,
    summed over the four, over the boxes that are text.

    Most boxes are background; without the shares they would be nearly all of the mean.
    """
    wanted = teacher.logits.detach().float().log_softmax(-1)
    text = 1 - wanted[:, 0].exp()
    given = student.logits.float().log_softmax(-1)
    divergence = F.kl_div(given, wanted, reduction="none", log_target=True).sum(-1)
    deltas = teacher.deltas.detach().float()
    apart = F.smooth_l1_loss(student.deltas.float(), deltas, beta=_BETA, reduction="none").sum(-1)
    return {"class": shared_mean(divergence, text, text_share), "box": weighted_mean(apart, text)}


def shared_mean(values: Tensor, text: Tensor, text_share: float | None) -> Tensor:
    """A share from what is text (weights in [0, 1]), the rest from what is not; None: all alike."""
    if text_share is None:
        return values.sum() / max(values.numel(), 1)
    return text_share * weighted_mean(values, text) + (1 - text_share) * weighted_mean(values, 1 - text)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Where the weights add up to less than one element, less than the mean."""
    return (values * weights).sum() / weights.sum().clamp(min=1)
