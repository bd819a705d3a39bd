"""Polygons: order of reading, smallest rectangles, ribbons, overlap."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dld_core import geometry as g
from dld_core.geometry.ribbon import ribbon

LEVEL = np.array([[0, 0], [40, 0], [40, 10], [0, 10]], np.float32)


def rotated(points: np.ndarray, degrees: float) -> np.ndarray:
    """Clockwise as seen."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points @ np.array([[c, s], [-s, c]])).astype(np.float32)


def arc(radius: float = 100, height: float = 20, spread: float = 120, count: int = 7) -> np.ndarray:
    """Curved text over the top of a circle, clockwise from its start."""
    angles = np.radians(np.linspace(-90 - spread / 2, -90 + spread / 2, count))
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([circle * (radius + height), (circle * radius)[::-1]]).astype(np.float32)


def test_importing_geometry_loads_no_torch() -> None:
    code = "import sys, dld_core.geometry.polygons; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_area_and_orientation() -> None:
    assert g.signed_area(LEVEL) == 400
    assert g.signed_area(LEVEL[::-1]) == -400
    assert g.area(LEVEL[::-1]) == 400
    assert g.is_clockwise(LEVEL)
    assert not g.is_clockwise(LEVEL[::-1])
    np.testing.assert_array_equal(g.clockwise(LEVEL), LEVEL)
    np.testing.assert_array_equal(g.clockwise(np.roll(LEVEL[::-1], 1, axis=0)), LEVEL)


def test_area_is_exact_far_from_the_origin() -> None:
    assert g.area(LEVEL + 8000) == pytest.approx(400, abs=1e-6)


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.zeros(4), np.zeros((0, 2)), [[0, np.nan]]])
def test_what_is_no_polygon_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="polygon"):
        g.as_polygon(bad)


def test_iou() -> None:
    assert g.iou(LEVEL, LEVEL) == pytest.approx(1)
    assert g.iou(LEVEL, LEVEL[::-1]) == pytest.approx(1)
    assert g.iou(LEVEL, LEVEL + np.array([20, 0])) == pytest.approx(1 / 3)
    assert g.iou(LEVEL, LEVEL + 100) == 0
    bow_tie = LEVEL[[0, 2, 1, 3]]
    assert 0 < g.iou(bow_tie, LEVEL) < 1
    assert g.iou(LEVEL[[0, 1, 1]], LEVEL[[0, 1, 0]]) == 0


@pytest.mark.parametrize("angle", [-60, -30, 0, 10, 44, 60])
@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("step", [1, -1])
def test_a_long_quad_starts_where_the_text_does(angle: float, shift: int, step: int) -> None:
    text = rotated(LEVEL, angle)
    np.testing.assert_allclose(g.order_polygon(np.roll(text, shift, axis=0)[::step]), text)


def test_tall_quads_read_downwards_and_squarish_ones_rightwards() -> None:
    tall = np.array([[0, 0], [10, 0], [10, 40], [0, 40]])
    assert g.order_polygon(tall).tolist() == [[10, 0], [10, 40], [0, 40], [0, 0]]
    assert g.order_polygon(tall, tall=5).tolist() == tall.tolist()
    letter = np.array([[0, 0], [10, 0], [10, 18], [0, 18]])
    assert g.order_polygon(letter[[2, 3, 0, 1]]).tolist() == letter.tolist()


@pytest.mark.parametrize("angle", [0, 15, 45, 80, -20])
def test_the_smallest_rectangle(angle: float) -> None:
    corners = rotated(LEVEL, angle)
    inside = np.concatenate([corners, corners.mean(axis=0) + 0.4 * (corners - corners.mean(axis=0))])
    found = g.min_area_rectangle(inside)
    assert g.area(found) == pytest.approx(400, rel=1e-4)
    np.testing.assert_allclose(found, g.order_polygon(corners), atol=1e-3)


@pytest.mark.parametrize("points", [[[3, 4]], [[3, 4], [3, 4]], [[0, 0], [5, 5]], [[0, 0], [4, 0], [9, 0]]])
def test_the_smallest_rectangle_of_almost_nothing(points: list[list[float]]) -> None:
    found = g.min_area_rectangle(points)
    assert found.shape == (4, 2)
    assert g.area(found) == pytest.approx(0, abs=1e-6)
    for end in (np.min, np.max):
        np.testing.assert_allclose(end(found, axis=0), end(points, axis=0), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=3, max_size=12))
def test_the_smallest_rectangle_holds_all_points(points: list[tuple[float, float]]) -> None:
    found = g.min_area_rectangle(points)
    (left, top), (right, bottom) = np.min(points, axis=0), np.max(points, axis=0)
    assert g.area(found) <= (right - left) * (bottom - top) * (1 + 1e-4) + 1e-2
    edges = np.roll(found, -1, axis=0) - found
    for start, edge in zip(found, edges, strict=True):
        across = np.array([-edge[1], edge[0]]) / max(float(np.linalg.norm(edge)), 1e-6)
        assert ((np.asarray(points) - start) @ across).min() > -0.05


def outline(polygon: np.ndarray, step: float = 1.0) -> np.ndarray:
    """The dense contour of a polygon, beginning somewhere."""
    ends = np.roll(polygon, -1, axis=0)
    parts = [
        np.linspace(a, b, max(2, int(np.linalg.norm(b - a) / step)), endpoint=False)
        for a, b in zip(polygon, ends, strict=True)
    ]
    return np.roll(np.concatenate(parts), 17, axis=0).astype(np.float32)


@pytest.mark.parametrize("spread", [30, 120, 200])
@pytest.mark.parametrize("step", [1, -1])
def test_a_ribbon_follows_curved_text(spread: float, step: int) -> None:
    text = arc(spread=spread, count=40)
    found = ribbon(outline(text)[::step], 15)
    assert found.shape == (30, 2)
    assert g.iou(found, text) > 0.93
    np.testing.assert_allclose(found[[0, 14, 15, 29]], text[[0, 39, 40, 79]], atol=3)


@pytest.mark.parametrize("angle", [0, 30, -50])
def test_a_ribbon_of_straight_text(angle: float) -> None:
    text = rotated(LEVEL * 3, angle)
    found = ribbon(outline(text), 4)
    assert g.iou(found, text) > 0.95
    np.testing.assert_allclose(found[0], text[0], atol=3)


def test_a_ribbon_with_round_ends_runs_along_it() -> None:
    turn = np.radians(np.linspace(-90, 90, 20))
    cap = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 10
    pill = np.concatenate([cap + np.array([80, 0]), -cap])
    found = ribbon(pill, 5)
    assert g.iou(found, pill) > 0.85
    middle = (found[:5] + found[5:][::-1]) / 2
    np.testing.assert_allclose(middle[:, 1], 0, atol=2)


def test_a_ribbon_of_a_letter_is_its_rectangle() -> None:
    letter = np.array([[0, 0], [10, 0], [10, 14], [0, 14]])
    found = ribbon(letter, 3)
    np.testing.assert_allclose(found, [[0, 0], [5, 0], [10, 0], [10, 14], [5, 14], [0, 14]], atol=1e-4)
