"""The rules of the challenge, one by one, on cases small enough to check by hand."""

from __future__ import annotations

import pytest

from dld_core.errors import ConfigError, DataError
from dld_core.evaluation import EvaluationResult, ImageWords, Protocol, evaluate
from dld_core.evaluation.protocol import SPECIAL_CHARACTERS
from dld_core.evaluation.rrc import similarity
from dld_core.evaluation.transcription import same_text, spotting_form

Box = tuple[int, int, int, int]


def words(*found: tuple[Box, str], scores: list[float] | None = None) -> ImageWords:
    """Boxes (x, y, width, height) with texts; ### is don't-care."""
    corners = [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for (x, y, w, h), _ in found]
    texts = [text for _, text in found]
    return ImageWords.of(corners, texts, [text == "###" for text in texts], scores)


def run(truth: ImageWords, found: ImageWords, **rules: object) -> EvaluationResult:
    return evaluate({"a": truth}, {"a": found}, Protocol.parse(rules))


@pytest.mark.parametrize(
    ("truth", "read", "same"),
    [
        ("Word", "wORD", True),
        ("Word!", "word", True),
        ("(Word", "word", True),
        ("(Word)", "word", True),
        ("(Word)", "(word", True),
        ("(Word)", "word)", True),
        ("Word!!", "word", False),
        ("Word!!", "word!", True),
        ("Word", "word!", False),
        ("-Word", "word", False),
        ("", "", True),
        ("", "x", False),
        ("!", "", True),
        ("Straße", "STRASSE", True),
    ],
)
def test_end_to_end_lets_the_truth_lose_one_special_character_at_each_end(
    truth: str, read: str, same: bool
) -> None:
    assert same_text(truth, read, SPECIAL_CHARACTERS) is same


@pytest.mark.parametrize(
    ("truth", "form"),
    [
        ("Jack's", "Jack"),
        ("JACK'S", "JACK"),
        ("--well--", "well"),
        ("well-known", "well-known"),
        ("(live.)", "live"),
        ("J.K.", None),
        ("mc.two", None),
        ("ab", None),
        ("abc", "abc"),
        ("a1c", None),
        ("CAFÉ", "CAFÉ"),
        ("a\u00d7c", None),
        ("a\u00f7c", None),
        ("tech@vogue", None),
        ("two words", None),
        ("ΑΘΗΝΑ", "ΑΘΗΝΑ"),
        ("слово", None),
        ("", None),
    ],
)
def test_word_spotting_cares_for_single_words_of_letters(truth: str, form: str | None) -> None:
    assert spotting_form(truth, SPECIAL_CHARACTERS, 3) == form


def test_a_match_needs_more_than_the_threshold() -> None:
    truth = words(((0, 0, 100, 10), "one"))
    assert run(truth, words(((0, 0, 50, 10), "one"))).detection.recall == 0
    assert run(truth, words(((0, 0, 51, 10), "one"))).detection.recall == 1
    assert run(truth, words(((0, 0, 11, 10), "one")), iou=0.1).detection.recall == 1


def test_each_word_takes_its_first_free_detection_in_ground_truth_order() -> None:
    truth = words(((0, 0, 100, 10), "left"), ((10, 0, 100, 10), "right"))
    found = words(((12, 0, 100, 10), "right"), ((0, 0, 100, 10), "left"))
    result = run(truth, found)
    # "left" takes the first detection above the threshold, though the second fits better.
    assert (result.detection.recall, result.e2e.recall) == (1, 0)


def test_detections_are_tried_best_first_where_they_have_scores() -> None:
    truth = words(((0, 0, 100, 10), "left"), ((10, 0, 100, 10), "right"))
    boxes = ((12, 0, 100, 10), "right"), ((0, 0, 100, 10), "left")
    assert run(truth, words(*boxes, scores=[0.2, 0.9])).e2e.recall == 1
    assert run(truth, words(*boxes, scores=[0.9, 0.2])).e2e.recall == 0


def test_one_detection_matches_one_word() -> None:
    truth = words(((0, 0, 100, 10), "one"), ((0, 0, 100, 10), "one"))
    result = run(truth, words(((0, 0, 100, 10), "one")))
    assert (result.detection.precision, result.detection.recall) == (1, 0.5)


def test_a_detection_mostly_inside_a_dont_care_word_is_left_out() -> None:
    truth = words(((0, 0, 100, 10), "###"), ((0, 50, 100, 10), "word"))
    found = words(((0, 0, 40, 10), "junk"), ((0, 50, 100, 10), "word"))
    assert run(truth, found).e2e.precision == 1
    # Exactly half of it inside is not more than half.
    half = words(((60, 0, 80, 10), "junk"), ((0, 50, 100, 10), "word"))
    assert run(truth, half).e2e.precision == 0.5
    # By default the limit is the number of the IoU threshold; it can be set apart.
    tenth = words(((89, 0, 100, 10), "junk"), ((0, 50, 100, 10), "word"))
    assert run(truth, tenth, iou=0.1).e2e.precision == 1
    assert run(truth, tenth, iou=0.1, dont_care_overlap=0.5).e2e.precision == 0.5


def test_a_hidden_detection_cannot_match() -> None:
    truth = words(((0, 0, 100, 10), "###"), ((0, 0, 100, 10), "word"))
    result = run(truth, words(((0, 0, 100, 10), "word")))
    assert (result.detection.recall, result.detection.precision) == (0, 0)


def test_word_spotting_hides_what_it_does_not_care_for() -> None:
    truth = words(((0, 0, 100, 10), "2015"), ((0, 50, 100, 10), "word's"))
    found = words(((0, 0, 100, 10), "2016"), ((0, 50, 100, 10), "WORD"))
    result = run(truth, found)
    assert result.word_spotting.hmean == 1
    assert result.e2e.hmean == 0
    assert result.detection.hmean == 1
    spotted = run(truth, found, word_spotting=True)
    assert (spotted.counted.truth.sum(), spotted.as_dict()["words"]) == (1, 1)


def test_rates_are_zero_where_nothing_counts() -> None:
    result = run(words(((0, 0, 9, 9), "###")), words())
    assert result.e2e.as_dict() == {"precision": 0, "recall": 0, "hmean": 0}
    assert evaluate({}, {}).detection.hmean == 0


def test_images_without_predictions_count() -> None:
    truth = {"a": words(((0, 0, 9, 9), "one")), "b": words(((0, 0, 9, 9), "two"))}
    assert evaluate(truth, {"a": truth["a"]}).e2e.recall == 0.5


def test_predictions_of_unknown_images_are_refused() -> None:
    with pytest.raises(DataError, match="no ground truth"):
        evaluate({"a": words()}, {"b": words()})


def test_recognition_is_counted_on_matched_words() -> None:
    truth = words(
        *[((0, y, 50, 10), text) for y, text in ((0, "Alpha"), (20, "Beta!"), (40, "Gamma"), (60, "Miss"))]
    )
    found = words(*[((0, y, 50, 10), text) for y, text in ((0, "alpha"), (20, "Beta!"), (40, "Gamme"))])
    values = run(truth, found).as_dict()
    assert values["recognition_accuracy"] == pytest.approx(2 / 3)
    assert values["recognition_accuracy_exact"] == pytest.approx(1 / 3)
    assert values["one_minus_ned_matched"] == pytest.approx((1 + 1 + 0.8) / 3)
    assert values["one_minus_ned"] == pytest.approx((1 + 1 + 0.8) / 4)


def test_similarity_is_case_insensitive_and_bounded() -> None:
    assert similarity("ABC", "abc") == 1
    assert similarity("", "") == 1
    assert similarity("abc", "xyz") == 0
    assert similarity("abcd", "abxd") == 0.75


def test_average_precision_follows_the_scores() -> None:
    truth = words(((0, 0, 50, 10), "one"), ((0, 20, 50, 10), "two"))
    boxes = ((0, 0, 50, 10), "one"), ((0, 20, 50, 10), "two"), ((0, 90, 50, 10), "junk")
    good = run(truth, words(*boxes, scores=[0.9, 0.8, 0.1]))
    poor = run(truth, words(*boxes, scores=[0.2, 0.1, 0.9]))
    assert good.plain.average_precision == 1
    assert poor.plain.average_precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert "average_precision" not in run(truth, words(*boxes)).as_dict()["e2e"]


def test_coordinates_are_cut_to_whole_pixels_unless_asked_otherwise() -> None:
    truth = ImageWords.of([[(0, 0), (10, 0), (10, 10), (0, 10)]], ["one"])
    found = ImageWords.of([[(0, 0), (5.9, 0), (5.9, 10), (0, 10)]], ["one"])
    assert run(truth, found).detection.recall == 0
    assert run(truth, found, whole_pixels=False).detection.recall == 1


def test_every_threshold_is_on_record() -> None:
    rules = run(words(), words(), iou=0.3).as_dict()["protocol"]
    assert (rules["iou"], rules["dont_care_overlap"]) == (0.3, 0.3)
    assert {"special_characters", "min_word_length", "word_spotting", "whole_pixels", "matching"} <= set(
        rules
    )


@pytest.mark.parametrize("iou", [0, 1, -0.5, float("nan")])
def test_thresholds_out_of_range_are_refused(iou: float) -> None:
    with pytest.raises(ConfigError, match="iou"):
        Protocol.parse({"iou": iou})


def test_polygons_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(DataError, match="at least 3 points"):
        ImageWords.of([[(0, 0), (1, 1)]], ["two points"])
    with pytest.raises(DataError, match="finite"):
        ImageWords.of([[(0, 0), (1, float("nan")), (1, 1)]], ["nan"])
    with pytest.raises(DataError, match="one of each"):
        ImageWords.of([], ["text without a place"])


def test_crossing_polygons_are_scored_and_reported() -> None:
    bow_tie = ImageWords.of([[(0, 0), (10, 10), (10, 0), (0, 10)]], ["bow"])
    result = evaluate({"a": bow_tie}, {"a": bow_tie})
    assert len(result.notes) == 2
    assert "cross themselves" in result.notes[0]
