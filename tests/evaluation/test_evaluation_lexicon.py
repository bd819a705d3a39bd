"""Lexicons: the nearest word, the rule that allows it, and the lists themselves."""

from __future__ import annotations

import random
from pathlib import Path

import editdistance
import pytest

from dld_core.errors import ConfigError, DataError
from dld_core.evaluation import ImageWords, LexiconRule, Lexicons, score
from dld_core.evaluation.lexicon import Lexicon, snap

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]


def words(*texts: str) -> ImageWords:
    places = [[(x + 20 * i, y) for x, y in SQUARE] for i in range(len(texts))]
    return ImageWords.of(places, texts)


def snapped(lexicon: Lexicon, *texts: str, **rule: object) -> list[str]:
    lists = Lexicons("test", lexicon, {})
    return list(snap({"a": words(*texts)}, lists, LexiconRule.parse(rule))["a"].texts)


def test_the_nearest_is_what_trying_every_word_finds() -> None:
    rng = random.Random(0)
    alphabet = "abcdeABCDE"
    listed = ["".join(rng.choices(alphabet, k=rng.randrange(1, 9))) for _ in range(300)]
    lexicon = Lexicon(listed)
    for _ in range(200):
        text = "".join(rng.choices(alphabet, k=rng.randrange(1, 9)))
        distances = [editdistance.eval(text.upper(), word.upper()) for word in listed]
        best = min(distances)
        assert lexicon.nearest(text, 10**6) == (listed[distances.index(best)], best)
        limited = lexicon.nearest(text, 1)
        assert limited == ((listed[distances.index(best)], best) if best <= 1 else None)


def test_words_in_the_list_stay_and_near_ones_snap() -> None:
    lexicon = Lexicon(["STREET", "Avenue"])
    assert snapped(lexicon, "street", "strect", "avenue", "avemue", "zebra") == [
        "street",
        "STREET",
        "avenue",
        "Avenue",
        "zebra",
    ]


def test_short_words_and_numbers_are_left_alone() -> None:
    lexicon = Lexicon(["AB", "ABCDE", "A1C"])
    assert snapped(lexicon, "AC", "ABCD3") == ["AC", "ABCD3"]
    assert snapped(lexicon, "AC", "ABCD3", min_length=0, skip_digits=False) == ["AB", "ABCDE"]


@pytest.mark.parametrize(("limit", "reached"), [("third", True), (2, True), (1, False), ("none", True)])
def test_the_distance_limit(limit: object, reached: bool) -> None:
    lexicon = Lexicon(["ABCDEF"])
    assert snapped(lexicon, "XXCDEF", max_distance=limit) == ["ABCDEF" if reached else "XXCDEF"]


def test_a_third_of_the_length_at_least_one() -> None:
    rule = LexiconRule()
    assert [rule.limit("x" * n) for n in (3, 5, 6, 9)] == [1, 1, 2, 3]


def test_far_words_can_be_dropped_with_their_boxes() -> None:
    lists = Lexicons("test", Lexicon(["street"]), {})
    kept = snap({"a": words("zebra", "strect", "ab")}, lists, LexiconRule(far="drop"))["a"]
    assert list(kept.texts) == ["street", "ab"]
    assert kept.polygons[0][0].tolist() == [20, 0]


def test_scores_with_a_lexicon_say_so() -> None:
    truth, found = {"a": words("street")}, {"a": words("strect")}
    lists = Lexicons("weak.txt", Lexicon(["street"]), {})
    assert score(truth, found).e2e.hmean == 0
    result = score(truth, found, lexicons=lists)
    assert result.e2e.hmean == 1
    record = result.as_dict()["lexicon"]
    assert record["source"] == "weak.txt"
    assert {"max_distance", "min_length", "skip_digits", "far", "words"} <= set(record)


def test_one_list_or_one_for_each_image(tmp_path: Path) -> None:
    single = tmp_path / "weak.txt"
    single.write_bytes("\ufeffOne\r\n\r\nTwo \r\n".encode())
    shared = Lexicons.read(single)
    assert shared.of("anything").words == ["One", "Two"]
    strong = tmp_path / "strong"
    strong.mkdir()
    (strong / "voc_img_1.txt").write_text("One\n")
    lists = Lexicons.read(strong)
    assert lists.of("img_1").words == ["One"]
    with pytest.raises(DataError, match="no list for img_2"):
        lists.of("img_2")


def test_lists_that_cannot_be_used(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("\n\n")
    binary.write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match="holds no words"):
        Lexicons.read(empty)
    with pytest.raises(DataError, match="not valid utf-8"):
        Lexicons.read(binary)
    with pytest.raises(DataError, match="does not exist"):
        Lexicons.read(tmp_path / "absent.txt")


def test_rules_out_of_range() -> None:
    with pytest.raises(ConfigError, match="far"):
        LexiconRule.parse({"far": "away"})
    with pytest.raises(ConfigError, match="max_distance"):
        LexiconRule.parse({"max_distance": "some"})
