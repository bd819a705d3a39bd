"""Pages of small letters are read at full size, whatever a thumbnail shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from bar_spotter import BarSpotter, FixedScores
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dld_core.selection import CostModel, DynamicResolution, Policy
from dld_core.selection.letters import small_letters


def lines(size: float, shape: tuple[int, int] = (400, 600)) -> NDArray[np.uint8]:
    """Black text on white, letters about 22 times `size` pixels high."""
    image = np.full((*shape, 3), 255, np.uint8)
    for y in range(30, shape[0] - 10, round(45 * size)):
        cv2.putText(image, "invoice total 42 " * 8, (5, y), 0, size, (0, 0, 0), max(1, round(2 * size)))
    return image


@pytest.mark.parametrize(
    ("image", "policy", "scale"),
    [
        (lines(0.4), Policy(), 1.0),
        (255 - lines(0.4), Policy(), 1.0),
        (lines(0.4), Policy(gamma=0.5), 0.25),
        (lines(5.0), Policy(), 0.25),
        (np.full((400, 600, 3), 255, np.uint8), Policy(), 0.25),
    ],
    ids=["a page", "a dark one", "a price is given", "a poster", "blank"],
)
def test_small_letters_are_read_at_full_size(image: NDArray[np.uint8], policy: Policy, scale: float) -> None:
    """The selector expects no loss at any scale."""
    drs = DynamicResolution(FixedScores(lost=(0.0, 0.0, 0.0)), CostModel(BarSpotter()))
    assert drs(image, policy).scale == scale


def test_photos_have_no_paper() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    assert small_letters(noise) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 255))
def test_any_size_and_colour_is_counted(height: int, width: int, grey: int) -> None:
    image = np.full((height, width, 3), grey, np.uint8)
    assert small_letters(image) == 0
