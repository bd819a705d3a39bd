"""Images of a call as tensors that a network takes: padded, stacked, grouped by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def rounded_up(side: int, divisor: int) -> int:
    """The next multiple of the divisor."""
    return -(-side // divisor) * divisor


def stack_images(
    images: Sequence[Tensor], divisor: int, device: torch.device
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Images [3, H, W] padded with zeros (right, bottom) to one size: [B, 3, H', W'] and true sizes.

    Args:
        divisor: H' and W' are multiples of it.
        device: where the result lies.
    """
    sizes = [(int(image.shape[1]), int(image.shape[2])) for image in images]
    height = rounded_up(max(h for h, _ in sizes), divisor)
    width = rounded_up(max(w for _, w in sizes), divisor)
    padded = [
        F.pad(image.to(device), (0, width - w, 0, height - h))
        for image, (h, w) in zip(images, sizes, strict=True)
    ]
    return torch.stack(padded), sizes


def same_size_groups(images: Sequence[Tensor | NDArray[Any]], limit: int) -> list[list[int]]:
    """Indices of images of one shape, at most `limit` together: nobody's padding depends on its company."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(tuple(image.shape), []).append(index)
    return [group[i : i + limit] for group in by_size.values() for i in range(0, len(group), limit)]
