"""ICDAR txt: line layouts, encodings, which image a file speaks of, and samples ready for training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from formats_common import put, put_image, word
from PIL import Image

from dld_core.data import formats
from dld_core.data.formats import AnnotatedImage, Problems, load_sample
from dld_core.data.formats.files import natural_key
from dld_core.data.formats.icdar import parse, text_field, unquote
from dld_core.data.formats.pairing import ImageFinder, label_stem, pair, safe_name
from dld_core.errors import DataError, ImageError

QUAD = "1,2,30,2,30,9,1,9"


def _parsed(text: str, points: int | None = None) -> list[tuple[int, str]]:
    problems = Problems()
    words = parse(text, "gt_1.txt", problems, points)
    assert not problems.of("error"), problems
    return [(len(w.polygon), w.text) for w in words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{QUAD},Joe", [(4, "Joe")]),
        (f"{QUAD},1,500", [(4, "1,500")]),  # a number with a comma, in a file of four points
        (f"{QUAD},a\n{QUAD},1,500,000", [(4, "a"), (4, "1,500,000")]),
        (f"{QUAD},12,rue Haute", [(4, "12,rue Haute")]),
        (f"{QUAD},", [(4, "")]),
        (f"{QUAD},a, b ,,c", [(4, "a, b ,,c")]),
        (f"{QUAD},5", [(4, "5")]),
        (f"{QUAD},nan", [(4, "nan")]),
        (f"{QUAD},inf,x", [(4, "inf,x")]),
        (f"{QUAD},0,5,curved", [(5, "curved")]),
        (f"{QUAD},0,5,0,3,curved, long\n{QUAD},x", [(6, "curved, long"), (4, "x")]),
        (f"{QUAD},0,5,0,3,curved\n{QUAD},0,5,0,3,7", [(6, "curved"), (6, "7")]),
        (f"{QUAD},0,5,####a,b", [(5, "a,b")]),
        ("1,2,30,2,30,9,####tri", [(3, "tri")]),
        (f"-1.5,2.25,30,2,3e1,9,+1,.5, {'x'}", [(4, " x")]),
        (QUAD, [(4, "")]),
    ],
)
def test_layouts(text: str, expected: list[tuple[int, str]]) -> None:
    assert _parsed(text) == expected


def test_points_can_be_said() -> None:
    assert _parsed(f"{QUAD},0,5,curved?", points=4) == [(4, "0,5,curved?")]
    assert _parsed(f"{QUAD},0,5", points=5) == [(5, "")]


def test_mixed_point_counts_are_pointed_out() -> None:
    problems = Problems()
    parse(f"{QUAD},a\n{QUAD},10,20,b", "gt_1.txt", problems)
    assert [(p.severity, p.code) for p in problems] == [("info", "mixed-points")]


@pytest.mark.parametrize("text", ['say "hi"', '"', '""', "\\", 'a\\"b', '"quoted"', ' "quoted" ', "5,000"])
def test_quoting_goes_both_ways(text: str) -> None:
    assert unquote(text_field(text)) == text


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_bom_and_line_ends(bom: bytes, end: bytes, tmp_path: Path) -> None:
    lines = [f"{QUAD},Caf\u00e9".encode(), b"", f"{QUAD},###".encode()]
    file = put(tmp_path / "gt_img_1.txt", bom + end.join(lines) + end)
    words = formats.read(file).images[0].words
    assert [(w.text, w.ignore, w.where) for w in words] == [
        ("Caf\u00e9", False, "line 1"),
        ("###", True, "line 3"),
    ]


def test_separators_of_other_scripts_do_not_end_a_line() -> None:
    assert _parsed(f"{QUAD},a\u2028b\x0bc\x1cd") == [(4, "a\u2028b\x0bc\x1cd")]


@pytest.mark.parametrize(
    ("label", "stem"),
    [
        ("gt_img_7.txt", "img_7"),
        ("RES_img_7.txt", "img_7"),
        ("poly_gt_img7.mat", "img7"),
        ("voc_img_7.jpg.txt", "img_7"),
        ("gt_gt_7.txt", "gt_7"),
        ("street.gt.txt", "street.gt"),
        ("gt_.txt", "gt_"),
    ],
)
def test_stems(label: str, stem: str) -> None:
    assert label_stem(label) == stem


@pytest.mark.parametrize(
    ("labels", "images", "found"),
    [
        (
            "gt_img_1.txt res_img_2.txt img_10.txt gt_odd.txt gt_9.txt",
            "img_1.jpg img_2.PNG img_10.webp gt_odd.jpeg alone.tif",
            "img_1.jpg img_2.PNG img_10.webp gt_odd.jpeg -",
        ),
        ("gt_x.txt", "gt_x.jpg", "gt_x.jpg"),
        ("gt_gt_x.txt gt_x.txt", "x.jpg gt_x.jpg", "gt_x.jpg x.jpg"),
        ("gt_x.txt x.txt", "x.jpg gt_x.jpg", "gt_x.jpg x.jpg"),
        ("img_1.png.txt", "img_1.jpg img_1.png", "img_1.png"),
        ("val/gt_img_1.txt", "train/img_1.jpg val/img_1.jpg", "val/img_1.jpg"),
    ],
)
def test_pairing_by_name(labels: str, images: str, found: str) -> None:
    problems = Problems()
    result = pair(list(map(Path, labels.split())), list(map(Path, images.split())), problems)
    assert [image.as_posix() if image else "-" for image in result] == found.split()
    assert not problems


def test_ambiguous_images_are_reported(tmp_path: Path) -> None:
    for name in ("img_1.jpg", "img_1.png", "other.png"):
        put_image(tmp_path / name)
    put(tmp_path / "gt_img_1.txt", f"{QUAD},a")
    problems = Problems()
    dataset = formats.read(tmp_path, problems=problems)
    assert [image.name for image in dataset.images] == ["img_1.jpg"]
    assert [path.name for path in dataset.unlabelled] == ["other.png"]
    assert [problem.code for problem in problems] == ["ambiguous-image"]


@pytest.mark.parametrize(
    "layout",
    [("gt", "images"), ("labels", "imgs"), (".", "."), (".", "images"), ("annotations", "JPEGImages")],
)
def test_layouts_of_folders(layout: tuple[str, str], tmp_path: Path) -> None:
    put(tmp_path / layout[0] / "gt_img_2.txt", f"{QUAD},a")
    put(tmp_path / layout[0] / "gt_img_10.txt", f"{QUAD},b")
    put(tmp_path / "README.txt", "no labels here")
    for number in (2, 10):
        put_image(tmp_path / layout[1] / f"img_{number}.png")
    dataset = formats.read(tmp_path)
    assert [image.name for image in dataset.images] == ["img_2.png", "img_10.png"]
    assert all(image.path.is_file() for image in dataset.images)
    assert dataset.unlabelled == dataset.unpaired == []


def test_finder_drops_leading_folders(tmp_path: Path) -> None:
    image = put_image(tmp_path / "pictures" / "train" / "a.png")
    finder = ImageFinder(tmp_path / "set.json", tmp_path / "pictures")
    assert finder.find("Images\\train\\a.png") == image
    assert finder.find("absent.png") == tmp_path / "pictures" / "absent.png"


@pytest.mark.parametrize(
    "name", ["../../etc/x.jpg", "/etc/x.jpg", "C:\\etc\\x.jpg", "a/../etc/x.jpg", "..", ""]
)
def test_safe_names_stay_inside(name: str) -> None:
    assert not safe_name(name).is_absolute()
    assert ".." not in safe_name(name).parts


def test_natural_order() -> None:
    names = ["img_10", "img_2", "a", "img_2b", "1", "img_0", f"img_{'9' * 5000}"]
    ordered = ["1", "a", "img_0", "img_2", "img_2b", "img_10", f"img_{'9' * 5000}"]
    assert sorted(names, key=natural_key) == ordered


def test_samples_have_raw_pixels_and_clockwise_words(tmp_path: Path) -> None:
    path = tmp_path / "img_1.jpg"
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(np.zeros((40, 80, 3), dtype=np.uint8)).save(path, exif=tags)
    words = [
        word([10, 5, 30, 5, 30, 15, 10, 15], "right"),
        word([10, 5, 10, 15, 30, 15, 30, 5], "left"),
        word([1, 1, 5, 1, 9, 1], "flat"),
        word([40, 5, 60, 5, 60, 15, 40, 15], "###", ignore=True),
        word([40, 25, 60, 25, 60, 35, 40, 35], " "),
    ]
    sample = load_sample(AnnotatedImage(path, words=words))
    assert sample.image.shape == (40, 80, 3)
    assert sample.texts == ["right", "left", "###", " "]
    assert sample.ignore.tolist() == [False, False, True, True]
    assert sample.polygons[1].tolist() == [[10, 5], [30, 5], [30, 15], [10, 15]]
    assert all(polygon.dtype == np.float32 for polygon in sample.polygons)


def test_samples_refuse_absent_and_other_images(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"img_1\.jpg"):
        load_sample(AnnotatedImage(tmp_path / "img_1.jpg"))
    path = put_image(tmp_path / "img_1.jpg", 64, 48)
    with pytest.raises(DataError, match="has 64x48 pixels"):
        load_sample(AnnotatedImage(path, width=48, height=64))
    assert load_sample(AnnotatedImage(path, width=64, height=48)).polygons == []
