"""Distilling a two-stage detector: the teacher's boxes, seen by the student at its own resolution."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from dld_core.distillation.maps import shared_mean, weighted_mean
from dld_core.types import Batch, BoxOutputs

_BETA = 1 / 9  # where the smooth L1 distance turns straight, as in torchvision's box losses


def with_teacher_boxes(view: Batch, shown: BoxOutputs, larger: Batch) -> Batch:
    """The student's view with the boxes that the teacher judged in its own, larger one."""
    pairs = zip(shown.boxes, larger.images, view.images, strict=True)
    return replace(view, teacher_boxes=[boxes * _factor(boxes, one, other) for boxes, one, other in pairs])


def _factor(like: Tensor, one: Tensor, other: Tensor) -> Tensor:
    x, y = other.shape[2] / one.shape[2], other.shape[1] / one.shape[1]
    return like.new_tensor([x, y, x, y])


def class_divergence(teacher: BoxOutputs, student: BoxOutputs, text_share: float | None = 0.5) -> Tensor:
    """KL(teacher || student) of the classes, a share of it over what is text and the rest elsewhere.

    Most boxes are background; without the shares they would be nearly all of the mean.
    """
    wanted = teacher.logits.detach().float().log_softmax(-1)
    given = student.logits.float().log_softmax(-1)
    divergence = F.kl_div(given, wanted, reduction="none", log_target=True).sum(-1)
    return shared_mean(divergence, 1 - wanted[:, 0].exp(), text_share)


def box_distance(teacher: BoxOutputs, student: BoxOutputs) -> Tensor:
    """Smooth L1 distance of the corrections, summed over the four, over the boxes that are text."""
    wanted = teacher.deltas.detach().float()
    apart = F.smooth_l1_loss(student.deltas.float(), wanted, beta=_BETA, reduction="none")
    return weighted_mean(apart.sum(-1), 1 - teacher.logits.detach().float().softmax(-1)[:, 0])


def box_divergence(
    teacher: BoxOutputs, student: BoxOutputs, text_share: float | None = 0.5
) -> dict[str, Tensor]:
    """Both terms by name."""
    return {"class": class_divergence(teacher, student, text_share), "box": box_distance(teacher, student)}
