"""Regions cut out of an image as lines of pixels, upright and 48 high, by one warp each. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dld_backends.recognition.words import Points
from dld_core.decoders.line_encoder import COLUMN, HEIGHT
from dld_core.decoders.roi_sampling import region_grids

Pixels = NDArray[np.uint8]  # [H, W, 3]

_FINEST = 8  # pixels of a line averaged into one, along either side, at most
_NOWHERE = -1e6


def region_size(polygon: Points) -> tuple[float, float]:
    """Height and length of a region along its top and bottom sides, in the polygon's units."""
    split = (len(polygon) + 1) // 2
    top, bottom = polygon[:split], polygon[split:]
    length = sum(float(np.linalg.norm(np.diff(side, axis=0), axis=1).sum()) for side in (top, bottom)) / 2
    ends = np.linalg.norm(top[0] - bottom[-1]) + np.linalg.norm(top[-1] - bottom[0])
    return float(ends) / 2, length


def line_width(polygon: Points, limit: int) -> int:
    """Pixels of a line 48 high that keeps the region's proportions, from one column to `limit`."""
    height, length = region_size(polygon)
    wanted = HEIGHT * length / max(height, 1e-6)
    return int(min(max(round(wanted), COLUMN), limit)) if np.isfinite(wanted) else limit


def bucket(width: int) -> int:
    """The width to which a line is padded: few different ones, at most an eighth wider, multiples of 16."""
    step = max(16, 1 << max(int(width - 1).bit_length() - 4, 0))
    return -(-width // step) * step


def cut_lines(image: Pixels, polygons: Sequence[Points], widths: Sequence[int]) -> list[Pixels]:
    """The lines [48, width, 3] of regions; beyond the image its edge goes on.

    Regions higher than a line are read pixel by pixel and averaged, so that no stroke falls between samples.

    Args:
        polygons: in pixels of the image, clockwise from the start of the text.
    """
    return [_cut(image, polygon, width) for polygon, width in zip(polygons, widths, strict=True)]


def line_grids(
    polygons: Sequence[Points], widths: Sequence[int], width: int, stride: int
) -> NDArray[np.float32]:
    """Where the positions of lines, one every `stride` pixels, lie in the image: [n, 48 / s, width / s, 2].

    Beyond its own width a line has points outside of every image.
    """
    rows, columns = HEIGHT // stride, width // stride
    grids = np.full((len(polygons), rows, columns, 2), _NOWHERE, np.float32)
    for grid, polygon, own in zip(grids, polygons, widths, strict=True):
        covered = max(own // stride, 1)
        grid[:, :covered] = region_grids([polygon], rows, covered)[0]
    return grids


def _cut(image: Pixels, polygon: Points, width: int) -> Pixels:
    height, length = region_size(polygon)
    finer = max(height / HEIGHT, length / max(width, 1))
    finer = int(np.clip(np.ceil(finer - 0.5), 1, _FINEST)) if np.isfinite(finer) else 1
    grid = region_grids([polygon], HEIGHT * finer, width * finer)[0] - 0.5  # OpenCV counts from centres
    limit = np.array(image.shape[1::-1], np.float32) + HEIGHT
    points = np.clip(np.nan_to_num(grid), -HEIGHT, limit).astype(np.float32)
    # Two maps: with one of two channels and an empty second, OpenCV 5 reads memory that nobody has set.
    across, down = np.ascontiguousarray(points[:, :, 0]), np.ascontiguousarray(points[:, :, 1])
    line = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(line, (width, HEIGHT), interpolation=cv2.INTER_AREA) if finer > 1 else line)


def grown(polygon: Points, by: float) -> Points:
    """The polygon with each side moved outwards by this fraction of its height.

    Args:
        by: 0.1 makes a word a fifth higher, and as much longer in pixels.
    """
    split = (len(polygon) + 1) // 2
    if by == 0 or len(polygon) % 2:
        return polygon
    top, bottom = polygon[:split], polygon[split:][::-1]
    down = (bottom - top) * by
    reach = float(np.linalg.norm(bottom - top, axis=1).mean()) * by
    moved = []
    for side in (top - down, bottom + down):
        along = np.diff(side, axis=0)
        along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6) * reach
        side = side.copy()
        side[0] -= along[0]
        side[-1] += along[-1]
        moved.append(side)
    return np.concatenate([moved[0], moved[1][::-1]]).astype(np.float32)
