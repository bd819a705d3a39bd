"""FLOPs of reading, counted on the meta device: nothing is computed, nothing guessed by hand.

What depends on the image is taken at its nominal size: a word takes as many decoding steps as an average
English word has characters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from dld_backends.recognition.branch import RecognitionBranch
from dld_core.evaluation.cost import count

STEPS_PER_WORD = 6
"""Characters of an average word and its end token."""


def flops_of(run: Callable[[], Any]) -> float:
    """FLOPs of one run (a multiply-add counts 2); an operator of unknown cost is an error."""
    return count(run)[1].check().flops


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
