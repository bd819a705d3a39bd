"""FLOPs of reading, counted on the meta device: nothing is computed, nothing guessed by hand.

What depends on the image is taken at its nominal size: a word takes as many decoding steps as an average
English word has characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from dld_backends.recognition.branch import RecognitionBranch
from dld_core.evaluation.cost import SizedCost, flops_of

STEPS_PER_WORD = 6
"""Characters of an average word and its end token."""


class ReadingCost:
    """What a spotter costs whose recogniser reads regions of shared maps.

    Args:
        image: padded height and width in pixels to the FLOPs of every image, and of what its first word adds
            (the recogniser's map).
        word: FLOPs of each word.
        strides: see `SizedCost`.
    """

    def __init__(
        self, image: Callable[[int, int], tuple[float, float]], word: float, strides: Sequence[int] = (32,)
    ) -> None:
        self.image = image
        self.word = word
        self._sized = SizedCost(image, strides)

    def at(self, height: int, width: int, words: int) -> float:
        """FLOPs (a multiply-add counts 2) of one image of this size, once padded, holding so many words."""
        fixed, first_word = self._sized.at(height, width)
        return fixed + (first_word + words * self.word if words else 0.0)


@torch.no_grad()
def word_flops(reader: RecognitionBranch) -> float:
    """Rectified features, encoder and decoder of one word, for a reader on the meta device."""
    rows, columns = reader.roi_size
    fine = torch.empty(1, reader.channels, 32, 32, device="meta")
    grid = torch.empty(1, rows, columns, 2, device="meta")
    tokens = torch.zeros(1, STEPS_PER_WORD, dtype=torch.int64, device="meta")
    return flops_of(
        lambda: reader.decoder.logits(reader.encoder(F.grid_sample(fine, grid, align_corners=False)), tokens)
    )
