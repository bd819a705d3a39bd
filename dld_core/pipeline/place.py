"""Step 4, place: words back in pixels of the original, inside it, in reading order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dld_core.pipeline.plan import Plan
from dld_core.results.reading_order import in_reading_order
from dld_core.types import Word

_DECIMALS = 2  # of polygon coordinates: a hundredth of a pixel


def place(words: Sequence[Word], plan: Plan) -> list[Word]:
    """Words found in the pixels of a plan, in pixels of the original, line by line."""
    return in_reading_order([_to_original(word, plan) for word in words])


def _to_original(word: Word, plan: Plan) -> Word:
    loaded = plan.loaded
    native = np.array([loaded.size[1], loaded.size[0]], np.float64)  # margin included
    inside = native - 2 * loaded.margin
    original = np.array([loaded.width, loaded.height], np.float64)
    points = np.asarray(word.polygon, np.float64) * (native / (plan.pixels.shape[1], plan.pixels.shape[0]))
    points = np.clip((points - loaded.margin) * (original / inside), 0, original).round(_DECIMALS)
    return Word(word.text, float(word.score), tuple((float(x), float(y)) for x, y in points))
