"""Which annotated words can be taught, and the regions to read, moved as detections would be."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_core.decoders.charset import Charset
from dld_core.types import Batch

Regions = list[list[Tensor]]
"""Per image of a batch its regions, [n, 2] each, in pixels."""


def readable_words(
    batch: Batch, charset: Charset, max_length: int, jitter: float = 0.0
) -> tuple[Regions, list[list[str]]]:
    """Regions and texts that can be taught: no ignore regions, inside the charset, not too long.

    Decided by text and flags alone, never by size, so that a teacher's and a student's rows line up.

    Args:
        jitter: of the regions, see `jitter_regions`; a batch with `regions` of its own is not moved again.
    """
    places = jitter_regions(batch.polygons, jitter) if batch.regions is None else batch.regions
    regions: Regions = []
    texts: list[list[str]] = []
    for own, words, ignore in zip(places, batch.texts, batch.ignore, strict=True):
        keep = [
            i
            for i, word in enumerate(words)
            if not bool(ignore[i]) and 1 <= len(word) <= max_length and all(c in charset for c in word)
        ]
        regions.append([own[i] for i in keep])
        texts.append([words[i] for i in keep])
    return regions, texts


def jitter_regions(regions: Regions, amount: float) -> Regions:
    """Move every side in or out by up to about `amount` of the word's height, as detections would."""
    if amount == 0:
        return regions
    return [[_jitter(polygon, amount) for polygon in image] for image in regions]


def scaled_regions(regions: Regions, larger: Batch, view: Batch) -> Regions:
    """Regions of a batch in the pixels of a view of it."""
    scaled = []
    for polygons, one, other in zip(regions, larger.images, view.images, strict=True):
        factor = torch.tensor([other.shape[2] / one.shape[2], other.shape[1] / one.shape[1]])
        scaled.append([polygon * factor.to(polygon.device) for polygon in polygons])
    return scaled


def _jitter(polygon: Tensor, amount: float) -> Tensor:
    split = (len(polygon) + 1) // 2
    if len(polygon) % 2:
        return polygon
    top, bottom = polygon[:split], polygon[split:].flip(0)
    down = bottom - top
    up_by, down_by, left_by, right_by = ((torch.rand(4, device=polygon.device) * 2 - 0.7) * amount).unbind()
    new_top, new_bottom = top - down * up_by, bottom + down * down_by
    height = down.norm(dim=1).mean()
    moved = []
    for side in (new_top, new_bottom):
        start = F.normalize(side[1] - side[0], dim=0) * height
        end = F.normalize(side[-1] - side[-2], dim=0) * height
        side = side.clone()
        side[0] = side[0] - start * left_by
        side[-1] = side[-1] + end * right_by
        moved.append(side)
    return torch.cat([moved[0], moved[1].flip(0)])
