"""The page renderer: same seed same bytes, labels that fit, don't-care rules, mosaics, errors."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from dld_core.data.synth import PageRenderer, SynthConfig, render_page
from dld_core.data.synth.config import varied
from dld_core.data.synth.degrade import Damage
from dld_core.data.synth.labels import Placed, finish_labels, side_height
from dld_core.data.synth.text import PRINTABLE
from dld_core.errors import ConfigError, DataError
from dld_core.geometry import signed_area
from dld_core.types import Sample

PLAIN = {"system_fonts": False, "page_size": (320, 384), "words": (6, 12)}


@pytest.fixture(scope="module")
def renderer() -> PageRenderer:
    return PageRenderer(SynthConfig.parse(PLAIN))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number, size in enumerate([(300, 420, 3), (120, 90, 3)]):
        cv2.imwrite(str(folder / f"{number}.jpg"), rng.integers(0, 255, size, dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 50 + number, 3), 90, np.uint8))
    (folder / "labels.tsv").write_text("0.png\tREAL\n1.png\ttwo words\n2.png\tcafé\n", encoding="utf-8")
    return folder


def same(first: Sample, second: Sample) -> bool:
    return (
        np.array_equal(first.image, second.image)
        and first.texts == second.texts
        and np.array_equal(first.ignore, second.ignore)
        and all(np.array_equal(a, b) for a, b in zip(first.polygons, second.polygons, strict=True))
    )


def check_labels(sample: Sample) -> None:
    height, width = sample.image.shape[:2]
    for polygon, text, ignore in zip(sample.polygons, sample.texts, sample.ignore, strict=True):
        assert polygon.dtype == np.float32
        assert len(polygon) == 4 or 8 <= len(polygon) <= 14
        assert (polygon >= 0).all()
        assert (polygon <= (width, height)).all()
        assert signed_area(polygon) > 0  # clockwise on the screen: never mirrored
        assert ignore or (0 < len(text) <= 24 and set(text) <= set(PRINTABLE))


def test_same_seed_same_page_whoever_renders_it(renderer: PageRenderer) -> None:
    other = PageRenderer(SynthConfig.parse(PLAIN))
    pages = [renderer.page(seed) for seed in range(4)]
    backwards = [other.page(seed) for seed in (3, 2, 1, 0)][::-1]
    assert all(same(a, b) for a, b in zip(pages, backwards, strict=True))
    assert not same(pages[0], pages[1])


def test_rendering_leaves_the_global_generator_alone(renderer: PageRenderer) -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    renderer.page(11)
    assert np.array_equal(before, np.random.get_state()[1])


def test_a_pickled_renderer_draws_the_same(renderer: PageRenderer, photos: Path) -> None:
    config = SynthConfig.parse({**PLAIN, "backgrounds": photos, "photo_rate": 1.0})
    fresh = PageRenderer(config)
    fresh.page(1)
    assert same(pickle.loads(pickle.dumps(fresh)).page(2), fresh.page(2))
    assert len(pickle.dumps(fresh)) < 200_000  # decoded photos do not travel


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"curved_rate": 1.0, "plate_rate": 0.0},
        {"document_rate": 1.0},
        {"occlusion_rate": 1.0, "degrade": 2.0},
        {"size_range": (60.0, 200.0)},
        {"page_size": (64, 64), "words": (1, 3)},
    ],
)
def test_labels_lie_on_the_page_and_run_clockwise(extra: dict[str, object]) -> None:
    renderer = PageRenderer(SynthConfig.parse({**PLAIN, **extra}))
    pages = [renderer.page(seed) for seed in range(8)]
    for page in pages:
        assert page.image.shape == (*renderer.config.page_size, 3)
        assert page.image.dtype == np.uint8
        check_labels(page)
    assert sum(len(page.texts) for page in pages) > 0


def test_curved_words_have_more_points() -> None:
    renderer = PageRenderer(SynthConfig.parse({**PLAIN, "curved_rate": 1.0, "plate_rate": 0.0}))
    counts = [len(polygon) for seed in range(6) for polygon in renderer.page(seed).polygons]
    assert max(counts) >= 8
    assert min(counts) == 4  # blocks and short words stay straight


def test_a_polygon_surrounds_the_ink() -> None:
    """On a page without any damage, pixels change inside the polygons and hardly outside."""
    calm = {
        **PLAIN,
        "degrade": 0.0,
        "clutter": 0.0,
        "empty_rate": 0.0,
        "plate_rate": 0.0,
        "document_rate": 0.0,
    }
    quiet = PageRenderer(SynthConfig.parse({**calm, "occlusion_rate": 0.0, "foreign_rate": 0.0}))
    inside = total = 0
    for seed in range(6):
        blank = PageRenderer(SynthConfig.parse({**calm, "words": (0, 0)})).page(seed).image.astype(int)
        page = quiet.page(seed)
        changed = np.abs(page.image.astype(int) - blank).max(2) > 40
        mask = np.zeros(changed.shape, np.uint8)
        for polygon in page.polygons:
            cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
        mask = cv2.dilate(mask, np.ones((3, 3), np.uint8))
        inside, total = inside + int((changed & (mask > 0)).sum()), total + int(changed.sum())
    assert total > 1000
    assert inside / total > 0.9


def test_words_and_sizes_follow_the_config() -> None:
    config = SynthConfig.parse({**PLAIN, "words": (5, 5), "size_range": (10.0, 12.0), "empty_rate": 0.0})
    renderer = PageRenderer(config)
    counts = [len(renderer.page(seed).texts) for seed in range(6)]
    assert max(counts) <= 5
    assert np.mean(counts) > 4
    tall = [side_height(p.astype(np.float64)) for s in range(6) for p in renderer.page(s).polygons]
    assert 7 < np.median(tall) < 20
    empty = PageRenderer(SynthConfig.parse({**PLAIN, "empty_rate": 1.0}))
    assert empty.page(0).texts == []


def quad(x: float, y: float, wide: float, tall: float) -> np.ndarray:
    return np.array([[x, y], [x + wide, y], [x + wide, y + tall], [x, y + tall]], np.float64)


@pytest.mark.parametrize(
    ("word", "damage", "ignored"),
    [
        (Placed("fine", quad(10, 10, 40, 12), 90.0), Damage(), False),
        (Placed("foreign", quad(10, 10, 40, 12), 90.0, ignore=True), Damage(), True),
        (Placed("low", quad(10, 10, 40, 5), 90.0), Damage(), True),
        (Placed("coarse", quad(10, 10, 40, 12), 90.0), Damage(scale=0.4), True),
        (Placed("blurred", quad(10, 10, 40, 8), 90.0), Damage(blur=2.0), True),
        (Placed("faint", quad(10, 10, 40, 12), 10.0), Damage(), True),
        (Placed("fainter", quad(10, 10, 40, 12), 20.0), Damage(contrast=0.5), True),
        (Placed("cut", quad(-20, 10, 60, 12), 90.0), Damage(), True),
        (Placed("hidden", quad(60, 60, 30, 12), 90.0), Damage(), True),
    ],
)
def test_what_cannot_be_read_is_dont_care(word: Placed, damage: Damage, ignored: bool) -> None:
    occluded = np.zeros((100, 100), np.uint8)
    occluded[55:75, 70:95] = 255
    polygons, texts, ignore = finish_labels([word], damage, occluded, min_height=6.0)
    assert texts == [word.text]
    assert ignore == [ignored]
    assert (polygons[0] >= 0).all()


def test_words_that_the_final_page_does_not_show_are_dont_care() -> None:
    image = np.full((100, 100, 3), 120, np.uint8)
    cv2.putText(image, "seen", (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (240, 240, 240), 1)
    words = [Placed("seen", quad(10, 8, 40, 14), 90.0), Placed("gone", quad(10, 60, 40, 14), 90.0)]
    assert finish_labels(words, Damage(), np.zeros((100, 100), np.uint8), 6.0, image)[2] == [False, True]


def test_words_outside_the_page_are_left_out() -> None:
    words = [Placed("gone", quad(-80, 10, 60, 12), 90.0), Placed("flat", quad(5, 5, 0, 9), 90.0)]
    assert finish_labels(words, Damage(), np.zeros((50, 50), np.uint8), 6.0)[1] == []


def test_mosaics_are_dense(crops: Path) -> None:
    options = {**PLAIN, "page_size": (512, 512), "word_mosaic": True, "word_crops": crops}
    renderer = PageRenderer(SynthConfig.parse(options))
    pages = [renderer.page(seed) for seed in range(3)]
    for page in pages:
        check_labels(page)
        assert len(page.texts) > 35
    texts = [text for page in pages for text in page.texts]
    assert 0.1 < texts.count("REAL") / len(texts) < 0.6
    assert "two" not in texts  # crops of several words, or of other characters, are left out
    assert same(pages[0], PageRenderer(SynthConfig.parse(options)).page(0))


def test_mosaics_without_crops_or_with_photos(photos: Path) -> None:
    options = {**PLAIN, "word_mosaic": True, "backgrounds": photos, "mosaic_range": (10.0, 60.0)}
    page = PageRenderer(SynthConfig.parse(options)).page(5)
    check_labels(page)
    assert len(page.texts) > 8


def test_photos_appear_on_pages(photos: Path) -> None:
    options = {
        **PLAIN,
        "backgrounds": photos,
        "photo_rate": 1.0,
        "words": (0, 0),
        "clutter": 0.0,
        "degrade": 0.0,
    }
    noise = PageRenderer(SynthConfig.parse(options)).page(0).image
    plain = PageRenderer(SynthConfig.parse({**options, "photo_rate": 0.0})).page(0).image
    assert noise.std() > 30  # the photos of this test are noise
    assert not np.array_equal(noise, plain)


def test_render_page_is_the_renderers_page(renderer: PageRenderer) -> None:
    assert same(render_page(9, SynthConfig.parse(PLAIN)), renderer.page(9))


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    for option in ("backgrounds", "fonts", "word_crops"):
        for folder in (tmp_path, tmp_path / "absent"):
            with pytest.raises(DataError, match=str(folder)):
                PageRenderer(SynthConfig.parse({**PLAIN, option: folder}))


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    options = SynthConfig.parse({**PLAIN, "backgrounds": tmp_path, "photo_rate": 1.0})
    with pytest.raises(DataError, match=r"broken\.jpg"):
        PageRenderer(options).page(0)


def test_malformed_crop_tables_are_named(tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text("a.png\tfine\nno tab here\n")
    with pytest.raises(DataError, match=r"labels\.tsv, line 2"):
        PageRenderer(SynthConfig.parse({**PLAIN, "word_crops": tmp_path}))


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'page_size'"):
        SynthConfig.parse({"pagesize": (64, 64)})
    with pytest.raises(ConfigError, match="swap them"):
        SynthConfig.parse({"words": (9, 3)})


def test_mixed_pages_differ_in_size_and_in_their_letters() -> None:
    base = SynthConfig(mixed=True, system_fonts=False)
    drawn = [varied(base, seed) for seed in range(40)]
    assert [varied(base, seed) for seed in range(40)] == drawn
    areas = [config.page_size[0] * config.page_size[1] / 1e6 for config in drawn]
    assert 0.95 < min(areas) < 2
    assert 8 < max(areas) < 12.1
    assert len({config.words for config in drawn}) == 3
    assert all(10 <= config.size_range[0] <= config.size_range[1] <= 400 for config in drawn)
    seed = areas.index(min(areas))
    page = PageRenderer(base).page(seed)
    assert page.image.shape[:2] == drawn[seed].page_size
    with pytest.raises(ConfigError, match="exclude each other"):
        SynthConfig.parse({"mixed": True, "word_mosaic": True})
