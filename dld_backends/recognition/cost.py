"""FLOPs of reading, counted on the meta device: nothing is computed, nothing guessed by hand.

What depends on the image is taken at its nominal size: a word takes as many decoding steps as an average
English word has characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from dld_backends.recognition.branch import RecognitionBranch
from dld_core.evaluation.cost import count

STEPS_PER_WORD = 6
"""Characters of an average word and its end token."""


def flops_of(run: Callable[[], Any]) -> float:
    """FLOPs of one run (a multiply-add counts 2); an operator of unknown cost is an error."""
    return count(run)[1].check().flops


class SizedCost:
    """FLOPs of a convolutional network at any padded size, exactly, from a few small counts.

    Where both sides are multiples of its finest common stride, every layer costs a constant or a constant
    for each cell of its own level, so as many counts as there are unknowns give all sizes. (Counting takes a
    tenth of a second, which is as long as reading; users' images come in any size.)

    Args:
        counted: FLOPs at (height, width), for several parts at once.
        strides: of the levels whose sides are not multiples of each other: sides are multiples of the first,
            the others round up.

    Raises:
        ValueError: one more count contradicts those: the network is not of that kind.
    """

    def __init__(
        self, counted: Callable[[int, int], Sequence[float]], strides: Sequence[int] = (32,)
    ) -> None:
        self.strides = strides
        probes = [(rows * strides[0], columns * strides[0]) for rows, columns in _PROBES[: len(strides) + 1]]
        known = np.array([counted(*size) for size in probes], np.float64)
        areas = np.array([self._areas(*size) for size in probes], np.float64)
        # Whole numbers, as every layer's multiply-adds are.
        self._each = np.rint(np.linalg.solve(areas, known))
        proof = _PROOF[0] * strides[0], _PROOF[1] * strides[0]
        if not np.array_equal(self.at(*proof), counted(*proof)):
            raise ValueError("what the network costs is not proportional to the areas of its levels")

    def at(self, height: int, width: int) -> list[float]:
        """Of each part, for sides that are multiples of the first stride."""
        found: list[float] = (np.array(self._areas(height, width), np.float64) @ self._each).tolist()
        return found

    def _areas(self, height: int, width: int) -> list[int]:
        return [1, *(-(-height // stride) * -(-width // stride) for stride in self.strides)]


_PROBES = ((4, 4), (8, 4), (3, 3))  # sides in strides
_PROOF = (5, 7)


@torch.no_grad()
def word_flops(reader: RecognitionBranch) -> float:
    """Rectified features, encoder and decoder of one word, for a reader on the meta device."""
    rows, columns = reader.roi_size
    fine = torch.empty(1, reader.channels, 32, 32, device="meta")
    grid = torch.empty(1, rows, columns, 2, device="meta")
    regions = torch.empty(1, reader.channels, rows, columns, device="meta")
    context = torch.empty(1, columns, reader.encoder.features, device="meta")
    tokens = torch.zeros(1, STEPS_PER_WORD, dtype=torch.int64, device="meta")
    return (
        flops_of(lambda: F.grid_sample(fine, grid, align_corners=False))
        + flops_of(lambda: reader.encoder(regions))
        + flops_of(lambda: reader.decoder.logits(context, tokens))
    )
