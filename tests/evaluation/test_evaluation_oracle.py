"""The evaluator against the rules written the plain way (benchmarks/plain_rrc.py), on random pages."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dld_core.evaluation import ImageWords, Protocol, evaluate, read_ground_truth, read_predictions
from dld_core.evaluation.scores import Tally

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


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


def pack(words: list[Any]) -> ImageWords:
    return ImageWords.of([w.points for w in words], [w.text for w in words], [w.ignore for w in words])


def counts(tally: Tally) -> tuple[int, ...]:
    return tuple(int(part.sum()) for part in (tally.truth, tally.found, tally.matched, tally.correct))


@pytest.mark.parametrize("iou", [0.1, 0.5, 0.7])
def test_all_counts_are_those_of_the_plain_way(plain: Any, iou: float) -> None:
    rules, generator = plain
    rng = random.Random(int(iou * 10))
    pages = [generator.random_page(rng, rng.randrange(12), 400, 250) for _ in range(25)]
    truth, found = [page[0] for page in pages], [page[1] for page in pages]
    result = evaluate(
        {str(i): pack(words) for i, words in enumerate(truth)},
        {str(i): pack(words) for i, words in enumerate(found)},
        Protocol(iou=iou),
    )
    for tally, spotting in ((result.plain, False), (result.spotting, True)):
        expected = rules.evaluate_plainly(truth, found, iou, spotting)
        wanted = (expected.truth, expected.found, expected.matched, expected.correct)
        assert counts(tally) == wanted
        assert wanted[2] > 0


def test_curved_words_count_as_in_the_plain_way(plain: Any, tmp_path: Path) -> None:
    rules, generator = plain
    rng = random.Random(1)
    pages = [generator.curved_page(rng, 15) for _ in range(12)]
    truth, found = [page[0] for page in pages], [page[1] for page in pages]
    generator.write_pages(tmp_path / "gt", "gt_", truth)
    generator.write_pages(tmp_path / "found", "", found)
    result = evaluate(read_ground_truth(tmp_path / "gt"), read_predictions(tmp_path / "found"))
    for tally, spotting in ((result.plain, False), (result.spotting, True)):
        expected = rules.evaluate_plainly(truth, found, 0.5, spotting)
        wanted = (expected.truth, expected.found, expected.matched, expected.correct)
        assert counts(tally) == wanted
        assert wanted[3] > 0


def test_files_give_the_same_scores_as_memory(plain: Any, tmp_path: Path) -> None:
    _, generator = plain
    rng = random.Random(3)
    pages = [generator.random_page(rng, 8) for _ in range(6)]
    generator.write_pages(tmp_path / "gt", "gt_", [page[0] for page in pages])
    generator.write_pages(tmp_path / "found", "res_", [page[1] for page in pages])
    from_files = evaluate(read_ground_truth(tmp_path / "gt"), read_predictions(tmp_path / "found"))
    from_memory = evaluate(
        {f"img_{i}": pack(page[0]) for i, page in enumerate(pages, 1)},
        {f"img_{i}": pack(page[1]) for i, page in enumerate(pages, 1)},
    )
    assert from_files.as_dict() == from_memory.as_dict()
