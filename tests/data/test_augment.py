"""Random views: geometry follows the pixels, cut and tiny words become don't-care, text is never mirrored."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dld_core.data.augment import AugmentConfig, augment, crop, light, transform, word_height
from dld_core.data.photometric import PhotometricConfig, damage
from dld_core.types import Sample

PLAIN = PhotometricConfig(colour=0, grey=0, invert=0, blur=0, noise=0, jpeg=0, low_resolution=0)
STILL = AugmentConfig(
    scale=(1, 1), rotation=0, steep=0, perspective=0, stretch=0, focus=0, photometric=PLAIN, min_height=0
)
KINDS = ("colour", "grey", "invert", "blur", "noise", "jpeg", "low_resolution")


def box(x0: float, y0: float, x1: float, y1: float) -> NDArray[np.float32]:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float32)


def make_sample(height: int = 300, width: int = 400) -> Sample:
    """Black, with three words as white, red and green blocks; the last is don't-care."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    polygons = [box(60, 50, 160, 80), box(200, 120, 330, 160), box(100, 220, 180, 240)]
    for polygon, colour in zip(polygons, ((255, 255, 255), (255, 0, 0), (0, 255, 0)), strict=True):
        x0, y0, x1, y1 = (int(v) for v in (*polygon[0], *polygon[2]))
        image[y0:y1, x0:x1] = colour
    return Sample(image, polygons, ["white", "red", "###"], np.array([False, False, True]), "blocks")


def area(polygon: NDArray[np.float32]) -> float:
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def inside(image: NDArray[np.uint8], polygon: NDArray[np.float32]) -> NDArray[np.uint8]:
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    middle = polygon.mean(0)
    cv2.fillPoly(mask, [np.round(middle + 0.8 * (polygon - middle) - 0.5).astype(np.int32)], 1)
    return image[mask.astype(bool)]


@pytest.mark.parametrize("seed", range(20))
def test_polygons_follow_the_pixels(seed: int) -> None:
    config = AugmentConfig(scale=(0.5, 2.0), steep=0.3, perspective=0.1, photometric=PLAIN)
    view = augment(make_sample(), (256, 320), np.random.default_rng(seed), config)
    assert view.image.shape == (256, 320, 3)
    colours = {"white": (255, 255, 255), "red": (255, 0, 0)}
    for polygon, text, ignore in zip(view.polygons, view.texts, view.ignore, strict=True):
        if not ignore:
            assert np.abs(inside(view.image, polygon).mean(0) - colours[text]).max() < 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(64, 400), st.integers(64, 400))
def test_views_are_valid_samples(seed: int, height: int, width: int) -> None:
    sample = make_sample()
    before = sample.image.copy()
    view = augment(sample, (height, width), np.random.default_rng(seed), AugmentConfig())
    again = augment(sample, (height, width), np.random.default_rng(seed), AugmentConfig())
    assert view.image.shape == (height, width, 3)
    assert view.image.dtype == np.uint8
    np.testing.assert_array_equal(view.image, again.image)
    np.testing.assert_array_equal(sample.image, before)
    assert view.ignore.dtype == np.bool_
    assert len(view.polygons) == len(view.texts) == len(view.ignore) <= 3
    for polygon, text, ignore in zip(view.polygons, view.texts, view.ignore, strict=True):
        assert polygon.dtype == np.float32
        assert polygon.min() >= 0
        assert (polygon <= (width, height)).all()
        assert ignore or area(polygon) > 0  # still clockwise: never mirrored
        assert ignore or text != "###"


def test_a_still_view_is_a_plain_window() -> None:
    sample = make_sample()
    view = augment(sample, (300, 400), np.random.default_rng(0), STILL)
    np.testing.assert_array_equal(view.image, sample.image)
    np.testing.assert_allclose(np.stack(view.polygons), np.stack(sample.polygons), atol=1e-4)
    assert view.ignore.tolist() == [False, False, True]


def test_cut_words_become_dont_care_and_words_outside_leave() -> None:
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    polygons = [box(-60, 10, -20, 30), box(-20, 40, 30, 60), box(40, 40, 90, 60)]
    sample = Sample(image, polygons, ["gone", "cut", "whole"], np.zeros(3, dtype=np.bool_))
    view = augment(sample, (100, 100), np.random.default_rng(0), STILL)
    assert view.texts == ["cut", "whole"]
    assert view.ignore.tolist() == [True, False]


def test_words_too_small_to_read_become_dont_care() -> None:
    config = STILL.model_copy(update={"scale": (0.2, 0.2), "min_height": 7.0})
    view = augment(make_sample(), (300, 400), np.random.default_rng(0), config)
    ignored = dict(zip(view.texts, view.ignore.tolist(), strict=True))
    assert ignored == {"white": True, "red": False, "###": True}


def test_aimed_frames_show_whole_words_and_others_cut_few() -> None:
    def count(focus: float) -> tuple[int, int]:
        config = STILL.model_copy(update={"focus": focus})
        views = [augment(make_sample(), (128, 192), np.random.default_rng(s), config) for s in range(40)]
        whole = sum(bool((~view.ignore).any()) for view in views)
        cut = sum(bool(view.ignore[[t != "###" for t in view.texts]].any()) for view in views)
        return whole, cut

    aimed, anywhere = count(1.0), count(0.0)
    assert aimed[0] == 40
    assert 10 < anywhere[0] < 40
    assert anywhere[1] < 10


@pytest.mark.parametrize("size", [(64, 64), (300, 400), (500, 350)])
def test_crop_keeps_scale_and_labels(size: tuple[int, int]) -> None:
    view = crop(make_sample(), size, np.random.default_rng(3))
    assert view.image.shape == (*size, 3)
    for polygon, text, ignore in zip(view.polygons, view.texts, view.ignore, strict=True):
        if not ignore:
            assert area(polygon) == pytest.approx({"white": 3000, "red": 5200}[text])
            assert (inside(view.image, polygon)[:, 0] == 255).all()


@pytest.mark.parametrize("make", [AugmentConfig, light])
def test_pictures_without_words(make: type[AugmentConfig]) -> None:
    empty = Sample(np.zeros((50, 70, 3), dtype=np.uint8), [], [], np.zeros(0, dtype=np.bool_))
    view = augment(empty, (64, 96), np.random.default_rng(0), make())
    assert view.image.shape == (64, 96, 3)
    assert view.polygons == []
    assert view.ignore.shape == (0,)


def test_word_height_of_straight_turned_and_curved_words() -> None:
    turn = np.array([[0.8, -0.6, 5.0], [0.6, 0.8, 9.0], [0, 0, 1]])
    straight = box(0, 0, 90, 12)
    angles = np.linspace(0, np.pi, 20)
    ring = [np.stack([r * np.cos(angles), r * np.sin(angles)], axis=1) for r in (60, 50)]
    curved = np.concatenate([ring[0], ring[1][::-1]]).astype(np.float32)
    assert word_height(straight) == pytest.approx(12, abs=1e-3)
    assert word_height(transform([straight], turn)[0]) == pytest.approx(12, abs=1e-3)
    assert word_height(curved) == pytest.approx(10, abs=0.2)


def test_damage_can_be_turned_off() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    same, factor = damage(image, np.random.default_rng(1), PLAIN)
    np.testing.assert_array_equal(same, image)
    assert factor == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_damage_changes_the_picture_and_keeps_its_form(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 1)
    original = image.copy()
    config = PhotometricConfig(**{name: float(name == kind) for name in KINDS})
    damaged, factor = damage(image, np.random.default_rng(2), config)
    assert damaged.shape == image.shape
    assert damaged.dtype == np.uint8
    assert (damaged != image).any()
    assert (factor > 1) == (kind == "low_resolution")
    np.testing.assert_array_equal(image, original)
