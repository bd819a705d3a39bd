"""The cost of a convolutional network at any size, from a few small counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_PROBES = ((4, 4), (8, 4), (3, 3))  # sides in strides
_PROOF = (5, 7)


class SizedCost:
    """FLOPs of a convolutional network at any padded size, exactly, from a few small counts.

    Where both sides are multiples of its finest common stride, every layer costs a constant (what follows a
    global pooling) or a constant for each cell of its own level, so as many counts as there are unknowns give
    all sizes. (Counting takes as long as reading, or longer; users' images come in any size.)

    Args:
        counted: FLOPs at (height, width), for several parts at once.
        strides: of the levels whose sides are not multiples of each other: sides are padded to multiples of
            the first, the others round up.

    Raises:
        ValueError: one more count contradicts those: the network is not of that kind.
    """

    def __init__(
        self, counted: Callable[[int, int], Sequence[float]], strides: Sequence[int] = (32,)
    ) -> None:
        self._strides = strides
        *probes, proof = self.sizes(strides)
        known = np.array([counted(*size) for size in probes], np.float64)
        areas = np.array([self._areas(*size) for size in probes], np.float64)
        self._each = np.rint(np.linalg.solve(areas, known))  # every layer's multiply-adds are whole numbers
        if not np.array_equal(self.at(*proof), counted(*proof)):
            raise ValueError("what the network costs is not proportional to the areas of its levels")

    @staticmethod
    def sizes(strides: Sequence[int]) -> list[tuple[int, int]]:
        """The (height, width) that are counted, for callers who count several at once."""
        sides = [*_PROBES[: len(strides) + 1], _PROOF]
        return [(rows * strides[0], columns * strides[0]) for rows, columns in sides]

    def at(self, height: int, width: int) -> list[float]:
        """Of each part, for an image of this size before padding."""
        found: list[float] = (np.array(self._areas(height, width), np.float64) @ self._each).tolist()
        return found

    def _areas(self, height: int, width: int) -> list[int]:
        return [1, *(-(-height // stride) * -(-width // stride) for stride in self._strides)]
