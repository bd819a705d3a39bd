"""Pixels as the tensors that spotters take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def as_tensor(pixels: NDArray[np.uint8], share: bool = False) -> Tensor:
    """RGB uint8 [H, W, 3] as [3, H, W].

    Args:
        share: keep the memory, and so its layout, where it can be written to: copying 12 megapixels takes
            as long as a small network. Spotters leave their images as they are.
    """
    import torch

    if share and pixels.flags.writeable:
        return torch.from_numpy(pixels).permute(2, 0, 1)
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))
