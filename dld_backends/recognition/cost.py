"""FLOPs of reading, counted on the meta device: nothing is computed, nothing guessed by hand.

What depends on the image is taken at its nominal size: a word takes as many decoding steps as an average
English word has characters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dld_core.evaluation.cost import count

STEPS_PER_WORD = 6
"""Characters of an average word and its end token."""


def flops_of(run: Callable[[], Any]) -> float:
    """FLOPs of one run (a multiply-add counts 2); an operator of unknown cost is an error."""
    return count(run)[1].check().flops
