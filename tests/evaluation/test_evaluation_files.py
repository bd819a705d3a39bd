"""Reading ground truth and predictions: every layout, and every way a file can be broken."""

from __future__ import annotations

import io
import json
import math
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dld_core.errors import DataError
from dld_core.evaluation import align, archive, read_ground_truth, read_predictions
from dld_core.evaluation.archive import image_name
from dld_core.evaluation.fields import Fields
from dld_core.evaluation.numbers import whole_numbers

QUAD = "10,20,110,20,110,50,10,50"


def folder(path: Path, **files: str | bytes) -> Path:
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (path / f"{name}.txt").write_bytes(data)
    return path


def texts(path: Path, **options: object) -> list[str]:
    return list(read_ground_truth(path, **options)["img_1"].texts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"{QUAD},word", "word"),
        (f"{QUAD},one, two", "one, two"),
        (f"{QUAD},", ""),
        (f"{QUAD},###", "###"),
        (f"{QUAD},2015", "2015"),
        (f"{QUAD},10,000", "10,000"),
        (f"{QUAD},12,34,foo", "12,34,foo"),
        (f'{QUAD},"quoted \\"inside\\" \\\\"', 'quoted "inside" \\'),
        (f"{QUAD}, leading", " leading"),
        (" 10 , 20,110,20,110,50,10,50,word", "word"),
        ("-10,-20,110,20,110,50,10,50,word", "word"),
        ("10.5,20.25,110,20,110,50,10,5e1,word", "word"),
        (f"{QUAD},caf\u00e9", "caf\u00e9"),
        (f"{QUAD},a\u2028b", "a\u2028b"),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_lines_of_four_points(tmp_path: Path, line: str, text: str, ending: str, bom: str) -> None:
    # A second file of plain lines settles that the set is one of quadrilaterals.
    plain = ending.join([f"{QUAD},plain"] * 30)
    path = folder(tmp_path, gt_img_1=bom + line + ending + ending, gt_img_2=plain)
    words = read_ground_truth(path)["img_1"]
    assert words.texts == [text]
    assert words.counts.tolist() == [4]
    assert words.ignore.tolist() == [text == "###"]


def test_polygons_of_any_number_of_points(tmp_path: Path) -> None:
    lines = [
        "0,0,9,0,9,9,0,9,four",
        "0,0,5,1,9,0,9,9,5,8,0,9,six",
        "0,0,5,1,9,0,9,9,5,8,2,8,0,9,2,014",
        "0,0,9,0,5,5,tri",
    ]
    words = read_ground_truth(folder(tmp_path, img_1="\n".join(lines)))["img_1"]
    assert words.counts.tolist() == [4, 6, 7, 3]
    assert words.texts == ["four", "six", "2,014", "tri"]
    np.testing.assert_array_equal(words.polygons[3], [[0, 0], [9, 0], [5, 5]])


def test_layout_settles_what_a_line_alone_does_not(tmp_path: Path) -> None:
    path = folder(tmp_path, img_1=f"{QUAD},12,34,foo")
    assert texts(path, layout="quad") == ["12,34,foo"]
    assert texts(path, layout="polygon") == ["foo"]
    assert texts(path) == ["foo"]


def test_rectangles_when_asked_for(tmp_path: Path) -> None:
    path = folder(tmp_path, img_1="1,2,11,12,word, word")
    words = read_ground_truth(path, layout="rectangle")["img_1"]
    np.testing.assert_array_equal(words.polygons[0], [[1, 2], [11, 2], [11, 12], [1, 12]])
    assert words.texts == ["word, word"]
    with pytest.raises(DataError, match="--layout rectangle"):
        read_ground_truth(path)


def test_scores_before_the_text(tmp_path: Path) -> None:
    path = folder(tmp_path, res_img_1=f"{QUAD},0.25,a, b\n{QUAD},1,2015\n{QUAD},.5,")
    words = read_predictions(path, scored=True)["img_1"]
    assert words.scores is not None
    assert words.scores.tolist() == [0.25, 1, 0.5]
    assert words.texts == ["a, b", "2015", ""]


def test_detections_without_any_text(tmp_path: Path) -> None:
    words = read_predictions(folder(tmp_path, img_1=f"{QUAD}\n{QUAD}\n"))["img_1"]
    assert words.texts == ["", ""]
    assert words.points.shape == (8, 2)


def test_empty_files_are_images_without_words(tmp_path: Path) -> None:
    found = read_ground_truth(folder(tmp_path, gt_img_1="", gt_img_2="\n\n", gt_img_3=f"{QUAD},a"))
    assert [len(words) for words in found.values()] == [0, 0, 1]


def test_zips_read_like_folders(tmp_path: Path) -> None:
    path = tmp_path / "gt.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_:
        archive_.writestr("inner/gt_img_10.txt", f"{QUAD},ten")
        archive_.writestr("inner/gt_img_2.txt", f"{QUAD},two")
        archive_.writestr("__MACOSX/._gt_img_2.txt", b"\0\1")
        archive_.writestr("inner/readme.md", "not this")
    assert list(read_ground_truth(path)) == ["img_2", "img_10"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("gt_img_7.txt", "img_7"),
        ("res_img_7.txt", "img_7"),
        ("poly_gt_img7.txt", "img7"),
        ("img_7.txt", "img_7"),
        ("voc_img_7.txt", "img_7"),
        ("street.gt.txt", "street.gt"),
    ],
)
def test_names_of_files_say_which_image(file: str, name: str) -> None:
    assert image_name(file) == name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "1,2,3,4,5,6,7,word",
            r"img_1\.txt:2: only 7 numbers before 'word'; expected 8 coordinates and a text",
        ),
        (f"{QUAD}", "8 numbers and no text.*append the text"),
        ("word", "only 0 numbers"),
        ("1,2,nan,4,5,6,7,8,word", "only 2 numbers before 'nan'"),
        ("1,2,inf,4,5,6,7,8,word", "only 2 numbers before 'inf'"),
        ("1,2,3;4,5,6,7,8,9,word", "only 2 numbers before '3;4'"),
        ("1e400,2,3,4,5,6,7,8,word", "beyond 1000000 pixels"),
        ("99999999999999999999,2,3,4,5,6,7,8,word", "beyond 1000000 pixels"),
        ("12000000,2,3,4,5,6,7,8,word", r"img_1\.txt:2: a coordinate is beyond"),
    ],
)
def test_malformed_lines_are_named_with_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    path = folder(tmp_path, gt_img_1=f"{QUAD},fine\n{content}\n{QUAD},fine")
    with pytest.raises(DataError, match=message):
        read_ground_truth(path)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = folder(tmp_path, img_1=f"{QUAD},a\nbad\nworse", img_2="\n" * 3 + "bad\n" * 30)
    with pytest.raises(DataError, match=r"(?s)^32 problems.*img_1\.txt:2.*img_2\.txt:4.*and 12 more"):
        read_ground_truth(path)


@pytest.mark.parametrize("score", ["1.5", "-0.1", "7"])
def test_scores_out_of_range(tmp_path: Path, score: str) -> None:
    with pytest.raises(DataError, match=r"img_1\.txt:1: the score is not in \[0, 1\]"):
        read_predictions(folder(tmp_path, img_1=f"{QUAD},{score},word"), scored=True)


def test_a_missing_score_column_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 8 coordinates, a score and a text"):
        read_predictions(folder(tmp_path, img_1=f"{QUAD},word"), scored=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "byte 0x89 is not UTF-8"),
        (f"{QUAD},a\n".encode() + b"\xff\xfe", r"img_1\.txt:2: byte 0xff"),
        (f"{QUAD},a\n\0".encode(), r"img_1\.txt:2: holds zero bytes"),
    ],
)
def test_binary_files_are_told(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_ground_truth(folder(tmp_path, img_1=data))


def test_huge_files_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_FILE", 1000)
    content = f"{QUAD},word\n" * 100
    with pytest.raises(DataError, match="not an annotation file"):
        read_ground_truth(folder(tmp_path / "folder", img_1=content))
    path = tmp_path / "gt.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("img_1.txt", content)
    with pytest.raises(DataError, match="not an annotation file"):
        read_ground_truth(path)


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_ground_truth(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no \.txt files"):
        read_ground_truth(tmp_path)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\3\4 not really")
    with pytest.raises(DataError, match="neither a folder nor a readable zip"):
        read_ground_truth(broken)


def test_a_damaged_entry_of_a_zip_is_told(tmp_path: Path) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive_:
        archive_.writestr("img_1.txt", f"{QUAD},word")
    data = memory.getvalue().replace(b",word", b",w0rd", 1)
    (tmp_path / "gt.zip").write_bytes(data)
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_ground_truth(tmp_path / "gt.zip")


def test_two_files_of_one_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the same image img_1"):
        read_ground_truth(folder(tmp_path, gt_img_1=f"{QUAD},a", img_1=f"{QUAD},a"))


def test_names_are_aligned_by_number_where_they_differ(tmp_path: Path) -> None:
    truth = read_ground_truth(folder(tmp_path / "gt", gt_img_1=f"{QUAD},a", gt_img_2=f"{QUAD},b"))
    found = read_predictions(folder(tmp_path / "found", **{"0000002": f"{QUAD},b"}))
    assert list(align(truth, found)) == ["img_2"]
    strange = read_predictions(folder(tmp_path / "strange", img_9=f"{QUAD},b"))
    with pytest.raises(DataError, match=r"no ground truth.*img_9"):
        align(truth, strange)


@pytest.mark.parametrize(
    "text", ["1,2,3", "-5,0,12345,-0", "007,8", "1.5,2,-3e2", "12345678901234567890,1", " 4 ,5\t", "+3,.5,6."]
)
def test_numbers_are_read_as_python_reads_them(text: str) -> None:
    fields = Fields.of(f"{text}\n".encode())
    assert fields.numbers(np.arange(len(fields.begins))).tolist() == [float(part) for part in text.split(",")]
    assert fields.all_numbers(np.array([0]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("12345678", 12345678),
        ("-12345678", -12345678),
        ("00000042", 42),
        *(
            (odd, None)
            for odd in ["", "-", "--1", "1-", "+1", " 1", "1.", "1/", "1:", "a", "123456789", "\u0661"]
        ),
    ],
)
def test_the_quick_look_reads_plain_whole_numbers_and_nothing_else(field: str, value: float | None) -> None:
    # Digits all round, which must not get in.
    text = f"99999999,{field},99999999\n".encode()
    end = len(text) - len(",99999999\n")
    (read,) = whole_numbers(text, np.array([9]), np.array([end])).tolist()
    assert (None if math.isnan(read) else read) == value


def test_ground_truth_in_another_format(tmp_path: Path) -> None:
    word = {"polygon": [0, 0, 9, 0, 9, 9, 0, 9], "bbox": [0, 0, 9, 9], "text": "word", "ignore": False}
    entry = {"img_path": "photos/img_1.jpg", "height": 90, "width": 120, "instances": [word]}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"metainfo": {}, "data_list": [entry]}))
    for name in (None, "mmocr"):
        words = read_ground_truth(path, annotations=name)["img_1"]
        assert words.texts == ["word"]
        assert words.polygons[0].tolist() == [[0, 0], [9, 0], [9, 9], [0, 9]]
    with pytest.raises(DataError):
        read_ground_truth(path, annotations="textocr")


def test_damaged_zips_end_in_a_data_error(tmp_path: Path) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive_:
        for number in range(3):
            archive_.writestr(f"img_{number}.txt", f"{QUAD},word\n" * 20)
    path, rng = tmp_path / "gt.zip", random.Random(0)
    refused = 0
    for _ in range(200):
        data = bytearray(memory.getvalue())
        data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            read_ground_truth(path)
        except DataError:
            refused += 1
    assert refused > 50


def packed(path: Path, names: list[str], comment: bytes = b"", big: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_:
        archive_.comment = comment
        for name in names:
            with archive_.open(name, "w", force_zip64=big) as file:
                file.write(f"{QUAD},word".encode())
    return path


@pytest.mark.parametrize(
    ("name", "comment", "big"),
    [
        ("img_1", b"", False),
        ("img_1", b"made by hand", False),
        ("stra\u00dfe_1", b"", False),
        ("img_1", b"", True),
    ],
)
def test_zips_of_every_kind(tmp_path: Path, name: str, comment: bytes, big: bool) -> None:
    path = packed(tmp_path / "gt.zip", [f"{name}.txt"], comment, big)
    assert list(read_ground_truth(path)) == [name]


def test_a_zip_behind_other_bytes(tmp_path: Path) -> None:
    path = packed(tmp_path / "gt.zip", ["img_1.txt"])
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert list(read_ground_truth(path)) == ["img_1"]
