"""What must hold for any words whatever (hypothesis)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dld_core.evaluation import EvaluationResult, ImageWords, Protocol, evaluate
from dld_core.evaluation.bootstrap import hmean_interval

SIDE = 60
QUICK = settings(max_examples=40, deadline=None)  # no deadline: machines that test are busy
TEXTS = st.text(alphabet="abcXYZ019!'.-", max_size=6)


@st.composite
def rectangles(draw: st.DrawFn) -> list[tuple[int, int]]:
    x, y = draw(st.integers(0, SIDE)), draw(st.integers(0, SIDE))
    width, height, slant = draw(st.integers(1, 30)), draw(st.integers(1, 30)), draw(st.integers(-10, 10))
    return [(x, y), (x + width, y + slant), (x + width, y + slant + height), (x, y + height)]


@st.composite
def images(draw: st.DrawFn, scored: bool = False) -> ImageWords:
    polygons = draw(st.lists(rectangles(), max_size=7))
    number = len(polygons)
    texts = draw(st.lists(TEXTS, min_size=number, max_size=number))
    ignore = draw(st.lists(st.booleans(), min_size=number, max_size=number))
    scores = draw(st.permutations(range(number))) if scored else None
    return ImageWords.of(
        polygons, texts, ignore, None if scores is None else [(s + 1) / (number + 1) for s in scores]
    )


def score(truth: ImageWords, found: ImageWords, **rules: object) -> EvaluationResult:
    return evaluate({"image": truth}, {"image": found}, Protocol.parse(rules))


def totals(result: EvaluationResult) -> list[float]:
    return [
        float(values.sum())
        for tally in (result.plain, result.spotting)
        for values in (tally.truth, tally.found, tally.matched, tally.correct, tally.exact)
    ]


def moved(words: ImageWords, factor: float, shift: float) -> ImageWords:
    return replace(words, polygons=[polygon * factor + shift for polygon in words.polygons])


@QUICK
@given(images(), st.randoms(use_true_random=False))
def test_perfect_predictions_score_one_in_any_order(words: ImageWords, random: Any) -> None:
    apart = [polygon + 200 * place for place, polygon in enumerate(words.polygons)]
    truth = replace(words, polygons=apart, texts=["word"] * len(words))
    order = list(range(len(truth)))
    random.shuffle(order)
    result = score(truth, truth.take(order))
    wanted = float((~truth.ignore).any())
    assert result.detection.hmean == result.e2e.hmean == result.word_spotting.hmean == wanted
    assert result.counted.exact_accuracy == wanted
    assert result.counted.one_minus_ned == pytest.approx(wanted)


@QUICK
@given(images(), images(scored=True), st.randoms(use_true_random=False), st.sampled_from([0.1, 0.5, 0.8]))
def test_counts_are_consistent_and_the_order_of_scored_detections_does_not_matter(
    truth: ImageWords, found: ImageWords, random: Any, iou: float
) -> None:
    order = list(range(len(found)))
    random.shuffle(order)
    result = score(truth, found, iou=iou)
    assert totals(result) == totals(score(truth, found.take(order), iou=iou))
    for tally in (result.plain, result.spotting):
        assert 0 <= tally.exact.sum() <= tally.matched.sum()
        assert tally.correct.sum() <= tally.matched.sum() <= min(tally.truth.sum(), tally.found.sum())
        for rates in (tally.detection, tally.reading):
            assert 0 <= min(rates.precision, rates.recall) <= rates.hmean + 1e-12
            assert rates.hmean <= max(rates.precision, rates.recall) + 1e-12 <= 1 + 1e-12
        assert 0 <= tally.one_minus_ned <= 1


@QUICK
@given(images(), images(), rectangles(), st.sampled_from([0, 1000]))
def test_an_ignore_region_takes_detections_out_and_nothing_else(
    truth: ImageWords, found: ImageWords, place: list[tuple[int, int]], away: int
) -> None:
    region = [(x + away, y) for x, y in place]
    more = ImageWords.of([*truth.polygons, region], [*truth.texts, "###"], [*truth.ignore, True])
    before, after = score(truth, found), score(more, found)
    assert after.plain.truth.sum() == before.plain.truth.sum()
    assert after.plain.matched.sum() <= after.plain.found.sum() <= before.plain.found.sum()
    if away:
        assert totals(after) == totals(before)


@QUICK
@given(images(), images(), st.integers(1, 50), st.integers(-500, 500), st.floats(0.01, 100))
def test_scaling_and_moving_change_nothing(
    truth: ImageWords, found: ImageWords, factor: int, shift: int, any_factor: float
) -> None:
    sides = truth, found
    assert totals(score(*sides)) == totals(score(*(moved(words, factor, shift) for words in sides)))
    # A threshold that no ratio of these small whole areas hits: rounding cannot move a pair across it.
    rules = {"iou": 0.5000001234, "whole_pixels": False}
    scaled = [moved(words, any_factor, 0) for words in sides]
    assert totals(score(*sides, **rules)) == totals(score(*scaled, **rules))


@QUICK
@given(st.lists(st.tuples(images(), images()), min_size=1, max_size=4))
def test_images_add_up_and_intervals_hold_the_score(pairs: list[tuple[ImageWords, ImageWords]]) -> None:
    truth = {str(i): pair[0] for i, pair in enumerate(pairs)}
    found = {str(i): pair[1] for i, pair in enumerate(pairs)}
    result = evaluate(truth, found)
    assert totals(result) == [sum(p) for p in zip(*(totals(score(*pair)) for pair in pairs), strict=True)]
    interval = hmean_interval(result.plain, reading=False, resamples=50)
    assert 0 <= interval.low <= interval.high <= 1
    assert interval == hmean_interval(result.plain, reading=False, resamples=50)
    if len(pairs) == 1:
        assert interval.low == pytest.approx(result.plain.detection.hmean)
