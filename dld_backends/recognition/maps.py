"""What the recogniser reads from: the shared map of a batch and, if the trunk has one, a finer one."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class ReadingMaps(NamedTuple):
    """Feature maps of one batch.

    Attributes:
        fine: [B, C, H/4, W/4], shared with the detector.
        detail: [B, D, H/2, W/2], strokes that the shared map is too coarse for; None without.
    """

    fine: Tensor
    detail: Tensor | None = None

    @classmethod
    def of(cls, maps: ReadingMaps | Tensor) -> ReadingMaps:
        """A single map [B, C, H/4, W/4] stands for itself alone."""
        return maps if isinstance(maps, ReadingMaps) else cls(maps)

    def of_image(self, index: int) -> ReadingMaps:
        """The maps of one image, still as a batch."""
        own = slice(index, index + 1)
        return ReadingMaps(self.fine[own], None if self.detail is None else self.detail[own])
