"""What training needs beside the networks: inputs as tensors with gradients behind them, and targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dld_core.decoders.line_encoder import COLUMN, HEIGHT
from dld_core.decoders.roi_sampling import region_grids, sample_points
from dld_core.decoders.targets import draw_targets
from dld_core.decoders.words import Regions
from dld_core.types import Batch
from dld_plugins.ppocr.files import Triple

STRIDE = 32
SHRINK_RATIO = (
    0.6  # so that words, grown by the engine, come out a tenth or two larger than they are, as it does
)
_DETECTOR_TERMS = 2


def stack(images: Sequence[Tensor], mean: Triple, std: Triple, device: torch.device) -> Tensor:
    """Images uint8 [3, H, W] as the detector takes them: [B, 3, H', W'], blue first, padded with the mean.

    Args:
        mean, std: of blue, green and red in [0, 1].
    """
    height, width = (-(-max(i.shape[side] for i in images) // STRIDE) * STRIDE for side in (1, 2))
    centre, spread = (torch.tensor(v, device=device).view(3, 1, 1) for v in (mean, std))
    inputs = [(i.to(device).flip(0).float() / 255 - centre) / spread for i in images]
    return torch.stack([F.pad(i, (0, width - i.shape[2], 0, height - i.shape[1])) for i in inputs])


def text_targets(batch: Batch, size: tuple[int, int], min_side: float, device: torch.device) -> list[Tensor]:
    """Which positions are text, and where anybody knows: two float32 [B, H, W].

    Args:
        size: height and width of the batch as padded.
    """
    drawn = [
        draw_targets([p.cpu().numpy() for p in polygons], ignore.tolist(), size, 1, SHRINK_RATIO, min_side)
        for polygons, ignore in zip(batch.polygons, batch.ignore, strict=True)
    ]
    kinds = list(zip(*drawn, strict=True))[:_DETECTOR_TERMS]
    return [torch.from_numpy(np.stack(kind)).to(device) for kind in kinds]


def sample_lines(images: Sequence[Tensor], regions: Regions, width: int, device: torch.device) -> Tensor:
    """Regions as the recogniser takes them: [N, 3, 48, width] in [-1, 1], blue first, padded with zeros.

    Sampled as the engine's two resizings do it: one pixel of the image for each of the line, bilinear.
    """
    lines = [torch.zeros((0, 3, HEIGHT, width), device=device)]
    for image, polygons in zip(images, regions, strict=True):
        pixels = image.to(device).flip(0).float()[None] / 127.5 - 1
        lines += [_sample(pixels, polygon, width) for polygon in polygons]
    return torch.cat(lines)


def _sample(pixels: Tensor, polygon: Tensor, width: int) -> Tensor:
    points = polygon.detach().cpu().numpy()
    own = _line_width(points, width)
    grid = torch.from_numpy(region_grids([points], HEIGHT, own)).to(pixels.device)
    # The edge goes on beyond the image, as in the crops of the engine.
    size_ratio = (pixels.shape[2], pixels.shape[3])
    limit = torch.tensor([size_ratio[1] - 0.5, size_ratio[0] - 0.5], device=pixels.device)
    line = sample_points(pixels, torch.minimum(grid.clamp(min=0.5), limit)[None], size_ratio)
    return F.pad(line, (0, width - own))


def _line_width(polygon: NDArray[np.float32], limit: int) -> int:
    """Pixels of a line 48 high that keeps the region's proportions, one column at least."""
    split = (len(polygon) + 1) // 2
    top, bottom = polygon[:split], polygon[split:]
    along = sum(float(np.linalg.norm(np.diff(side, axis=0), axis=1).sum()) for side in (top, bottom))
    height = np.linalg.norm(top[0] - bottom[-1]) + np.linalg.norm(top[-1] - bottom[0])
    wanted = HEIGHT * along / max(float(height), 1e-6)
    return int(min(max(round(wanted), COLUMN), limit)) if np.isfinite(wanted) else limit
