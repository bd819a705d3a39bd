"""Total-Text: records over several lines, the layout with commas, and MATLAB files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from formats_common import facts, put, put_golden

from dld_core.data import formats
from dld_core.data.formats import Problems
from dld_core.data.formats.checks import check
from dld_core.errors import MissingExtraError


def _words(text: str, folder: Path) -> list[Any]:
    file = put(folder / "poly_gt_img1.txt", text)
    return formats.read(file, "totaltext").images[0].words


def test_arrays_that_numpy_broke_over_lines(tmp_path: Path) -> None:
    words = _words(
        "x: [[ 1  9 10\n  8  2]], y: [[10  8\n 12 16 14]], ornt: [u'c'], transcriptions: [u'one']\n"
        "x: [[-5 9 9 1]], y: [[1 1.5 5 5]], ornt: [u'm'], transcriptions: [u'two']\n",
        tmp_path,
    )
    assert [(len(w.polygon), w.text, w.where) for w in words] == [(5, "one", "line 1"), (4, "two", "line 4")]
    assert words[1].polygon[0].tolist() == [-5, 1]


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("u'PAUL'", "PAUL"),
        ("'PAUL'", "PAUL"),
        ('u"JOE\'S"', "JOE'S"),
        (r"u'caf\xe9'", "caf\u00e9"),
        (r"u'a\\b'", "a\\b"),
        (r"u'a\g\\g'", r"a\g\g"),
        ("u'[x], y: [['", "[x], y: [["),
        ("u'10' u'000'", "10,000"),
        ("", ""),
    ],
)
def test_transcriptions(literal: str, text: str, tmp_path: Path) -> None:
    record = f"x: [[1 9 9 1]], y: [[1 1 5 5]], ornt: [u'h'], transcriptions: [{literal}]"
    assert [w.text for w in _words(record, tmp_path)] == [text]


@pytest.mark.parametrize("ornt", [", ornt: []", ""])
def test_missing_orientation(ornt: str, tmp_path: Path) -> None:
    words = _words(f"x: [[1 9 9 1]], y: [[1 1 5 5]]{ornt}, transcriptions: [u'a']", tmp_path)
    assert words[0].extra == {}
    assert not words[0].ignore


def test_the_layout_with_commas(tmp_path: Path) -> None:
    words = _words("1,1,9,1,9,5,5,5,1,5,curved, yes\n1,1,9,1,9,5,1,5,###\n", tmp_path)
    assert [(len(w.polygon), w.text, w.ignore) for w in words] == [
        (5, "curved, yes", False),
        (4, "###", True),
    ]


def test_malformed_records_are_told_each(tmp_path: Path) -> None:
    problems = Problems()
    put(
        tmp_path / "poly_gt_img1.txt",
        "x: [[1 9 9]], y: [[1 1 5 5]], ornt: [u'h'], transcriptions: [u'a']\n"
        "x: [[1 9 9 1]], y: [[1 1 5 5]], ornt: [u'h'], transcriptions: [u'fine']\n"
        "x: [[1 9 zz 1]], y: [[1 1 5 5]], ornt: [u'h'], transcriptions: [u'a']\n"
        "x: [[1 nan 9 1]], y: [[1 1 5 5]], ornt: [u'h'], transcriptions: [u'a']\n"
        "x: 1 9 9 1, y: 1 1 5 5\n"
        "x: [[1 9 9 1]], y: [[1 1 5 5]], ornt: [u'h'], transcriptions: [bare]\n",
    )
    dataset = formats.read(tmp_path, problems=problems)
    assert [(p.where, p.code) for p in problems.of("error")] == [
        ("line 1", "wrong-count"),
        ("line 3", "non-numeric"),
        ("line 4", "non-finite"),
        ("line 5", "bad-record"),
        ("line 6", "bad-record"),
    ]
    assert dataset.images[0].words[0].text == "fine"


def test_mat_says_what_txt_says(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    read = formats.read(put_golden("totaltext", tmp_path / "txt"))
    losses = formats.write(read, tmp_path / "mat", "totaltext-mat")
    assert not losses.counts
    again = formats.read(tmp_path / "mat")
    assert again.format == "totaltext-mat"
    assert facts(again) == facts(read)


def test_mat_as_the_annotation_tool_writes_it(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    rows = np.empty((2, 6), dtype=object)
    column = np.array([[1], [9], [9], [1]], dtype=np.int16)
    rows[0] = ["x:", column, "y:", column[::-1], "kel", "h"]
    rows[1] = ["x:", column + 0.5, "y:", column, np.array([]), np.array([])]
    io.savemat(tmp_path / "gt_img3.mat", {"gt": rows})
    words = formats.read(tmp_path).images[0].words
    assert [(w.text, w.extra) for w in words] == [("kel", {"orientation": "h"}), ("", {})]
    assert words[1].polygon[:, 0].tolist() == [1.5, 9.5, 9.5, 1.5]


@pytest.mark.parametrize(
    "content", [b"", b"not a mat file", b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\x00\x01IM"]
)
def test_damaged_mat_files_are_told(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    put(tmp_path / "poly_gt_img1.mat", content)
    assert [p.code for p in check(tmp_path).problems.of("error")] == ["bad-mat"]


def test_mat_with_something_else_in_it(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    io.savemat(tmp_path / "poly_gt_img1.mat", {"polygt": np.zeros((3, 3))})
    assert [p.code for p in check(tmp_path).problems.of("error")] == ["bad-mat"]


def test_without_scipy_the_install_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "poly_gt_img1.mat", b"")
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dld\[mat\]'"):
        formats.read(tmp_path)
    dataset = formats.read(put_golden("totaltext", tmp_path / "txt"))
    with pytest.raises(MissingExtraError):
        formats.write(dataset, tmp_path / "out", "totaltext-mat")
