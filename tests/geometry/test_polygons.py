"""Masks to polygons: straight, turned, tall, curved and empty."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from shapely.geometry import Polygon

from dld_backends.maskrcnn.heads import mask_targets
from dld_backends.maskrcnn.polygons import mask_polygon, without_fragments
from dld_backends.recognition.words import is_tall, upright


def _mask_of(polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 28x28 mask of a polygon in its own box, and the box."""
    polygon = polygon.astype(np.float32)
    box = np.concatenate([polygon.min(0), polygon.max(0)])
    return mask_targets(box[None], [polygon])[0], box


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    first, second = Polygon(a).buffer(0), Polygon(b).buffer(0)
    return float(first.intersection(second).area / first.union(second).area)


def _rectangle(width: float, height: float, angle: float) -> np.ndarray:
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - [width / 2, height / 2]
    turn = np.radians(angle)
    return corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + 200


@pytest.mark.parametrize("angle", [-40, -20, -5, 0, 5, 20, 40])
def test_turned_words_come_back_as_their_rectangle(angle: float) -> None:
    truth = _rectangle(120, 30, angle)
    polygon = mask_polygon(*_mask_of(truth))
    assert len(polygon) == 4
    assert _iou(polygon, truth) > 0.8
    assert np.linalg.norm(polygon[0] - truth[0]) < 12, "starts where the text starts"


def test_small_words_keep_their_extent() -> None:
    truth = np.array([[5, 5], [25, 5], [25, 13], [5, 13]])
    assert _iou(mask_polygon(*_mask_of(truth)), truth) > 0.85


def test_curved_words_come_back_as_a_band() -> None:
    angle = np.linspace(np.pi * 0.9, np.pi * 0.1, 30)
    arc = np.stack([np.cos(angle), -np.sin(angle)], 1)
    truth = np.concatenate([300 + 120 * arc, (300 + 90 * arc)[::-1]])
    polygon = mask_polygon(*_mask_of(truth))
    assert len(polygon) > 4
    assert _iou(polygon, truth) > 0.6


def test_an_empty_mask_gives_the_box() -> None:
    box = np.array([3, 4, 30, 12], np.float32)
    polygon = mask_polygon(np.zeros((28, 28), np.float32), box)
    assert polygon.tolist() == [[3, 4], [30, 4], [30, 12], [3, 12]]


def test_tall_rectangles_read_downwards_and_can_be_stood_up() -> None:
    tall = mask_polygon(*_mask_of(np.array([[0, 0], [10, 0], [10, 40], [0, 40]])))
    np.testing.assert_allclose(tall, [[10, 0], [10, 40], [0, 40], [0, 0]], atol=1.5)
    assert is_tall(tall)
    np.testing.assert_allclose(upright(tall), [[0, 0], [10, 0], [10, 40], [0, 40]], atol=1.5)
    assert not is_tall(upright(tall))


def test_mask_targets_are_the_polygon_in_the_box() -> None:
    box = np.array([[0, 0, 56, 56]], np.float32)
    half = np.array([[0, 0], [28, 0], [28, 56], [0, 56]], np.float32)
    mask = mask_targets(box, [half])[0]
    assert mask[:, :13].all()
    assert not mask[:, 15:].any()
    assert cv2.countNonZero(mask.astype(np.uint8)) == pytest.approx(28 * 14, abs=28)


def test_fragments_and_doubles_go_and_neighbours_stay() -> None:
    word, part, double, other = (
        np.array([[x, 0], [x + w, 0], [x + w, 10], [x, 10]], np.float32)
        for x, w in ((0, 60), (30, 25), (2, 62), (62, 30))
    )
    assert without_fragments([part, word, other, double], [0.5, 0.9, 0.4, 0.8], 0.6) == [1, 2]
    assert without_fragments([part, word], [0.9, 0.5], 0.6) == [0], "the surer one stays"
    assert sorted(without_fragments([part, word], [0.9, 0.5], 1.0)) == [0, 1]
    flat = np.array([[0, 0], [5, 0], [9, 0]], np.float32)
    assert without_fragments([flat], [0.9], 0.6) == []
    assert without_fragments([], [], 0.6) == []
