"""Rectify text regions: sample a feature map along each polygon, sub-pixel and differentiable.

The authors' code crops integer boxes, which at low resolution loses most of a small word; here each
region is read through a grid laid between its top and bottom sides (bilinear), so that the crop of a
word is the same picture at every resolution, only sharper or softer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def region_grids(polygons: Sequence[NDArray[Any]], height: int, width: int) -> NDArray[np.float32]:
    """The sampling points of regions, all polygons of as many points at once.

    Args:
        polygons: [n, 2] each, n >= 3, clockwise from the start of the text: the first half is the top side,
            the second half the bottom side read backwards (an odd point goes to the top).
        height, width: size of the rectified crops.

    Returns:
        float32 [N, height, width, 2] points (x, y) in the polygons' coordinates.
    """
    grids = np.empty((len(polygons), height, width, 2), np.float32)
    columns = (np.arange(width) + 0.5) / width
    rows = ((np.arange(height) + 0.5) / height)[:, None, None]
    counts = np.array([len(polygon) for polygon in polygons])
    for count in np.unique(counts):
        which = np.flatnonzero(counts == count)
        points = np.stack([polygons[int(i)] for i in which]).astype(np.float64)
        split = (count + 1) // 2
        upper, lower = _along(points[:, :split], columns), _along(points[:, : split - 1 : -1], columns)
        grids[which] = upper[:, None] * (1 - rows) + lower[:, None] * rows
    return grids


def _along(sides: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points at the given fractions [W] of the arc length of polylines [N, n, 2] -> [N, W, 2]."""
    if sides.shape[1] == 1:
        return np.repeat(sides, len(positions), 1)
    steps = np.diff(sides, axis=1)
    lengths = np.linalg.norm(steps, axis=2)
    ends = np.cumsum(lengths, 1)
    where = positions * ends[:, -1:]
    piece = (where[:, :, None] >= ends[:, None, :-1]).sum(2)
    rows = np.arange(len(sides))[:, None]
    before = where - (ends - lengths)[rows, piece]
    fraction = before / np.maximum(lengths[rows, piece], np.finfo(np.float64).tiny)
    return np.asarray(sides[rows, piece] + fraction[:, :, None] * steps[rows, piece])


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
    image_size = features.shape[2] * stride, features.shape[3] * stride
    crops = []
    for index, regions in enumerate(polygons):
        if not len(regions):
            continue
        points = torch.from_numpy(region_grids([_array(p) for p in regions], height, width))
        crops.append(sample_points(features[index : index + 1], points[None].to(features.device), image_size))
    if not crops:  # an empty view rather than new zeros: a batch without words keeps its graph
        return features[:0, :, :1, :1].float().expand(-1, -1, height, width)
    return torch.cat(crops)


def sample_points(features: Tensor, points: Tensor, image_size: tuple[float, float]) -> Tensor:
    """Read maps [B, C, H, W] at points [B, N, h, w, 2] (x, y), in pixels of the image: [B * N, C, h, w].

    Args:
        image_size: height and width of the image that the maps cover, pixels.
    """
    grid = torch.stack([points[..., 0] * (2 / image_size[1]), points[..., 1] * (2 / image_size[0])], -1) - 1
    crops = F.grid_sample(features.float(), grid.flatten(1, 2), mode="bilinear", align_corners=False)
    count, _, height, width = points.shape[:4]
    return crops.reshape(count, features.shape[1], -1, height, width).transpose(1, 2).flatten(0, 1)


def _array(polygon: Tensor | NDArray[np.float32]) -> NDArray[np.float32]:
    points = polygon.detach().cpu().numpy() if isinstance(polygon, Tensor) else polygon
    return np.asarray(points, dtype=np.float32)
