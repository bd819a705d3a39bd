"""Paired views: cut from native pixels, resized once as inference does, the same words in both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import write_photos

from dld_core.data import pseudo_labels
from dld_core.data.augment import AugmentConfig
from dld_core.data.sources import parse_source
from dld_core.errors import ConfigError, DataError
from dld_core.images import resize, scale_to
from dld_core.results.page import Page
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.views import NativeView, PairedBatch, PairedSamples, PairedStream, draw_scales
from dld_core.types import Sample, Word

RNG = np.random.default_rng


def page(height: int = 180, width: int = 240) -> Sample:
    """A noisy page with a word of 20 pixels, one of 6, and a don't-care one."""
    image = RNG(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    boxes = ((20, 30, 100, 50), (20, 80, 60, 86), (120, 100, 180, 130))
    polygons = [np.array([[a, b], [c, b], [c, d], [a, d]], np.float32) for a, b, c, d in boxes]
    return Sample(image, polygons, ["large", "small", "###"], np.array([False, False, True]), "page")


def test_views_of_a_whole_image_are_the_pixels_that_inference_sees() -> None:
    sample, reference = page(), 90
    size = (90, 120)
    crop = NativeView(size, reference).cut(sample, RNG(0), None, turn=False)
    assert np.array_equal(crop.image, sample.image)
    paired = PairedSamples.of([crop], size, [0.5, 0.3], [1.0])
    for scale, samples in ((1.0, paired.teacher), *paired.views.items(), *paired.others.items()):
        fit = scale_to(180, 240, reference, fraction=scale)
        assert np.array_equal(samples[0].image, resize(sample.image, size=(fit.height, fit.width))), scale
    assert not np.array_equal(paired.views[0.5][0].image, resize(paired.teacher[0].image, size=(45, 60))), (
        "a student's view must not be made from the teacher's"
    )


def test_polygons_go_with_the_pixels_and_rows_stay() -> None:
    paired = PairedSamples.of([page()], (90, 120), [0.3])
    for samples in (paired.teacher, paired.views[0.3]):
        seen = samples[0]
        factor = np.array(seen.image.shape[1::-1]) / (240, 180)
        for before, after in zip(page().polygons, seen.polygons, strict=True):
            np.testing.assert_allclose(after, before * factor, rtol=1e-5)
        assert seen.texts == page().texts
        assert seen.ignore.tolist() == [False, False, True]


def test_low_words_are_left_out_for_teacher_and_student_alike_where_asked() -> None:
    # 20 and 6 native pixels are 10 and 3 for the teacher, 5 and 1.5 for the student
    paired = PairedSamples.of([page()], (90, 120), [0.5, 0.8], min_height=2.0)
    for samples in (paired.teacher, *paired.views.values()):
        assert samples[0].ignore.tolist() == [False, True, True]


def test_windows_are_native_pixels_that_fill_the_teachers_view() -> None:
    sample = page(400, 500)
    for seed in range(5):
        window = NativeView((64, 96), 100, (0.8, 1.25)).cut(sample, RNG(seed), None, turn=False)
        factor = 64 / window.image.shape[0] * 400 / 100
        assert 0.78 < factor < 1.28
        assert window.image.shape[1] / window.image.shape[0] == pytest.approx(1.5, abs=0.01)
        found = [(window.image == sample.image[y : y + 1, x : x + 1]).all() for y, x in ((0, 0),)]
        assert not any(found)
        corner = window.image[:8, :8]
        views = np.lib.stride_tricks.sliding_window_view(sample.image, (8, 8, 3))[:, :, 0]
        assert (views == corner).all((2, 3, 4)).any(), "pixels were resampled before the one resize"


def test_photometric_damage_is_shared_and_turning_only_done_when_asked() -> None:
    still = AugmentConfig(focus=0.0)
    crop = NativeView((90, 120), 90).cut(page(), RNG(3), still, turn=False)
    assert crop.image.shape == (180, 240, 3)
    assert not np.array_equal(crop.image, page().image)
    np.testing.assert_allclose(crop.polygons[0], page().polygons[0], atol=1e-4)
    turned = NativeView((90, 120), 90).cut(
        page(), RNG(3), AugmentConfig(rotation=20, scale=(3, 4)), turn=True
    )
    assert turned.image.shape == (180, 240, 3)
    side = turned.polygons[0][1] - turned.polygons[0][0]
    assert abs(float(side[1])) > 1
    assert np.hypot(*side) == pytest.approx(80, rel=0.25)


def test_words_too_low_for_the_teacher_are_dont_care() -> None:
    views = AugmentConfig(focus=0.0, min_height=5)
    crop = NativeView((90, 120), 90).cut(page(), RNG(1), views, turn=False)
    assert crop.ignore.tolist() == [False, True, True]


def test_scales_are_drawn_without_repetition() -> None:
    seen = set()
    for seed in range(40):
        drawn, rest = draw_scales([0.3, 0.5, 1.0], 2, RNG(seed))
        assert sorted(drawn + rest) == [0.3, 0.5, 1.0]
        seen |= {tuple(drawn)}
    assert seen == {(0.3, 0.5), (0.3, 1.0), (0.5, 1.0)}


# -- the stream ---------------------------------------------------------------------------------------------


def config(photos: Path, **changes: object) -> DistillConfig:
    source = {"kind": "icdar", "images": str(photos / "images"), "gt": str(photos / "gt")}
    values = {"backend": "tiny", "data": [source], "sizes": [64], "batch_size": 3, "scales": [0.5, 1.0]}
    return DistillConfig.parse({**values, **changes})


def test_the_stream_is_pure_by_number(tmp_path: Path) -> None:
    settings = config(write_photos(tmp_path / "p"), read_others=True)
    one, two = (PairedStream(settings, settings.data, 96) for _ in range(2))
    scales = set()
    for number in (0, 1, 2, 5, 8):
        a, b = one.collate(one[number]), two.collate(two[number])
        assert isinstance(a, PairedBatch)
        assert [i.shape[1:] for i in a.images] == [(64, 64)] * 3
        assert all(torch.equal(x, y) for x, y in zip(a.images, b.images, strict=True))
        assert len(a.views) == len(a.others) == 1
        scales |= set(a.views)
        for scale, view in (a.views | a.others).items():
            assert {tuple(i.shape[1:]) for i in view.images} == {(round(64 * scale), round(64 * scale))}
            assert view.texts == a.texts
            assert all(torch.equal(x, y) for x, y in zip(view.ignore, a.ignore, strict=True))
    assert scales == {0.5, 1.0}


def test_wrong_scales_are_explained(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "p")
    for changes, message in (
        ({"scales": []}, "'scales' needs different positive numbers"),
        ({"scales": [0.5, 0.5]}, "different positive numbers"),
        ({"scales": [-2.0, 0.5]}, "positive numbers"),
        ({"scales_per_step": 3}, "there are 2"),
        ({"teacher_scale": [1.2, 0.8]}, "smallest and a largest"),
        ({"teacher": {"wieghts": "x"}}, "did you mean 'weights'"),
        ({"scalse": [0.5]}, "did you mean 'scales'"),
    ):
        with pytest.raises(ConfigError, match=message):
            config(photos, **changes)


# -- photos without labels ----------------------------------------------------------------------------------


def test_a_teachers_reading_stands_for_labels(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "p", count=2)
    values = {"kind": "images", "images": str(photos / "images"), "confidence": 0.6}
    with pytest.raises(ConfigError, match="only `dld distill` makes them"):
        parse_source(values, "data[0]").open(0)
    words = [
        Word(text, score, ((1, 1), (9, 1), (9, 5), (1, 5))) for text, score in (("ab", 0.9), ("cd", 0.3))
    ]
    paths = sorted((photos / "images").iterdir())
    pseudo_labels.store(tmp_path / "labels", paths[0], Page(words, width=192, height=192))
    pseudo_labels.store(tmp_path / "labels", paths[1], Page([], 0, 0, error="broken"))
    source = parse_source({**values, "labels": str(tmp_path / "labels")}, "data[0]").open(0)
    for number in range(3):
        sample = source.whole(number, (8, 8))
        assert sample.name == str(paths[0])
        assert sample.texts == ["ab", "cd"]
        assert sample.ignore.tolist() == [False, True]
        np.testing.assert_allclose(sample.polygons[0][2], (4.5, 2.5))  # read at twice the size of the file
    pseudo_labels.path_of(tmp_path / "labels", paths[0]).write_text("{torn")
    with pytest.raises(DataError, match="could read none of the pictures"):
        parse_source({**values, "labels": str(tmp_path / "labels")}, "data[0]").open(0)
