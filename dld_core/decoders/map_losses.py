"""Losses of maps of text (arXiv 1911.08947, section 3.5), don't-care masked in each of them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

NEGATIVES = 3.0
"""Background positions taught for each position of text: the hardest ones (arXiv 1604.03540)."""
LEAST_NEGATIVES = 0.005
"""Of all positions; images without text teach this share of theirs."""


def balanced_cross_entropy(logits: Tensor, text: Tensor, care: Tensor) -> Tensor:
    """Binary cross-entropy over all text and the hardest background, mean over the positions that count.

    A position that lies partly in a word is text: as background, what cannot be known of it would always
    be among the hardest.
    """
    loss = F.binary_cross_entropy_with_logits(logits, text, reduction="none")
    positive = (text > 0) & (care > 0)
    negative = (text == 0) & (care > 0)
    wanted = max(int(NEGATIVES * int(positive.sum())), int(LEAST_NEGATIVES * text.numel()), 1)
    background = loss[negative]
    hardest = background.topk(min(wanted, len(background))).values
    counted = int(positive.sum()) + len(hardest)
    return (loss[positive].sum() + hardest.sum()) / max(counted, 1)


def dice_loss(binary: Tensor, text: Tensor, care: Tensor) -> Tensor:
    """1 - 2 |B and G| / (|B| + |G|) where anybody knows (arXiv 1606.04797), smoothed by one position."""
    shared = (binary * text * care).sum()
    total = (binary * care).sum() + (text * care).sum()
    return 1 - (2 * shared + 1) / (total + 1)


def border_distance(threshold: Tensor, wanted: Tensor, near: Tensor) -> Tensor:
    """Mean absolute difference near the words; 0 where there are none."""
    return ((threshold - wanted).abs() * near).sum() / near.sum().clamp(min=1)
