"""The stream of training batches: pure by number, exact shares, sources, cache, bad pictures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tiny_training import write_photos

from dld_core.data.cache import PageCache, pack, unpack
from dld_core.data.dataset import BatchStream, Mixture, batches
from dld_core.data.sources import SourceConfig, parse_source
from dld_core.errors import ConfigError, DataError
from dld_core.types import Batch, Sample


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def source(photos: Path, **more: object) -> SourceConfig:
    values = {"kind": "icdar", "images": str(photos / "images"), "gt": str(photos / "gt"), **more}
    return parse_source(values, "data[0]")


def page(number: int = 0) -> Sample:
    rng = np.random.default_rng(number)
    image = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    polygon = np.array([[8, 8], [60, 8], [60, 30], [8, 30]], dtype=np.float32)
    return Sample(image, [polygon, polygon + 50], ["wörd, 1", "###"], np.array([False, True]), str(number))


def same(a: Batch, b: Batch) -> bool:
    return (
        a.texts == b.texts
        and a.names == b.names
        and all(bool((x == y).all()) for x, y in zip(a.images, b.images, strict=True))
    )


def test_mixture_has_exact_shares_and_counts_each_source_through() -> None:
    mixture = Mixture([3.0, 1.0, 0.001], seed=5)
    picks = [mixture[i] for i in range(2 * len(mixture.table))]
    for wanted, kind in ((750, 0), (250, 1), (1, 2)):
        numbers = [number for which, number in picks if which == kind]
        assert abs(len(numbers) / 2 - wanted) <= 1
        assert numbers == list(range(len(numbers)))


def test_every_photo_is_seen_once_a_round(photos: Path) -> None:
    opened = source(photos, repeat=2).open(seed=3)
    names = [opened.sample(i, (64, 64)).name for i in range(16)]
    for round_ in (names[:8], names[8:]):
        assert sorted(round_) == sorted(2 * list(set(names)))
    assert len(set(names)) == 4
    assert names[:8] != names[8:]


def test_workers_and_restarts_change_nothing(photos: Path) -> None:
    stream = BatchStream([source(photos)], 2, [(64, 64), (96, 64)], seed=1)
    here = list(islice(batches(stream), 6))
    there = list(islice(batches(stream, workers=2, nice=1), 6))
    later = list(islice(batches(stream, start=2, stride=2), 2))
    assert all(same(a, b) for a, b in zip(here, there, strict=True))
    assert same(here[2], later[0])
    assert same(here[4], later[1])
    assert {tuple(batch.images[0].shape) for batch in here} == {(3, 64, 64), (3, 96, 64)}
    assert not same(here[0], here[2])


def test_photos_as_they_are(photos: Path) -> None:
    opened = source(photos, augment=False).open(seed=0)
    sample = opened.sample(0, (32, 32))
    assert sample.image.shape == (96, 96, 3)
    assert sample.ignore.tolist() == [False, False, True]
    assert opened.sample(0, (32, 32)).texts == sample.texts


def test_boxes_without_texts(photos: Path) -> None:
    sample = source(photos, augment=False, ignore_text=True).open(seed=0).sample(0, (32, 32))
    assert sample.texts == ["", "", ""]
    assert sample.ignore.tolist() == [False, False, True]


def test_background_photos_have_no_words(photos: Path) -> None:
    config = parse_source({"kind": "auto", "images": str(photos / "images"), "gt": None}, "data[0]")
    sample = config.open(0).sample(0, (64, 64))
    assert sample.image.shape == (64, 64, 3)
    assert sample.polygons == []


def test_a_bad_picture_is_replaced(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = photos / "images" / "img_1.png"
    bad.write_bytes(b"not a picture")
    stream = BatchStream([source(photos)], 4, [(64, 64)], seed=1)
    names = {sample.name for number in range(4) for sample in stream[number]}
    assert len(names) == 3
    assert str(bad) not in names
    assert capsys.readouterr().err.count(str(bad)) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_only_bad_pictures_end_in_one_sentence(photos: Path, workers: int) -> None:
    for path in (photos / "images").iterdir():
        path.write_bytes(b"")
    stream = BatchStream([source(photos)], 2, [(64, 64)], seed=1)
    with pytest.raises(DataError, match=r"^20 pictures in a row could not be read; .*$"):
        next(batches(stream, workers=workers))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "icdr", "gt": "x"}, "did you mean 'icdar'"),
        ({"gt": "x"}, "a mapping with a 'kind'"),
        (
            {"kind": "icdar", "gt": "x", "wieght": 2},
            r"data\[0\]: unknown key 'wieght'; did you mean 'weight'",
        ),
        ({"kind": "icdar"}, "'gt': Field required"),
        ({"kind": "synth", "weight": 0}, "'weight'"),
    ],
)
def test_wrong_sources_are_explained(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_source(values, "data[0]")


def test_folders_that_are_not_there(photos: Path) -> None:
    with pytest.raises(DataError, match="nothing at"):
        source(photos, gt=str(photos / "nowhere")).open(0)
    with pytest.raises(ConfigError, match="photos need 'gt'"):
        parse_source({"kind": "auto", "gt": None}, "data[0]").open(0)
    with pytest.raises(ConfigError, match="words_mosaic"):
        parse_source({"kind": "synth", "page": {"words_mosaic": True}}, "data[0]").open(0)


def test_packing_keeps_labels_and_nearly_the_pixels() -> None:
    stored = unpack(pack(page()), "0")
    assert stored.texts == page().texts
    assert stored.ignore.tolist() == [False, True]
    np.testing.assert_array_equal(np.stack(stored.polygons), np.stack(page().polygons))
    assert np.abs(stored.image.astype(int) - page().image).mean() < 6
    empty = Sample(np.zeros((9, 9, 3), dtype=np.uint8), [], [], np.zeros(0, dtype=np.bool_))
    assert unpack(pack(empty), "1").polygons == []


def test_cache_draws_once_and_mends_damage(tmp_path: Path) -> None:
    drawn: list[int] = []

    def draw() -> Sample:
        drawn.append(3)
        return page(3)

    cache = PageCache(tmp_path, {"size": 1})
    first = cache.get(3, draw)
    again = PageCache(tmp_path, {"size": 1}).get(3, draw)
    np.testing.assert_array_equal(first.image, again.image)
    assert drawn == [3]
    PageCache(tmp_path, {"size": 2}).get(3, draw)
    assert drawn == [3, 3]
    for file in cache.folder.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(cache.get(3, draw).image, first.image)
    assert drawn == [3, 3, 3]


def test_rendered_pages_fresh_and_cached(tmp_path: Path) -> None:
    options = {"system_fonts": False, "words": [3, 5]}
    fresh = parse_source({"kind": "synth", "page": options}, "data[0]").open(1)
    a, b = fresh.sample(0, (128, 160)), fresh.sample(0, (128, 160))
    assert a.image.shape == (128, 160, 3)
    np.testing.assert_array_equal(a.image, b.image)
    values = {"page": {**options, "page_size": [160, 160]}, "cache": str(tmp_path), "cache_pages": 2}
    cached = parse_source({"kind": "synth", **values}, "data[0]").open(1)
    views = [cached.sample(i, (128, 128)).image for i in (0, 2, 0)]
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    np.testing.assert_array_equal(views[0], views[2])
    assert (views[0] != views[1]).any()
