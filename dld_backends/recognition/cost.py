"""FLOPs of spotters that read regions of shared maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dld_core.evaluation.cost import SizedCost


class ReadingCost:
    """What a spotter costs, counted on a copy of its network on the meta device: nothing is computed.

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
