"""What all wrapped engines share: safe words, lines cut into words, absence told with its fix."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_runner import runner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dld_core import MissingExtraError
from dld_core.plugins import registry
from dld_core.plugins.entrypoints import requirements
from dld_plugins.engines import engine

SQUARE = [[1, 2], [9, 2], [9, 6], [1, 6]]
ENGINES = ("easyocr", "rapidocr", "tesseract")


def test_a_word_is_kept_as_it_is() -> None:
    word = engine.word("ab", 0.5, SQUARE, 20, 10, "abc")
    assert word is not None
    assert (word.text, word.score) == ("ab", 0.5)
    assert word.polygon == ((1, 2), (9, 2), (9, 6), (1, 6))


@pytest.mark.parametrize("text", [None, "", "  ", 7, "xyz"])
def test_no_readable_text_is_no_word(text: object) -> None:
    assert engine.word(text, 0.5, SQUARE, 20, 10, "abc") is None


@pytest.mark.parametrize(
    "points",
    [
        None,
        [],
        [[1, 1], [2, 2]],
        [[1, 1], [5, 1], [math.nan, 4]],
        [[1, 1], [5, 1], [math.inf, 4]],
        "box",
        [[1, 1], [5, 1], [9, 1]],
        [[-9, -9], [-5, -9], [-5, -2]],
        [[1, 2, 3], [4, 5, 6], [7, 8]],
    ],
)
def test_no_place_in_the_image_is_no_word(points: object) -> None:
    assert engine.word("ab", 0.5, points, 20, 10, "abc") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "kept"), [(math.nan, 0.0), (None, 0.0), (-1, 0.0), (7, 1.0), ("0.25", 0.25), ("high", 0.0)]
)
def test_scores_are_brought_into_range(score: object, kept: float) -> None:
    word = engine.word("ab", score, SQUARE, 20, 10, "abc")
    assert word is not None
    assert word.score == kept


def test_characters_outside_the_charset_are_left_out() -> None:
    word = engine.word("a\x00bç", 1, SQUARE, 20, 10, "abc")
    assert word is not None
    assert word.text == "ab"


def test_points_are_moved_into_the_image_and_turned_clockwise() -> None:
    word = engine.word("a", 1, [[-3, -2], [-3, 6], [30, 6], [30, -2]], 20, 10, "a")
    assert word is not None
    assert word.polygon == ((0, 0), (20, 0), (20, 6), (0, 6))


def test_a_line_is_cut_at_its_blanks() -> None:
    pieces = list(engine.split_line("ab  cdef", [[0, 0], [80, 0], [80, 10], [0, 10]]))
    assert [text for text, _ in pieces] == ["ab", "cdef"]
    assert pieces[0][1].tolist() == [[0, 0], [20, 0], [20, 10], [0, 10]]
    assert pieces[1][1].tolist() == [[40, 0], [80, 0], [80, 10], [40, 10]]


@given(st.text("ab ", max_size=12))
def test_cutting_loses_no_letter_and_stays_in_the_line(text: str) -> None:
    pieces = list(engine.split_line(text, [[0, 0], [60, 6], [60, 16], [0, 10]]))
    assert [piece for piece, _ in pieces] == text.split()
    for _, points in pieces:
        assert points[:, 0].min() >= 0
        assert points[:, 0].max() <= 60
        assert np.allclose(points[:2, 1], points[:2, 0] / 10)  # the cut follows the slant


def test_the_extras_are_declared_and_named_like_the_engines() -> None:
    extras = {extra for _, extra, _ in requirements("dld")}
    assert {"rapidocr", "easyocr"} <= extras
    assert {"rapidocr", "onnxruntime", "onnx"} <= {
        n for n, extra, _ in requirements("dld") if extra == "rapidocr"
    }


def test_absence_is_told_with_the_install_line() -> None:
    with pytest.raises(MissingExtraError, match=r'pip install "dld\[rapidocr\]"') as told:
        engine.require("no_such_engine", "rapidocr")
    assert told.value.exit_code == 4
    assert engine.absent(("json", "no_such_engine"), "x") == (
        'no_such_engine is not installed; `pip install "dld[x]"`'
    )
    assert engine.absent(("json",), "x") is None


def test_an_engine_that_lacks_a_module_of_its_own_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_engine.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtraError, match="'half_engine' is installed but lacks 'no_such_dependency'"):
        engine.require("half_engine", "half")


def hide(patch: pytest.MonkeyPatch, *names: str) -> None:
    """Make engines absent, whatever is installed here."""
    for name in names:
        patch.setitem(sys.modules, name, None)
    patch.setattr("shutil.which", lambda wanted: None)


@pytest.mark.parametrize("name", ENGINES)
def test_an_absent_engine_ends_in_exit_code_4(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hide(monkeypatch, name)
    Image.new("RGB", (40, 30)).save(tmp_path / "picture.png")
    status, out, err = runner(capsys)("spot", tmp_path / "picture.png", "--backend", name)
    assert (status, out) == (4, "")
    assert ("apt-get install tesseract-ocr" if name == "tesseract" else f'pip install "dld[{name}]"') in err


def test_the_list_tells_which_engines_can_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only = registry.Group("dld.engines", "backend", "dld_core.interfaces:Spotter")
    for name in ENGINES:
        only.register(name, registry.backends.find(name).target)
    monkeypatch.setattr(registry, "GROUPS", (only,))
    hide(monkeypatch, *ENGINES)
    status, out, _ = runner(capsys)("backends", "--json", "--load")
    listed = {part["name"]: part for part in json.loads(out)}
    assert status == 0
    assert sorted(listed) == list(ENGINES)
    for part in listed.values():
        assert part["status"] == "missing-extra"
        assert "install" in part["reason"]


def test_all_engines_are_listed_without_importing_one(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = runner(capsys)("backends", "--json")
    assert status == 0
    assert set(ENGINES) <= {part["name"] for part in json.loads(out)}
