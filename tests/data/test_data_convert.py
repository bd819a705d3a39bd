"""Conversions keep what the target can hold, tell what it cannot, and touch nothing they should not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from formats_common import GOLDEN, one_page, put, put_golden, put_image, word
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dld_core.data import formats
from dld_core.data.formats.convert import REPORT_NAME, ConvertOptions, convert
from dld_core.data.formats.polygons import four_points
from dld_core.errors import ConfigError, DataError, UnknownPartError
from dld_core.geometry import signed_area

KEEPS_ALL = ["icdar", "totaltext", "cocotext", "textocr", "mmocr", "davar", "labelme", "ppocrlabel"]
MARKS = {"", "#", "###", "*", "."}

coordinates = st.floats(-50, 700, width=32) | st.integers(0, 640)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text not in MARKS
)

some = st.integers(3, 9)


@st.composite
def words(draw: st.DrawFn, counts: Any = some, readings: Any = texts) -> formats.AnnotatedWord:
    count = draw(counts)
    points = draw(st.lists(coordinates, min_size=2 * count, max_size=2 * count))
    if draw(st.integers(0, 4)) == 0:
        return word(points, "###", ignore=True)
    return word(points, draw(readings))


def _essence(dataset: formats.Dataset) -> list[Any]:
    """Polygons, what words read, and which are don't-care (whose mark differs between formats)."""
    return [
        (w.polygon.tolist(), None if w.ignore else w.text) for image in dataset.images for w in image.words
    ]


@pytest.mark.parametrize("name", KEEPS_ALL)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page=st.lists(words(), max_size=5))
def test_any_words_survive_a_format_that_keeps_all(name: str, page: list[Any], tmp_path: Path) -> None:
    dataset = one_page(tmp_path, *page)
    losses = formats.write(dataset, tmp_path / name, name)
    assert name == "icdar" or not losses.counts
    if not losses.counts:
        assert _essence(formats.read(tmp_path / name, name)) == _essence(dataset)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    page=st.lists(
        words(st.just(4), st.sampled_from(["1,5", "7", "1,2,a", "x", "1,2,3,4", "-3.5,y"])), max_size=5
    )
)
def test_four_points_survive_icdar_where_the_count_is_said(page: list[Any], tmp_path: Path) -> None:
    dataset = one_page(tmp_path, *page)
    losses = formats.write(dataset, tmp_path / "out", "icdar")
    assert _essence(formats.read(tmp_path / "out", "icdar", points=4)) == _essence(dataset)
    if not losses.counts:
        assert _essence(formats.read(tmp_path / "out", "icdar")) == _essence(dataset)


@pytest.mark.parametrize("source", GOLDEN)
@pytest.mark.parametrize("target", formats.FORMATS)
def test_every_pair_of_formats(source: str, target: str, tmp_path: Path) -> None:
    folder = put_golden(source, tmp_path / "in")
    read = formats.read(folder)
    for image in read.images:
        name = image.name if "." in image.name else f"{image.name}.png"
        put_image(folder / "images" / name, image.width or 900, image.height or 700)
    report = convert(folder, tmp_path / "out", target)
    assert (report.source_format, report.target_format) == (source, target)
    assert report.words == sum(len(image.words) for image in read.images)
    cut_out = target == "doctr-recognition"  # brings its own images
    again = formats.read(tmp_path / "out", target, images=None if cut_out else folder / "images")
    if target in KEEPS_ALL and source not in ("doctr",):
        assert sorted(_essence(again), key=str) == sorted(_essence(formats.read(folder)), key=str)
    written = json.loads((tmp_path / "out" / REPORT_NAME).read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report.to_dict()))
    assert {entry["what"] for entry in written["lost"]} == set(report.losses.counts)


def test_losses_are_counted_and_placed(tmp_path: Path) -> None:
    curved = word([10, 10, 50, 5, 90, 10, 90, 30, 50, 25, 10, 30], "curved", language="Latin")
    dataset = one_page(
        tmp_path,
        curved,
        word([10, 10, 90, 10, 90, 30, 10, 30], "two\nlines", legibility="legible"),
        word([10, 50, 90, 50, 90, 70, 10, 70], "smudge", ignore=True),
        word([10, 50, 90, 50, 90, 71, 10, 71], "###"),
    )
    losses = formats.write(dataset, tmp_path / "out", "icdar13")
    assert losses.counts == {
        "field 'language'": 1,
        "polygons reduced to upright rectangles": 1,
        "field 'legibility'": 1,
        "line breaks in texts became spaces": 1,
        "texts of don't-care words": 1,
        "words that read '###' became don't-care": 1,
    }
    assert losses.examples["field 'language'"].endswith("source: line 1")
    assert (tmp_path / "out" / "gt_img_1.txt").read_text().splitlines() == [
        '10 5 90 30 "curved"',
        '10 10 90 30 "two lines"',
        '10 50 90 70 "###"',
        '10 50 90 71 "###"',
    ]


def test_detection_formats_say_that_texts_go(tmp_path: Path) -> None:
    curved = word([10, 10, 50, 5, 90, 10, 90, 30, 50, 25, 10, 30], "curved")
    losses = formats.write(
        one_page(tmp_path, curved, word([1, 1, 9, 1, 9, 5], "###", True)), tmp_path, "doctr"
    )
    assert losses.counts["polygons reduced to 4 points"] == 2
    assert losses.counts["transcriptions (`doctr-recognition` keeps them, as crops)"] == 1
    assert any(what.startswith("don't-care flags") for what in losses.counts)
    polygons = json.loads((tmp_path / "labels.json").read_text())["img_1.jpg"]["polygons"]
    assert [len(polygon) for polygon in polygons] == [4, 4]


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12))
def test_four_points_enclose_the_polygon(points: list[tuple[float, float]]) -> None:
    import shapely

    polygon = np.array(points, dtype=np.float64)
    quad = four_points(polygon)
    assert quad.shape == (4, 2)
    if len(polygon) != 4:
        hull = shapely.MultiPoint(quad).convex_hull.buffer(1e-2)
        assert hull.covers(shapely.MultiPoint(polygon))
        if abs(signed_area(polygon)) > 1 and abs(signed_area(quad)) > 1:
            assert (signed_area(quad) > 0) == (signed_area(polygon) > 0)


def test_quads_and_whole_pixels_for_the_reference_script(tmp_path: Path) -> None:
    put_golden("mmocr", tmp_path / "in")
    put_golden("cocotext", tmp_path / "coco")
    report = convert(tmp_path / "in", tmp_path / "a", "icdar", options=ConvertOptions(quads=True, whole=True))
    assert report.losses.counts["polygons reduced to 4 points"] == 1
    report = convert(tmp_path / "coco", tmp_path / "b", "icdar", options=ConvertOptions(whole=True))
    assert report.losses.counts["coordinates rounded to whole pixels"] == 2
    for line in (tmp_path / "b" / "gt_COCO_train2014_000000522579.txt").read_text().splitlines():
        assert all(field.isdigit() for field in line.split(",")[:8])


@pytest.mark.parametrize("target", sorted(set(formats.FORMATS) - {"doctr-recognition", "totaltext-mat"}))
def test_copied_images_are_found_again(target: str, tmp_path: Path) -> None:
    put_golden("mmocr", tmp_path / "in")
    put_image(tmp_path / "in" / "textdet_imgs" / "test" / "img_10.jpg", 1280, 720)
    report = convert(tmp_path / "in", tmp_path / "out", target, options=ConvertOptions(copy_images=True))
    assert (report.images_copied, report.images_missing) == (1, 0)
    image = formats.read(tmp_path / "out").images[0]
    assert image.path.is_file()
    assert tmp_path / "out" in image.path.parents


def test_images_are_never_copied_out_of_the_target(tmp_path: Path) -> None:
    put_image(tmp_path / "in" / "img_1.png")
    shapes = '[{"transcription": "a", "points": [[1, 2], [9, 2], [9, 8], [1, 8]]}]'
    put(tmp_path / "in" / "sub" / "Label.txt", f"../img_1.png\t{shapes}\n{tmp_path}/in/img_1.png\t{shapes}\n")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    for target in ("davar", "icdar", "labelme", "ppocrlabel", "doctr-recognition"):
        convert(
            tmp_path / "in" / "sub",
            tmp_path / "out",
            target,
            options=ConvertOptions(copy_images=True, overwrite=True),
        )
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert written
    assert all(tmp_path / "out" in path.parents for path in written)


def test_labelme_points_to_images_that_stay(tmp_path: Path) -> None:
    put(tmp_path / "in" / "gt" / "gt_a.txt", "1,2,30,2,30,9,1,9,x\n")
    image = put_image(tmp_path / "in" / "images" / "a.png")
    convert(tmp_path / "in", tmp_path / "out", "labelme")
    found = formats.read(tmp_path / "out").images[0]
    assert found.path.resolve() == image.resolve()
    assert found.name == "a.png"


def test_full_targets_and_malformed_sources_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "in" / "gt_1.txt", "1,2,30,2,30,9,1,9,x\n1,2,oops\n")
    put(tmp_path / "full" / "mine.txt", "dear")
    with pytest.raises(ConfigError, match="--overwrite"):
        convert(tmp_path / "in", tmp_path / "full", "mmocr")
    with pytest.raises(ConfigError, match="is a file"):
        convert(tmp_path / "in", tmp_path / "full" / "mine.txt", "mmocr")
    with pytest.raises(DataError, match="line 2"):
        convert(tmp_path / "in", tmp_path / "out", "mmocr")
    with pytest.raises(UnknownPartError):
        convert(tmp_path / "in", tmp_path / "out", "nonesuch")
    assert not (tmp_path / "out").exists()
    report = convert(tmp_path / "in", tmp_path / "out", "mmocr", options=ConvertOptions(skip_malformed=True))
    assert [problem.where for problem in report.skipped] == ["line 2"]
    assert report.words == 1


def test_recognition_sets_go_there_and_back(tmp_path: Path) -> None:
    put(
        tmp_path / "in" / "gt_a.txt",
        "10,20,60,20,60,40,10,40,up\n1,2,30,2,30,9,1,9,###\n5,5,45,9,40,30,1,26,tilted\n",
    )
    put_image(tmp_path / "in" / "a.png", 100, 80)
    convert(tmp_path / "in", tmp_path / "crops", "doctr-recognition")
    read = formats.read(tmp_path / "crops")
    assert [(i.name, i.words[0].text, i.width, i.height) for i in read.images] == [
        ("a_1.png", "up", 50, 20),
        ("a_2.png", "tilted", 40, 22),
    ]
    report = convert(tmp_path / "crops", tmp_path / "again", "doctr-recognition")
    assert not report.losses.counts
    for image in read.images:
        assert (tmp_path / "again" / "images" / image.name).read_bytes() == image.path.read_bytes()
