"""Overlaps of outlines, against the plain way, pair after pair."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dld_core.errors import DataError
from dld_core.evaluation import ImageWords, Protocol, evaluate, overlap, read_ground_truth, read_predictions
from dld_core.evaluation.overlap import Outlines, overlapping
from dld_core.evaluation.scores import Tally

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
BOW_TIE = [(0, 0), (10, 10), (10, 0), (0, 10)]
ARROW = [(0, 0), (10, 5), (0, 10), (4, 5)]
SPIKE = [(0, 0), (10, 0), (10, 10), (20, 10), (10, 10), (0, 10)]
LINE = [(0, 0), (5, 5), (0, 0)]


@pytest.fixture(scope="module")
def plain() -> Iterator[Any]:
    """The modules of benchmarks/."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import plain_rrc
        import random_pages

        yield plain_rrc, random_pages
    finally:
        sys.path.remove(str(BENCHMARKS))


def outlines(*images: list[Any]) -> Outlines:
    return Outlines.of([ImageWords.of(image, [""] * len(image)) for image in images], False)


@pytest.mark.parametrize(
    ("first", "second", "inside", "iou"),
    [
        (SQUARE, SQUARE, 1, 1),
        (SQUARE, SQUARE[::-1], 1, 1),
        (SQUARE, [(x + 5, y + 5) for x, y in SQUARE], 0.25, 25 / 175),
        (SQUARE, ARROW, 1, 0.3),
        (ARROW, ARROW, 1, 1),
        (SQUARE, SPIKE, 1, 1),
        (SQUARE, LINE, 0, 0),
        (BOW_TIE, SQUARE, 0.5, 1),  # its shoelace area is 0, and what lies in it 50
        (SQUARE, BOW_TIE, 0, 1),
    ],
)
def test_overlaps_by_hand(first: Any, second: Any, inside: float, iou: float) -> None:
    for far in (0, 100_000):
        pairs = overlapping(*(outlines([np.array(shape) + far]) for shape in (first, second)))
        assert pairs.inside.tolist() == pytest.approx([inside], abs=1e-6)
        assert pairs.iou.tolist() == pytest.approx([iou], abs=1e-6)


shapes = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=3, max_size=7)


@settings(max_examples=60, deadline=None)
@given(
    truth=st.lists(shapes, max_size=5),
    found=st.lists(shapes, max_size=5),
    least=st.sampled_from([0, 0.1, 0.5]),
)
def test_no_pair_that_matters_is_lost(plain: Any, truth: Any, found: Any, least: float) -> None:
    rules, _ = plain
    pairs = overlapping(outlines(truth), outlines(found), least)
    given_pairs = list(zip(pairs.truth.tolist(), pairs.found.tolist(), strict=True))
    assert given_pairs == sorted(given_pairs)
    for word, one in enumerate(truth):
        for detection, other in enumerate(found):
            common, area = rules.intersection(one, other), rules.shoelace(other)
            union = rules.shoelace(one) + area - common
            iou, inside = (common / whole if whole else 0 for whole in (union, area))
            if (word, detection) in given_pairs:
                index = given_pairs.index((word, detection))
                assert pairs.iou[index] == pytest.approx(iou, abs=1e-9)
                assert pairs.inside[index] == pytest.approx(inside, abs=1e-9)
            else:
                assert max(iou, inside) <= least + 1e-9


def test_pairs_stay_within_their_image() -> None:
    pairs = overlapping(
        outlines([SQUARE], [SQUARE, SQUARE], []), outlines([SQUARE, SQUARE], [SQUARE], [SQUARE])
    )
    assert list(zip(pairs.truth, pairs.found, strict=True)) == [(0, 0), (0, 1), (1, 2), (2, 2)]


def test_too_many_overlaps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    many = outlines([SQUARE] * 30)
    monkeypatch.setattr(overlap, "_CHUNK", 100)
    assert len(overlapping(many, many).iou) == 900
    monkeypatch.setattr(overlap, "MAX_PAIRS", 800)
    with pytest.raises(DataError, match="over 800 pairs"):
        overlapping(many, many)


def test_long_scribbles_take_no_time() -> None:
    corners = np.random.default_rng(0).integers(0, 1000, (2, 300, 2))
    pairs = overlapping(outlines([corners[0]]), outlines([corners[1]]))
    assert pairs.inside[0] > 0


def pack(words: list[Any]) -> ImageWords:
    return ImageWords.of([w.points for w in words], [w.text for w in words], [w.ignore for w in words])


def counts(tally: Tally) -> tuple[int, ...]:
    return tuple(int(part.sum()) for part in (tally.truth, tally.found, tally.matched, tally.correct))


@pytest.mark.parametrize(("iou", "curved"), [(0.1, False), (0.5, False), (0.7, False), (0.5, True)])
def test_all_counts_are_those_of_the_plain_way(plain: Any, iou: float, curved: bool, tmp_path: Path) -> None:
    rules, generator = plain
    rng = random.Random(int(iou * 10))
    make = generator.curved_page if curved else generator.random_page
    pages = [make(rng, rng.randrange(12)) for _ in range(25)]
    truth, found = [page[0] for page in pages], [page[1] for page in pages]
    result = evaluate(
        {f"img_{i}": pack(words) for i, words in enumerate(truth, 1)},
        {f"img_{i}": pack(words) for i, words in enumerate(found, 1)},
        Protocol(iou=iou),
    )
    for tally, spotting in ((result.plain, False), (result.spotting, True)):
        expected = rules.evaluate_plainly(truth, found, iou, spotting)
        wanted = (expected.truth, expected.found, expected.matched, expected.correct)
        assert counts(tally) == wanted
        assert wanted[2] > 0
    generator.write_pages(tmp_path / "gt", "gt_", truth)
    generator.write_pages(tmp_path / "found", "res_", found)
    files = evaluate(
        read_ground_truth(tmp_path / "gt"), read_predictions(tmp_path / "found"), Protocol(iou=iou)
    )
    assert files.as_dict() == result.as_dict()
