"""Pages: a stable shape as JSON, and pictures that show every word."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dld_core.errors import DataError, ImageError
from dld_core.results.drawing import confidence_colour
from dld_core.results.labels import place_label
from dld_core.results.page import Page
from dld_core.types import Word

QUAD = ((20.0, 50.0), (80.0, 50.0), (80.0, 70.0), (20.0, 70.0))


def page(*words: Word, **values: object) -> Page:
    defaults: dict[str, object] = {
        "image": "street.jpg",
        "backend": "fake",
        "scale": 0.5,
        "working_size": (100, 60),
        "gflops": 1.5,
        "gflops_full": 6.25,
        "timings_ms": {"decode": 1.25, "total": 9.5},
        "device": "cpu",
        "weights": "bundled",
        "notes": ["working size capped"],
    }
    return Page(list(words), 200, 120, **{**defaults, **values})


def test_the_shape_of_the_json_is_fixed() -> None:
    values = json.loads(page(Word("Ünï", 0.5, QUAD)).to_json())
    assert list(values) == [
        *(
            "schema_version",
            "image",
            "page",
            "width",
            "height",
            "backend",
            "weights",
            "device",
            "model",
            "scale",
        ),
        *("escalated_from", "working_size", "gflops", "gflops_full", "timings_ms", "words", "notes"),
        *("warnings", "error"),
    ]
    assert values["words"] == [{"text": "Ünï", "score": 0.5, "polygon": [list(p) for p in QUAD]}]
    assert values["schema_version"] == "1"
    assert "Ünï" in page(Word("Ünï", 0.5, QUAD)).to_json()


points = st.lists(st.tuples(st.floats(0, 200), st.floats(0, 120)), min_size=3, max_size=9).map(tuple)
words = st.builds(Word, st.text(max_size=9), st.floats(0, 1), points)


@settings(max_examples=40, deadline=None)
@given(st.lists(words, max_size=4), st.none() | st.text(max_size=5))
def test_json_and_back_loses_nothing(found: list[Word], error: str | None) -> None:
    before = page(*found, error=error, image=None)
    assert Page.from_dict(json.loads(before.to_json())) == before


def test_later_versions_may_add_keys() -> None:
    values = {**page(Word("a", 1, QUAD)).to_dict(), "tiles": [1, 2]}
    assert Page.from_dict(values) == page(Word("a", 1.0, QUAD))


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "2"},
        {"words": [{"text": "a"}]},
        {"words": 5},
        {"words": [{"text": "a", "score": 1, "polygon": [1, 2, 3]}]},
        {"working_size": 3},
    ],
)
def test_what_is_no_page_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match="page"):
        Page.from_dict({**page().to_dict(), **change})
    with pytest.raises(DataError, match="page"):
        Page.from_dict({})


def test_nan_never_reaches_the_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page(gflops=float("nan")).to_json()


def test_the_text() -> None:
    assert page(Word("ONE", 1, QUAD), Word("WAY", 1, QUAD)).text == "ONE\nWAY"


def picture() -> np.ndarray:
    return np.full((120, 200, 3), 60, np.uint8)


def test_drawing_outlines_and_labels_the_word() -> None:
    plain = picture()
    drawn = page(Word("HELLO", 1.0, QUAD)).draw(plain)
    assert drawn.shape == plain.shape
    assert (plain == 60).all()
    changed = (drawn != 60).any(axis=2)
    assert changed[50, 25:75].all()  # the outline
    assert changed[55:65, 40:60].all()  # the tint inside
    assert changed[30:48, 20:60].mean() > 0.5  # the label above
    assert not changed[90:].any()
    assert not changed[:, 150:].any()
    teal = confidence_colour(1.0)
    assert np.abs(drawn[50, 30].astype(int) - teal).max() < 30


def test_colours_tell_the_confidence() -> None:
    low, middle, high = (np.array(confidence_colour(score)) for score in (0.0, 0.5, 1.0))
    assert low[0] > 150 > low[1]
    assert middle[0] > 150
    assert middle[1] > 100
    assert high[0] < 60 < high[1]


def test_drawing_opens_the_file_that_was_read(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    named = page(Word("HELLO", 1.0, QUAD), image=str(tmp_path / "a.png"))
    np.testing.assert_array_equal(named.draw(), named.draw(picture()))
    with pytest.raises(ImageError, match=r"image=\.\.\."):
        page(image=None).draw()


def test_drawing_on_a_picture_of_another_size() -> None:
    large = np.full((240, 400, 3), 60, np.uint8)
    changed = (page(Word("HELLO", 1.0, QUAD)).draw(large) != 60).any(axis=2)
    assert changed[100, 50:150].all()
    assert not changed[145:].any()


def test_drawing_odd_words() -> None:
    curve = tuple((50 + 40 * np.cos(a), 60 + 40 * np.sin(a)) for a in np.linspace(-3, 0, 8))
    odd = [
        Word("curve", 0.3, (*curve, (70.0, 60.0), (30.0, 60.0))),
        Word("", 0.5, QUAD),
        Word("x" * 200, 0.5, QUAD),
        Word("文字", 0.5, QUAD),
        Word("line\nbreak\t", 0.5, QUAD),
        Word("outside", 0.5, ((500.0, 500.0), (600.0, 500.0), (600.0, 520.0))),
        Word("point", 0.5, ((9.0, 9.0), (9.0, 9.0), (9.0, 9.0))),
    ]
    assert page(*odd).draw(picture()).shape == (120, 200, 3)
    assert page(*odd).draw(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)


def test_saving(tmp_path: Path) -> None:
    mine = page(Word("HELLO", 1.0, QUAD))
    mine.save(tmp_path / "new" / "a.png", picture())
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.png")), mine.draw(picture()))
    mine.save(tmp_path / "newer" / "a.json")
    assert Page.from_dict(json.loads((tmp_path / "newer" / "a.json").read_text())) == mine
    mine.draw(picture(), path=tmp_path / "b.jpg")
    assert Image.open(tmp_path / "b.jpg").size == (200, 120)
    with pytest.raises(ImageError, match=r"\.png"):
        mine.save(tmp_path / "a.nonsense", picture())


def test_labels_go_where_they_hide_least() -> None:
    word, size, room = (50.0, 50.0, 90.0, 60.0), (40, 12), (200, 120)
    assert place_label(size, word, room, [], [], gap=2) == (50, 36)  # above
    at_the_top = (50.0, 2.0, 90.0, 12.0)
    assert place_label(size, at_the_top, room, [], [], gap=2) == (50, 14)  # below
    above = (40.0, 30.0, 100.0, 49.0)
    assert place_label(size, word, room, [above], [], gap=2) == (50, 62)  # away from another label
    assert place_label(size, word, room, [], [above], gap=2) == (50, 62)  # away from another word
    x, y = place_label((500, 300), word, room, [], [])
    assert (x, y) == (0, 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", ["a.jpg", "a.json"])
def test_a_full_disk_leaves_the_file_that_was_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(b"before")
    made = page(Word("HELLO", 1.0, QUAD))

    monkeypatch.setattr(Path, "touch", lambda partial: partial.symlink_to("/dev/full"))
    with pytest.raises((ImageError, OSError), match="No space left"):
        made.save(tmp_path / name, np.full((100, 200, 3), 60, np.uint8))
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(name, b"before")]
