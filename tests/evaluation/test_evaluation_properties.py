"""What must hold for any words whatever (hypothesis)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

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


def apart(words: ImageWords) -> ImageWords:
    """The same words on a grid, where none touches another."""
    offsets = np.repeat(np.arange(len(words)) * 200.0, words.counts)
    return replace(words, points=words.points + np.stack([offsets, np.zeros_like(offsets)], axis=1))


def with_points(words: ImageWords, points: NDArray[np.float64]) -> ImageWords:
    return replace(words, points=points)


@QUICK
@given(images())
def test_perfect_predictions_score_one(words: ImageWords) -> None:
    truth = apart(words)
    result = score(truth, truth)
    if (~truth.ignore).any():
        assert result.detection.hmean == result.e2e.hmean == 1
        assert result.counted.exact_accuracy == 1
        assert result.counted.one_minus_ned == pytest.approx(1)
    else:
        assert result.counted.truth.sum() == result.counted.found.sum() == 0


@QUICK
@given(images())
def test_perfect_predictions_spot_every_word_that_is_cared_for(words: ImageWords) -> None:
    truth = apart(replace(words, texts=["word"] * len(words)))
    assume((~truth.ignore).any())
    assert score(truth, truth).word_spotting.hmean == 1


@QUICK
@given(images(), images(scored=True), st.randoms(use_true_random=False), st.sampled_from([0.1, 0.5, 0.8]))
def test_the_order_of_scored_detections_does_not_matter(
    truth: ImageWords, found: ImageWords, random: object, iou: float
) -> None:
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert totals(score(truth, found, iou=iou)) == totals(score(truth, found.take(order), iou=iou))


@QUICK
@given(images(), st.randoms(use_true_random=False))
def test_the_order_of_detections_without_rivals_does_not_matter(truth: ImageWords, random: object) -> None:
    spread = apart(truth)
    found = replace(spread, texts=[text[::-1] for text in spread.texts])
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert totals(score(spread, found)) == totals(score(spread, found.take(order)))


@QUICK
@given(images(), images(), rectangles())
def test_a_dont_care_word_that_touches_no_detection_changes_nothing(
    truth: ImageWords, found: ImageWords, place: list[tuple[int, int]]
) -> None:
    far = [(x + 1000, y) for x, y in place]
    more = ImageWords.of([*truth.polygons, far], [*truth.texts, "###"], [*truth.ignore, True])
    assert totals(score(truth, found)) == totals(score(more, found))


@QUICK
@given(images(), images(), rectangles())
def test_a_dont_care_word_never_changes_which_words_count(
    truth: ImageWords, found: ImageWords, place: list[tuple[int, int]]
) -> None:
    more = ImageWords.of([*truth.polygons, place], [*truth.texts, "###"], [*truth.ignore, True])
    before, after = score(truth, found), score(more, found)
    assert after.plain.truth.sum() == before.plain.truth.sum()
    assert after.plain.found.sum() <= before.plain.found.sum()
    assert after.plain.matched.sum() <= after.plain.found.sum()


@QUICK
@given(images(), images(), st.integers(1, 50), st.integers(-500, 500))
def test_whole_scaling_and_moving_changes_nothing(
    truth: ImageWords, found: ImageWords, factor: int, shift: int
) -> None:
    moved = [with_points(words, words.points * factor + shift) for words in (truth, found)]
    assert totals(score(truth, found)) == totals(score(*moved))


@QUICK
@given(images(), images(), st.floats(0.01, 100))
def test_any_scaling_changes_nothing_without_rounding(
    truth: ImageWords, found: ImageWords, factor: float
) -> None:
    # A threshold that no ratio of these small whole areas hits: rounding cannot move a pair across it.
    scaled = [with_points(words, words.points * factor) for words in (truth, found)]
    rules = {"iou": 0.5000001234, "whole_pixels": False}
    assert totals(score(truth, found, **rules)) == totals(score(*scaled, **rules))


@QUICK
@given(images(), images(), st.sampled_from([0.1, 0.5]))
def test_rates_are_fractions_and_counts_are_consistent(
    truth: ImageWords, found: ImageWords, iou: float
) -> None:
    result = score(truth, found, iou=iou)
    for tally in (result.plain, result.spotting):
        assert 0 <= tally.exact.sum() <= tally.matched.sum()
        assert tally.correct.sum() <= tally.matched.sum() <= min(tally.truth.sum(), tally.found.sum())
        for rates in (tally.detection, tally.reading):
            assert 0 <= rates.hmean <= 1
            assert min(rates.precision, rates.recall) - 1e-12 <= rates.hmean
            assert rates.hmean <= max(rates.precision, rates.recall) + 1e-12
        assert 0 <= tally.one_minus_ned <= 1


@QUICK
@given(st.lists(st.tuples(images(), images()), min_size=1, max_size=4))
def test_images_add_up(pairs: list[tuple[ImageWords, ImageWords]]) -> None:
    truth = {str(i): pair[0] for i, pair in enumerate(pairs)}
    found = {str(i): pair[1] for i, pair in enumerate(pairs)}
    together = totals(evaluate(truth, found))
    assert together == [sum(parts) for parts in zip(*(totals(score(*pair)) for pair in pairs), strict=True)]


@QUICK
@given(st.lists(st.tuples(images(), images()), min_size=1, max_size=4))
def test_confidence_intervals_are_ordered_and_repeatable(pairs: list[tuple[ImageWords, ImageWords]]) -> None:
    truth = {str(i): pair[0] for i, pair in enumerate(pairs)}
    found = {str(i): pair[1] for i, pair in enumerate(pairs)}
    tally = evaluate(truth, found).plain
    interval = hmean_interval(tally, reading=False, resamples=50)
    assert 0 <= interval.low <= interval.high <= 1
    assert interval == hmean_interval(tally, reading=False, resamples=50)
    if len(pairs) == 1:
        assert interval.low == pytest.approx(tally.detection.hmean)
