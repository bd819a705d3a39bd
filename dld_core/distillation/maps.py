"""Distilling detection: the teacher's dense maps, brought to the student's resolution, against its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_core.types import DenseMap

Size = tuple[int, int]


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
    everywhere, in don't-care regions too.

    Args:
        teacher, student: over their batches as padded; the padding is left out.
        teacher_sizes, student_sizes: true (height, width) of the images of each batch, pixels.
        text_share: of the mean, in (0, 1); None for the mean over all positions.
    """
    parts = []
    for index, (large, small) in enumerate(zip(teacher_sizes, student_sizes, strict=True)):
        given = _inside(student, index, small)
        shown = _inside(teacher, index, large).detach().sigmoid()
        parts.append(_balanced(shrink(shown, (given.shape[0], given.shape[1])), given, text_share))
    return torch.stack(parts).mean()


def shrink(probability: Tensor, size: Size) -> Tensor:
    """A map [H, W] at another size, low-pass filtered where it gets smaller."""
    wide = probability[None, None]
    return F.interpolate(wide, size=size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _inside(dense: DenseMap, index: int, size: Size) -> Tensor:
    """The logits [h, w] of one image without its padding."""
    height, width = (max(round(side / dense.stride), 1) for side in size)
    return dense.logits[index, :height, :width].float()


def _balanced(wanted: Tensor, logits: Tensor, text_share: float | None) -> Tensor:
    wanted = wanted.clamp(0, 1)
    divergence = (
        F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        - torch.special.entr(wanted)
        - torch.special.entr(1 - wanted)
    ).clamp(min=0)  # rounding alone takes it below 0
    return shared_mean(divergence, wanted, text_share)


def shared_mean(values: Tensor, text: Tensor, text_share: float | None) -> Tensor:
    """A share from what is text (weights in [0, 1]), the rest from what is not; None: all alike."""
    if text_share is None:
        return values.sum() / max(values.numel(), 1)
    return text_share * weighted_mean(values, text) + (1 - text_share) * weighted_mean(values, 1 - text)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Where the weights add up to less than one element, less than the mean."""
    return (values * weights).sum() / weights.sum().clamp(min=1)
