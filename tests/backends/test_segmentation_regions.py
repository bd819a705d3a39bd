"""From words to target maps, and from maps back to words: straight, turned, tall, bent, touching, tiny."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dld_backends.segmentation.regions import Points, RegionOptions, find_regions
from dld_core.decoders.targets import HIGH, LOW, Targets, draw_targets
from dld_core.geometry.offsets import offset, shrink_distance, unclip_distance
from dld_core.geometry.polygons import area, iou, order_polygon

RATIO = 0.4


def _rectangle(width: float, height: float, angle: float, centre: tuple[float, float]) -> Points:
    """Clockwise from the top left corner of the text."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width / 2, height / 2]
    turn = np.radians(angle)
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(turned + centre, np.float32)


def _arc(radius: float, height: float, start: float, end: float, centre: float = 130) -> Points:
    """A band along an arc, from one angle (degrees, anticlockwise as seen) to another."""
    angle = np.radians(np.linspace(start, end, 21))
    ray = np.stack([np.cos(angle), -np.sin(angle)], 1)
    sides = centre + (radius + height / 2) * ray, (centre + (radius - height / 2) * ray)[::-1]
    return np.concatenate(sides).astype(np.float32)


def _draw(words: list[Points], stride: int = 1, ignore: list[bool] | None = None, size: int = 256) -> Targets:
    flags = ignore or [False] * len(words)
    return draw_targets(words, flags, (size, size), stride, RATIO, 3.0)


def _there_and_back(words: list[Points], stride: int = 1, outline: str = "curved") -> list[Points]:
    polygons, scores = find_regions(
        _draw(words, stride).text, RegionOptions(map_stride=stride, outline=outline)
    )
    assert len(polygons) == len(scores)
    return polygons


def _start_error(found: Points, truth: Points) -> float:
    return float(np.linalg.norm(found[0] - truth[0]))


# --- shrinking and growing -----------------------------------------------------------------------


@given(width=st.floats(2, 500), height=st.floats(2, 500), ratio=st.floats(0.1, 0.9))
def test_growing_undoes_shrinking_of_rectangles(width: float, height: float, ratio: float) -> None:
    distance = shrink_distance(width * height, 2 * (width + height), ratio)
    small = width - 2 * distance, height - 2 * distance
    back = unclip_distance(small[0] * small[1], 2 * (small[0] + small[1]), ratio)
    assert back == pytest.approx(distance, rel=1e-6, abs=1e-9)


def test_offsets_by_hand() -> None:
    square = _rectangle(10, 10, 0, (20, 20))
    (smaller,) = offset(square, -2)
    assert area(smaller) == pytest.approx(36, rel=1e-3)
    (pointed,) = offset(square, 2, pointed=True)
    assert area(pointed) == pytest.approx(196, rel=1e-3)
    (rounded,) = offset(square, 2)
    assert area(rounded) == pytest.approx(100 + 80 + 4 * np.pi, rel=0.01)
    assert offset(square, -6) == []
    assert offset(np.array([[0, 0], [5, 5], [0, 0]], np.float32), 1) == []


# --- target maps ---------------------------------------------------------------------------------


def test_the_text_map_holds_the_area_of_the_shrunken_word() -> None:
    word = _rectangle(60, 16, 12, (120.3, 90.7))
    distance = shrink_distance(60 * 16, 152, RATIO)
    targets = _draw([word])
    assert targets.text.sum() == pytest.approx((60 - 2 * distance) * (16 - 2 * distance), rel=0.02)
    assert targets.text.max() == 1
    assert targets.care.all()


def test_the_threshold_map_is_highest_on_the_outline_and_falls_to_both_sides() -> None:
    targets = _draw([_rectangle(60, 20, 0, (100.5, 100.5))])
    distance = float(shrink_distance(1200, 160, RATIO))
    column = targets.threshold[:, 100]
    for y in (90, 110):  # the centres of these rows lie on the top and bottom side
        assert column[y] == pytest.approx(HIGH)
        for away in (1, 2, 3, -1, -2, -3):
            assert column[y + away] == pytest.approx(HIGH - (HIGH - LOW) * abs(away) / distance, abs=1e-3)
    assert targets.near[100, 100] == 1, "inside too"
    assert targets.near[:, 100].sum() == pytest.approx(20 + 2 * distance, abs=2)
    assert column[0] == pytest.approx(LOW)


def test_nobody_is_taught_what_nobody_knows() -> None:
    inner, unknown = _rectangle(60, 20, 0, (100, 100)), _rectangle(120, 60, 0, (100, 100))
    targets = _draw([unknown, inner], ignore=[True, False])
    assert targets.care[80, 60] == 0
    assert targets.care[100, 100] == 1, "a readable word inside is taught"
    assert targets.near[90, 100] == 0
    assert targets.care[20, 20] == 1


@pytest.mark.parametrize(
    "polygon",
    [
        pytest.param([[20, 20], [90, 60], [90, 20], [20, 60]], id="crosses itself"),
        pytest.param([[20, 20], [90, 20], [90, 21.5], [20, 21.5]], id="too thin"),
        pytest.param([[20, 20], [90, 20], [40, 20]], id="without area"),
        pytest.param([[20, 20], [90, 20]], id="no polygon"),
    ],
)
def test_what_cannot_be_taught_is_dont_care(polygon: list[list[float]]) -> None:
    targets = _draw([np.array(polygon, np.float32)])
    assert not targets.text.any()
    assert not targets.near.any()
    assert 1 < (targets.care == 0).sum() < 71 * 41


def test_words_off_the_image_are_cut() -> None:
    targets = _draw([_rectangle(80, 30, 0, (0, 100)), _rectangle(80, 30, 0, (-500, 9000))])
    assert targets.text[:, :10].any()
    assert not targets.text[:, 60:].any()
    assert all(np.isfinite(kind).all() for kind in targets)


# --- words back from maps ------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("height", [8, 12, 20, 40])
def test_words_come_back_sub_pixel(height: int, stride: int) -> None:
    """Eight pixels high shrink to a region of one or two positions, and still come back."""
    rng = np.random.default_rng(height)
    overlaps, sizes = [], []
    for _ in range(25):
        width = height * rng.uniform(1.2, 5)
        truth = _rectangle(width, height, rng.uniform(-30, 30), tuple(128 + rng.uniform(-2, 2, 2)))
        (found,) = _there_and_back([truth], stride)
        assert len(found) == 4
        overlaps.append(iou(found, truth))
        sizes.append(area(found) / area(truth))
        if width > 2.2 * height:
            assert _start_error(found, truth) < 0.3 * height + 1
    assert np.mean(overlaps) > (0.92 if stride == 1 else 0.88)
    assert np.mean(sizes) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("start", "end"),
    [(160, 20), (145, 35), (200, -20), (-150, -30)],
    ids=["arch", "low", "horseshoe", "smile"],
)
def test_bent_words_come_back_as_bands(start: float, end: float) -> None:
    truth = _arc(70, 24, start, end)
    (band,) = _there_and_back([truth])
    assert len(band) == 14
    assert shapely.Polygon(band).is_valid
    assert iou(band, truth) > 0.75
    assert area(band) == pytest.approx(area(truth), rel=0.15)
    (box,) = _there_and_back([truth], outline="boxes")
    assert len(box) == 4
    assert iou(band, truth) > iou(box, truth) + 0.1


def test_bands_start_where_the_text_starts() -> None:
    arch = _arc(70, 24, 160, 20)
    (band,) = _there_and_back([arch])
    assert _start_error(band, arch) < 12
    smile = _arc(70, 24, -160, -20)  # its inner side is the top of the text
    top_left = smile[-1]
    (band,) = _there_and_back([smile])
    assert np.linalg.norm(band[0] - top_left) < 12


def test_tall_words_read_downwards() -> None:
    (found,) = _there_and_back([_rectangle(20, 100, 0, (100, 100))])
    np.testing.assert_allclose(found, [[110, 50], [110, 150], [90, 150], [90, 50]], atol=1)


def test_touching_words_stay_apart() -> None:
    words = [
        _rectangle(60, 20, 0, (60, 60)),
        _rectangle(60, 20, 0, (120, 60)),
        _rectangle(60, 20, 0, (60, 80)),
    ]
    found = _there_and_back(words)
    assert len(found) == 3
    for word in words:
        assert max(iou(word, polygon) for polygon in found) > 0.9


def test_words_inside_a_ring_of_text_are_found() -> None:
    ring, inside = _arc(90, 24, 179.9, -179.9), _rectangle(60, 20, 0, (130, 130))
    text = np.maximum(_draw([ring]).text, _draw([inside]).text)
    found, _ = find_regions(text, RegionOptions(region_threshold=0.0))
    assert max(iou(inside, polygon) for polygon in found) > 0.9


def test_unsure_narrow_and_surplus_regions_are_dropped() -> None:
    text = _draw([_rectangle(60, 20, 0, (60, y)) for y in (40, 90, 140)]).text
    text[:64] *= 0.5
    text[64:120] *= 0.8
    _, scores = find_regions(text, RegionOptions(region_threshold=0.3))
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([0.93, 0.8 * 0.93, 0.5 * 0.93], abs=0.04)  # edges are parts of positions
    assert len(find_regions(text, RegionOptions(region_threshold=0.7))[0]) == 2
    assert len(find_regions(text, RegionOptions(max_words=1))[0]) == 1
    assert find_regions(text, RegionOptions(min_side=30))[0] == []
    assert find_regions(text * 0.1, RegionOptions()) == ([], [])


@given(width=st.floats(4, 90), height=st.floats(4, 90), angle=st.floats(-89, 89), more=st.integers(0, 3))
@example(width=4.0, height=9.0, angle=-42.0, more=1)  # comes out at 45 degrees
@settings(max_examples=40, deadline=None)
def test_corners_are_ordered_as_everywhere(width: float, height: float, angle: float, more: int) -> None:
    truth = _rectangle(3 * width + 12, height + 12, angle + 90 * more, (128, 128))
    found = _there_and_back([truth], outline="boxes")
    for polygon in found:
        np.testing.assert_array_equal(polygon, order_polygon(polygon))


def _noise(seed: int, height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((height, width), np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2), (2, 30), (64, 64)])
@pytest.mark.parametrize("level", [0.02, 0.3, 0.9, 0.0])
def test_any_map_gives_finite_polygons(size: tuple[int, int], level: float) -> None:
    for seed in range(3):
        options = RegionOptions(
            map_threshold=max(level, 0.01), region_threshold=0.0, min_side=0, max_words=20
        )
        polygons, scores = find_regions(_noise(seed, *size) if level else np.ones(size, np.float32), options)
        assert len(polygons) == len(scores) <= 20
        assert all(np.isfinite(p).all() and len(p) in (4, 14) for p in polygons)
        assert all(0 <= score <= 1 + 1e-6 for score in scores)


def test_cutting_regions_loads_no_torch() -> None:
    code = (
        "import sys, dld_backends.segmentation.regions, dld_backends.segmentation.config\n"
        "print([m for m in ('torch', 'torchvision', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
