"""Crops are upright, and as cheap for points far away as for any."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dld_core.images.crops import crop_quad
from dld_core.selection.targets import coverage


def test_crops_are_upright_and_black_outside() -> None:
    picture = Image.new("RGB", (100, 60), "white")
    ImageDraw.Draw(picture).rectangle((20, 10, 29, 49), fill=(200, 0, 0))  # beside a word that reads down
    pixels = np.asarray(picture)
    turned = crop_quad(pixels, [[40, 10], [40, 50], [20, 50], [20, 10]])
    assert turned.shape == (20, 40, 3)
    assert turned[5, 20].tolist() == [255, 255, 255]
    assert turned[15, 20].tolist() == [200, 0, 0]
    over = crop_quad(pixels, [[-10, 20], [50, 20], [50, 40], [-10, 40]])
    assert over.shape == (20, 60, 3)
    assert over[:, :9].max() == 0
    assert over[:, 10:28].min() == 255


@pytest.mark.parametrize("reach", [300, 1e5, 1e9, 1e30])
@pytest.mark.parametrize("size", [(60, 100), (1, 3000), (3, 2)])
def test_points_far_away_cost_nothing(reach: float, size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    shapes = np.array(
        [
            [[-1, -1], [1, -1], [1, 1], [-1, 1]],
            [[0, 0], [1, 0], [1, 1e-9], [0, 1e-9]],
            [[0.5, 0.5], [0.6, 0.5], [0.6, 0.6], [0.5, 0.6]],
            [[1, 1], [-1, -1], [1, -1], [-1, 1]],
        ]
    )
    tracemalloc.start()
    crops = [crop_quad(pixels, shape * reach) for shape in shapes]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(crop.size <= 13 * pixels.size + 3 for crop in crops)
    assert peak < 2e7


def test_the_cells_that_a_polygon_far_outside_covers_are_drawn() -> None:
    whole = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 1e8
    assert coverage(whole, (32, 48)).min() == pytest.approx(1, abs=0.01)
    assert coverage(whole * [1e-8, 1] + [1000, 0], (32, 48)).sum() < 0.01
