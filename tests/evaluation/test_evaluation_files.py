"""Reading ground truth and predictions: layouts, names, archives, and every way a file can be broken."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dld_core.data.formats import files as formats_files
from dld_core.errors import DataError
from dld_core.evaluation import align, read_ground_truth, read_predictions
from dld_core.evaluation.lexicon import Lexicons

QUAD = "10,20,110,20,110,50,10,50"


def folder(path: Path, **files: str | bytes) -> Path:
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        (path / f"{name}.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def packed(path: Path, method: int = zipfile.ZIP_DEFLATED, **files: str) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(f"inner/{name}.txt", content)
    return path


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"{QUAD},one, two", "one, two"),
        (f"{QUAD},", ""),
        (f"{QUAD},2015", "2015"),
        (f"{QUAD},10,000", "10,000"),
        (f"{QUAD},12,34,foo", "12,34,foo"),
        (f'{QUAD},"quoted \\"inside\\" \\\\"', 'quoted "inside" \\'),
        (f"{QUAD}, leading", " leading"),
        (" -10 , 20,110.25,20,110,50,10,5e1,word", "word"),
        (f"{QUAD},caf\u00e9 a\u2028b\x85c", "caf\u00e9 a\u2028b\x85c"),
    ],
)
@pytest.mark.parametrize(("ending", "bom"), [("\n", ""), ("\r\n", "\ufeff"), ("\r", "")])
def test_lines_of_four_points(tmp_path: Path, line: str, text: str, ending: str, bom: str) -> None:
    # A second file of plain lines settles that the set is one of quadrilaterals.
    plain = ending.join([f"{QUAD},plain"] * 30)
    lines = f"{bom}{line}{ending}{ending}{QUAD},###{ending}"
    words = read_ground_truth(folder(tmp_path, gt_img_1=lines, gt_img_2=plain))["img_1"]
    assert words.texts == [text, "###"]
    assert [len(polygon) for polygon in words.polygons] == [4, 4]
    assert words.ignore.tolist() == [False, True]


def test_polygons_of_any_number_of_points(tmp_path: Path) -> None:
    lines = [
        "0,0,9,0,9,9,0,9,four",
        "0,0,5,1,9,0,9,9,5,8,0,9,six",
        "0,0,5,1,9,0,9,9,5,8,2,8,0,9,2,014",
        "0,0,9,0,5,5,tri",
    ]
    words = read_ground_truth(folder(tmp_path, img_1="\n".join(lines)))["img_1"]
    assert [len(polygon) for polygon in words.polygons] == [4, 6, 7, 3]
    assert words.texts == ["four", "six", "2,014", "tri"]


def test_layout_settles_what_a_line_alone_does_not(tmp_path: Path) -> None:
    path = folder(tmp_path, img_1=f"{QUAD},12,34,foo")
    found = {layout: read_ground_truth(path, layout)["img_1"].texts for layout in ("quad", "polygon", "auto")}
    assert found == {"quad": ["12,34,foo"], "polygon": ["foo"], "auto": ["foo"]}
    path = folder(tmp_path, img_1="1,2,11,12,word, word")
    words = read_ground_truth(path, layout="rectangle")["img_1"]
    np.testing.assert_array_equal(words.polygons[0], [[1, 2], [11, 2], [11, 12], [1, 12]])
    assert words.texts == ["word, word"]
    with pytest.raises(DataError, match="--layout rectangle"):
        read_ground_truth(path)


def test_scores_and_missing_texts(tmp_path: Path) -> None:
    path = folder(tmp_path, res_img_1=f"{QUAD},0.25,a, b\n{QUAD},1,2015\n{QUAD},.5,")
    words = read_predictions(path, scored=True)["img_1"]
    assert words.scores is not None
    assert words.scores.tolist() == [0.25, 1, 0.5]
    assert words.texts == ["a, b", "2015", ""]
    assert read_predictions(folder(tmp_path, res_img_1=f"{QUAD}\n{QUAD}\n"))["img_1"].texts == ["", ""]


def test_zips_read_like_folders_and_empty_files_are_images(tmp_path: Path) -> None:
    path = packed(tmp_path / "gt.zip", gt_img_10=f"{QUAD},ten", gt_img_2="\n\n")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._gt_img_2.txt", b"\0\1")
        archive.writestr("inner/readme.md", "not this")
        archive.writestr("stra\u00dfe_1.txt", f"{QUAD},a")
        archive.comment = b"made by hand"
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    found = read_ground_truth(path)
    assert {name: words.texts for name, words in found.items()} == {
        "img_2": [],
        "img_10": ["ten"],
        "stra\u00dfe_1": ["a"],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "1,2,3,4,5,6,7,word",
            r"img_1\.txt: line 2: .*begins with 7 numbers, not with 8 coordinates and a text",
        ),
        (QUAD, "8 numbers and no text.*append the text"),
        ("word", "begins with 0 numbers"),
        ("1,2,nan,4,5,6,7,8,word", "coordinate 3 is 'nan'"),
        ("1,2,3;4,5,6,7,8,9,word", "coordinate 3 is '3;4'"),
        ("1e400,2,3,4,5,6,7,8,word", "no place in an image.*up to 1000000"),
        (f"{'9' * 5000},2,3,4,5,6,7,8,word", "wrong-count|not a number"),
        (f"{QUAD},{'x' * 40_000}", "the line has 40,026 characters"),
        (b"\xff\xfe", "byte 0xff is not valid utf-8"),
        (b"\0", r"line 2: .*NUL bytes"),
    ],
)
def test_malformed_lines_are_named_with_file_and_line(
    tmp_path: Path, line: str | bytes, message: str
) -> None:
    data = line if isinstance(line, bytes) else line.encode()
    path = folder(tmp_path, gt_img_1=f"{QUAD},fine\n".encode() + data + f"\n{QUAD},fine".encode())
    with pytest.raises(DataError, match=message):
        read_ground_truth(path)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    path = folder(tmp_path, img_1=f"{QUAD},a\nbad\nworse", img_2="\n" * 3 + "bad\n" * 30)
    with pytest.raises(
        DataError, match=r"(?s)^32 malformed.*img_1\.txt: line 2.*img_2\.txt: line 4.*and 12 more"
    ):
        read_ground_truth(path)
    with pytest.raises(
        DataError, match=r"img_1\.txt: line 1: .*7 is not in|the score '7' is not in \[0, 1\]"
    ):
        read_predictions(folder(tmp_path / "x", img_1=f"{QUAD},7,word"), scored=True)
    with pytest.raises(DataError, match="8 coordinates, a score and a text"):
        read_predictions(folder(tmp_path / "x", img_1=f"{QUAD},word"), scored=True)


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


@pytest.mark.parametrize(
    ("truth", "found", "names"),
    [
        (["gt_img_1", "gt_img_2"], ["res_img_2"], ["img_2"]),
        (["gt_img_1", "gt_img_2"], ["0000002"], ["img_2"]),
        (["gt_img_1"], [f"{'0' * 100}1"], ["img_1"]),
        (["gt_gt_x", "gt_res_y"], ["res_gt_x"], ["gt_x"]),  # images may be called gt_x.jpg and res_y.jpg
        (["gt_gt_x", "gt_y"], ["gt_x", "res_y"], ["gt_x", "y"]),
        (["poly_gt_new_1", "voc_pred_2"], ["new_1", "pred_2"], ["new_1", "pred_2"]),
    ],
)
def test_images_go_by_name_prefix_and_number(
    tmp_path: Path, truth: Any, found: Any, names: list[str]
) -> None:
    sides = [
        read_ground_truth(folder(tmp_path / side, **dict.fromkeys(files, f"{QUAD},a")))
        for side, files in (("truth", truth), ("found", found))
    ]
    assert list(align(*sides)) == names


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    truth = read_ground_truth(folder(tmp_path / "gt", gt_img_1=f"{QUAD},a"))
    with pytest.raises(DataError, match=r"no ground truth.*img_9"):
        align(truth, read_predictions(folder(tmp_path / "strange", img_9=f"{QUAD},b")))
    with pytest.raises(DataError, match="the same image img_1"):
        read_ground_truth(folder(tmp_path / "twice", gt_img_1=f"{QUAD},a", img_1=f"{QUAD},a"))


def bomb(path: Path) -> Path:
    return packed(path, img_1=" " * 3_000_000)


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(3_000_000_000)
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "does not exist"),
        (lambda path: path / ("x" * 300), "does not exist"),
        (lambda path: path / "a\0b", "does not exist"),
        (loop, "does not exist"),
        (lambda path: folder(path), r"holds no \.txt files"),
        (fifo, "neither a folder nor a zip"),
        (lambda path: Path("/dev/zero"), "neither a folder nor a zip"),
        (sparse, "neither a folder nor a zip of up to"),
        (lambda path: packed(path) and path, r"holds no \.txt files"),
        (lambda path: packed(path, zipfile.ZIP_LZMA, img_1=QUAD), "another method than deflate"),
        (lambda path: packed(path, zipfile.ZIP_BZIP2, img_1=QUAD), "another method than deflate"),
        (bomb, "out of .* packed ones"),
    ],
)
def test_sources_that_cannot_be_read_are_refused(make: Any, message: str, tmp_path: Path) -> None:
    source = make(tmp_path / "source.zip")
    for read in (read_ground_truth, Lexicons.read):
        with pytest.raises(DataError, match=message):
            read(source)


def test_huge_files_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_files, "MAX_LINES", 50)
    with pytest.raises(DataError, match="more than 50 lines"):
        read_ground_truth(folder(tmp_path / "folder", img_1=f"{QUAD},word\n" * 60))
    with (tmp_path / "folder" / "img_1.txt").open("wb") as stream:
        stream.truncate(20 * 2**20)
    with pytest.raises(DataError, match="more than 16,777,216 bytes"):
        read_ground_truth(tmp_path / "folder")
    monkeypatch.setattr(formats_files, "MAX_SET_BYTES", 100)
    files = {f"img_{number}": QUAD for number in range(5)}
    for source in (folder(tmp_path / "many", **files), packed(tmp_path / "many.zip", **files)):
        with pytest.raises(DataError, match="over 100 bytes of text"):
            read_ground_truth(source)


def test_damaged_zips_end_in_a_data_error(tmp_path: Path) -> None:
    memory, rng, refused = io.BytesIO(), random.Random(0), 0
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"img_{number}.txt", f"{QUAD},word\n" * 20)
    for _ in range(200):
        data = bytearray(memory.getvalue())
        data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "gt.zip").write_bytes(data)
        try:
            read_ground_truth(tmp_path / "gt.zip")
        except DataError:
            refused += 1
    assert refused > 50
