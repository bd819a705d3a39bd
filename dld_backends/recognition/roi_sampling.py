"""Rectify text regions: sample a feature map along each polygon, sub-pixel and differentiable.

The authors' code crops integer boxes, which at low resolution loses most of a small word; here each
region is read through a grid laid between its top and bottom sides (bilinear), so that the crop of a
word is the same picture at every resolution, only sharper or softer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def _along(side: NDArray[np.float32], positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points at the given fractions [W] of the arc length of a polyline [n, 2] -> [W, 2]."""
    steps = np.linalg.norm(np.diff(side, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    where = positions * length[-1]
    return np.stack([np.interp(where, length, side[:, 0]), np.interp(where, length, side[:, 1])], axis=1)


def region_grid(polygon: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The sampling points of one region.

    Args:
        polygon: [n, 2], n >= 3, clockwise from the start of the text: its first half is the top side,
            the second half the bottom side read backwards (an odd point goes to the top).
        height, width: size of the rectified crop.

    Returns:
        float32 [height, width, 2] points (x, y) in the polygon's coordinates.
    """
    split = (len(polygon) + 1) // 2
    top, bottom = polygon[:split], polygon[split:][::-1]
    columns = np.linspace(0.5 / width, 1 - 0.5 / width, width, dtype=np.float32)
    rows = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None, None]
    upper, lower = _along(top, columns), _along(bottom, columns)
    return np.asarray(upper[None] * (1 - rows) + lower[None] * rows, dtype=np.float32)


def sample_regions(
    features: Tensor,
    polygons: Sequence[Sequence[Tensor | NDArray[np.float32]]],
    stride: float,
    size: tuple[int, int],
) -> Tensor:
    """Read every region of a batch from one feature map.

    Args:
        features: [B, C, H, W]; position (i, j) covers image pixels around ((j + .5), (i + .5)) * stride.
        polygons: per image its regions, [n, 2] in pixels of the (padded) image.
        stride: pixels per feature position.
        size: (height, width) of the crops.

    Returns:
        [N, C, height, width], N regions in order of images; zero outside of the map.
    """
    height, width = size
    extent = features.new_tensor([features.shape[3], features.shape[2]], dtype=torch.float32) * stride
    crops = []
    for index, regions in enumerate(polygons):
        if not len(regions):
            continue
        points = np.stack([region_grid(_array(p), height, width) for p in regions])
        grid = torch.from_numpy(points).to(features.device) / extent * 2 - 1
        crop = F.grid_sample(
            features[index : index + 1].float(),
            grid.reshape(1, -1, width, 2),
            mode="bilinear",
            align_corners=False,
        )
        crops.append(crop.reshape(-1, len(regions), height, width).transpose(0, 1))
    if not crops:  # an empty view rather than new zeros: a batch without words keeps its graph
        return features[:0, :, :1, :1].float().expand(-1, -1, height, width)
    return torch.cat(crops)


def _array(polygon: Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
    points = polygon.detach().cpu().numpy() if isinstance(polygon, Tensor) else polygon
    return np.asarray(points, dtype=np.float32)
