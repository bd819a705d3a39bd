"""Losses of the binarisation head (arXiv 1911.08947, section 3.5), don't-care masked in each of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from dld_backends.segmentation.network import Maps
from dld_core.decoders.map_losses import balanced_cross_entropy, border_distance, dice_loss

# As the authors' code weights them.
WEIGHTS = {"probability": 5.0, "threshold": 10.0, "binary": 1.0}


def binarization_losses(maps: Maps, targets: Sequence[Tensor], sharpness: float) -> dict[str, Tensor]:
    """Weighted losses by name, finite and with a graph whatever the batch holds.

    Args:
        maps: logits [B, h, w].
        targets: what they should say, float32 [B, h, w] each: text, care, threshold, near (see
            `targets.Targets`).
        sharpness: k of the binary map.
    """
    text, care, threshold, near = targets
    losses = {
        "probability": balanced_cross_entropy(maps.text, text, care),
        "threshold": border_distance(maps.threshold.sigmoid(), threshold, near),
        "binary": dice_loss(maps.binary(sharpness), text, care),
    }
    return {name: WEIGHTS[name] * loss for name, loss in losses.items()}
