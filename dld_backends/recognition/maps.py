"""What a recogniser reads from: the shared map of a batch, a finer one if there is one, and the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class ReadingMaps(NamedTuple):
    """Feature maps of one batch, and the images that they show.

    Attributes:
        fine: [B, C, H/4, W/4], shared with the detector.
        detail: [B, D, H/2, W/2], strokes that the shared map is too coarse for; None without.
        images: RGB uint8 [3, h, w] each, the batch's or the same at a higher resolution; none where nothing
            reads pixels.
        sizes: height and width that each image has in the batch, without padding.
    """

    fine: Tensor
    detail: Tensor | None = None
    images: Sequence[Tensor] = ()
    sizes: Sequence[tuple[int, int]] = ()

    def showing(
        self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]] | None = None
    ) -> ReadingMaps:
        """The same maps with these images; their own sizes are the batch's where none are given."""
        own = [(int(image.shape[1]), int(image.shape[2])) for image in images] if sizes is None else sizes
        return self._replace(images=images, sizes=own)

    def of_image(self, index: int) -> ReadingMaps:
        """The maps of one image, still as a batch."""
        own = slice(index, index + 1)
        detail = None if self.detail is None else self.detail[own]
        return ReadingMaps(self.fine[own], detail, self.images[own], self.sizes[own])
