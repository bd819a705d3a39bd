"""Pages as phones and scanners make them: 1 to 12 megapixels, with large, small or mixed text."""

from __future__ import annotations

import math

import numpy as np

from dld_core.data.synth.config import SynthConfig

MEGAPIXELS = (1.0, 12.0)
ASPECTS = (4 / 3, 3 / 4, 16 / 9, 9 / 16, math.sqrt(2), math.sqrt(1 / 2), 1.0)
"""Width over height: phones, screens, paper, squares."""
_LONGEST = 4096
# Letter heights as fractions of the short side, and how many words there are.
_KINDS = {
    "large": ((0.03, 0.13), (4, 15)),
    "small": ((0.008, 0.02), (20, 60)),
    "mixed": ((0.009, 0.10), (10, 40)),
}
_LOWEST, _HIGHEST = 10.0, 400.0  # letter heights, pixels


def varied(config: SynthConfig, seed: int) -> SynthConfig:
    """The options of the page of a seed: its size, its letters and how many words, the rest as given."""
    rng = np.random.default_rng((seed, 0x317ED))
    area = 1e6 * math.exp(rng.uniform(*np.log(MEGAPIXELS)))
    aspect = float(rng.choice(ASPECTS))
    sides = [min(_LONGEST, round(math.sqrt(area * factor))) for factor in (1 / aspect, aspect)]
    letters, words = _KINDS[str(rng.choice(list(_KINDS)))]
    heights = [float(np.clip(share * min(sides), _LOWEST, _HIGHEST)) for share in letters]
    changes = {"mixed": False, "page_size": tuple(sides), "size_range": tuple(heights), "words": words}
    return config.model_copy(update={**changes, "small_bias": 1.0, "document_rate": 0.25})
