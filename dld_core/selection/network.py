"""The bundled selector: from a thumbnail to the words lost at every scale.

A few hundred image-level labels ("scale 0.5 would have done") teach a network nothing that helps on other
photos. So it is built around what decides whether a word can be read, and every part of that can be taught
densely, cell by cell: how many words there are (`density`), how high their letters are (`log_height`), and,
given the height in pixels that a scale would leave, the chance that a word there is lost (`lost`). The score
of a scale is the sum over cells of density times chance, plus a small correction from the image as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from dld_core.images import WorkingLimits
from dld_core.interfaces import ResolutionSelector, SelectorConfig
from dld_core.runtimes.folding import FoldedCopy
from dld_core.selection.calibration import SIZE_RATIOS, Calibration, rescaled
from dld_core.selection.targets import cell_targets
from dld_core.types import SelectorBatch


class DenseConfig(SelectorConfig):
    """Options of the bundled selector.

    Attributes:
        reference_short_side: the short side at scale 1, pixels (the spotter's own).
        width: channels of its finest features; deeper ones have two and four times as many.
        hidden: units that judge a word's chance of being read.
    """

    reference_short_side: float = Field(default=720.0, gt=0)
    width: int = Field(default=24, ge=4)
    hidden: int = Field(default=32, ge=4)


class SelectorMaps(NamedTuple):
    """What the selector sees, cell by cell.

    Attributes:
        density: [B, h, w] words per cell, >= 0.
        log_height: [B, h, w] log2 of the height of text, thumbnail pixels.
        lost: [B, K, h, w] logits of the chance that a word of this cell is lost at each scale.
        correction: [B, K] words, from the image as a whole.
    """

    density: Tensor
    log_height: Tensor
    lost: Tensor
    correction: Tensor

    @property
    def scores(self) -> Tensor:
        """[B, K] expected loss in words."""
        return (self.density.unsqueeze(1) * self.lost.sigmoid()).sum((2, 3)) + self.correction


class DenseSelector(ResolutionSelector):
    """A small convolutional network; see the top of this file.

    Args:
        config: a DenseConfig or nothing for its defaults.
    """

    config_type: ClassVar[type[DenseConfig]] = DenseConfig
    loss_weights = {"density": 20.0, "height": 0.5, "lost": 1.0, "words": 1.0, "decision": 1.0}  # noqa: RUF012
    learns_from_pages = True
    config: DenseConfig
    reference_short_side: float
    slope: Tensor
    offset: Tensor

    def __init__(self, config: DenseConfig | None = None) -> None:
        config = config or DenseConfig()
        super().__init__(config)
        width = config.width
        self.stem = nn.Sequential(_conv(3, 16, 2), _separable(16, width, 2), _separable(width, width))
        self.middle = nn.Sequential(_separable(width, 2 * width, 2), *_separables(2 * width, 2))
        self.deep = nn.Sequential(_separable(2 * width, 4 * width, 2), *_separables(4 * width, 3))
        self.lateral = _conv(4 * width, 2 * width, kernel=1)
        self.fine = _conv(width, 2 * width, 2, kernel=2, padding=0)
        self.merge = _separable(2 * width, 2 * width)
        self.density = nn.Conv2d(2 * width, 1, 1)
        self.height = nn.Conv2d(2 * width, 1, 1)
        self.texture = nn.Conv2d(2 * width, config.hidden, 1)
        self.size = nn.Linear(2, config.hidden)
        self.lost = nn.Linear(config.hidden, 1)
        self.whole = nn.Sequential(
            nn.Linear(4 * width + 2, config.hidden), nn.ReLU(), nn.Linear(config.hidden, len(config.scales))
        )
        # See `calibration`; they act in `forward` alone.
        self.register_buffer("slope", torch.tensor([1.0, 0.0]))
        self.register_buffer("offset", torch.zeros(2, len(config.scales)))
        nn.init.constant_(self.density.bias, -5.0)  # type: ignore[arg-type]
        nn.init.zeros_(self.whole[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.whole[-1].bias)  # type: ignore[arg-type]
        self._folded = FoldedCopy()

    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        """See `ResolutionSelector.forward`."""
        return self.expect(thumbnails, native_sizes)[0]

    def expect(self, thumbnails: Tensor, native_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and how many words there are [B]."""
        reading = not (self.training or torch.is_grad_enabled())
        maps = (self._folded.of(self) if reading else self).maps(thumbnails, native_sizes)
        shares = native_sizes.to(self.slope.dtype).amin(1, keepdim=True) / self.reference_short_side
        size_ratios = shares.clamp(*SIZE_RATIOS).log2()
        slope = (self.slope[0] + self.slope[1] * size_ratios).clamp(min=0)
        offset = self.offset[0] + self.offset[1] * size_ratios
        return rescaled(maps.scores, slope, offset), maps.density.sum((1, 2))

    def calibrate(self, found: Calibration | None = None) -> None:
        """Have `forward` stretch and shift its scores so; as called plainly, no more."""
        known = found or Calibration.none(len(self.scales))
        self.slope.copy_(torch.as_tensor(known.slope))
        self.offset.copy_(torch.as_tensor(known.offset))

    def targets(
        self,
        polygons: Sequence[NDArray[np.float32]],
        cares: NDArray[np.bool_],
        lost: NDArray[np.float32],
        size: tuple[int, int],
    ) -> dict[str, NDArray[np.float32]]:
        """What the maps should show, cell by cell."""
        return cell_targets(polygons, cares, lost, size)._asdict()

    def training_loss(self, batch: SelectorBatch, progress: float = 0.0) -> dict[str, Tensor]:
        """Of the maps, everywhere; of what was lost, where a spotter has read the images."""
        del progress
        maps, wanted = self.maps(batch.thumbnails, batch.native_sizes), batch.targets
        covered = wanted["covered"].sum((1, 2)).clamp(min=1.0)
        off = (maps.log_height - wanted["log_height"]).abs() * wanted["covered"]
        losses = {
            "density": (maps.density - wanted["density"] * (maps.density + 1e-4).log()).mean(),
            "height": (off.sum((1, 2)) / covered).mean(),
        }
        if batch.losses is None:
            return losses
        words = wanted["density"].sum((1, 2))
        wrong = F.binary_cross_entropy_with_logits(maps.lost, wanted["lost"], reduction="none").mean(1)
        spread = (1 + words).sqrt().unsqueeze(1)
        return losses | {
            "lost": ((wrong * wanted["density"]).sum((1, 2)) / words.clamp(min=1.0)).mean(),
            "words": F.smooth_l1_loss(maps.scores / spread, batch.losses / spread),
            "decision": batch.decision(maps.scores),
        }

    def maps(self, thumbnails: Tensor, native_sizes: Tensor) -> SelectorMaps:
        """What the scores are made of, not calibrated: for training and for looking at."""
        features, deep = self._features(thumbnails)
        density = F.softplus(self.density(features)).squeeze(1)
        log_height = self.height(features).squeeze(1) + 2.0  # letters of four pixels, to begin with
        native = native_sizes.to(thumbnails.dtype).clamp(1.0, 32768.0)
        lost = self._lost(features, log_height, thumbnails.shape[2:], native)
        return SelectorMaps(density, log_height, lost, self._correction(deep, density, native))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Files from before calibration existed, or before it depended on the size, are read as well."""
        for name in ("slope", "offset"):
            own = getattr(self, name)
            value = state.setdefault(prefix + name, own)
            if value.ndim < own.ndim:
                state[prefix + name] = torch.stack([value, torch.zeros_like(value)])
        super()._load_from_state_dict(state, prefix, *rest)

    def _features(self, thumbnails: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stem((thumbnails - 0.45) * 4.0)
        middle = self.middle(fine)
        deep = self.deep(middle)
        lifted = F.interpolate(self.lateral(deep), size=middle.shape[2:])
        return self.merge(middle + lifted + self.fine(fine)), deep

    def _full(self, native: Tensor) -> Tensor:
        """The short side [B] at full scale, pixels, of images of native (height, width) [B, 2]: by
        `images.full_factor`.
        """
        short, reference = native.amin(1), self.reference_short_side
        by_area = (2 * reference**2 / native.prod(1)).sqrt()
        factor = torch.minimum(reference / short, by_area).clamp(1.0, WorkingLimits().max_enlargement)
        return short * factor

    def _lost(self, features: Tensor, log_height: Tensor, size: torch.Size, native: Tensor) -> Tensor:
        """Chance of losing a word, from how it looks and how high it is: natively, and at each scale."""
        short = float(min(size))
        native_height = log_height + (native.amin(1) / short).log2()[:, None, None]
        scales = log_height.new_tensor(self.scales) * (self._full(native) / short)[:, None]
        working = log_height.unsqueeze(1) + scales.log2()[:, :, None, None]
        sizes = torch.stack([working, native_height.unsqueeze(1).expand_as(working)], -1)
        texture = self.texture(features).permute(0, 2, 3, 1).unsqueeze(1)
        # Centred on 16 pixels, where reading begins to be easy.
        lost: Tensor = self.lost(F.relu(texture + self.size(sizes - 4.0)))
        return lost.squeeze(-1)

    def _correction(self, deep: Tensor, density: Tensor, native: Tensor) -> Tensor:
        pooled = [deep.mean((2, 3)), density.sum((1, 2), keepdim=True)[:, 0].add(1).log()]
        pooled.append(native.amin(1, keepdim=True).log2() / 8 - 1)
        whole: Tensor = self.whole(torch.cat(pooled, 1))
        return whole


def _conv(
    inputs: int, outputs: int, stride: int = 1, kernel: int = 3, padding: int | None = None
) -> nn.Module:
    padding = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.BatchNorm2d(inputs), _conv(inputs, outputs, kernel=1))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = _separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


def _separables(channels: int, count: int) -> list[nn.Module]:
    return [_Residual(channels) for _ in range(count)]
