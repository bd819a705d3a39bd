"""How fast the evaluator is, against the plain way: python benchmarks/evaluation_speed.py

Both score the same random pages, already in memory and from files; the plain way runs twice, because one run
gives either end-to-end or word-spotting scores and dld_core gives both. CPU time of one core, best of three.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from plain_rrc import PlainWord, evaluate_plainly
from random_pages import random_page, write_pages

from dld_core.evaluation import ImageWords, evaluate, read_ground_truth, read_predictions

SETS = {"500 photos, 10 words each": (500, 10), "100 pages, 60 words each": (100, 60)}


def main() -> None:
    """Print one line per set."""
    print(f"{'set':28}{'plain':>10}{'dld':>10}{'times':>8}{'with files':>12}{'times':>8}")
    for name, (images, words) in SETS.items():
        rng = random.Random(0)
        pages = [random_page(rng, words) for _ in range(images)]
        truth, found = [page[0] for page in pages], [page[1] for page in pages]
        plain = _seconds(lambda t=truth, f=found: _plainly(t, f), 1)
        packed = (
            {str(i): _pack(p) for i, p in enumerate(truth)},
            {str(i): _pack(p) for i, p in enumerate(found)},
        )
        ours = _seconds(lambda p=packed: evaluate(*p), 3)
        files = _with_files(truth, found)
        print(
            f"{name:28}{plain * 1e3:8.0f}ms{ours * 1e3:8.0f}ms{plain / ours:8.0f}"
            f"{files * 1e3:10.0f}ms{plain / files:8.0f}"
        )


def _plainly(truth: list[list[PlainWord]], found: list[list[PlainWord]]) -> None:
    for spotting in (False, True):
        evaluate_plainly(truth, found, spotting=spotting)


def _pack(words: list[PlainWord]) -> ImageWords:
    return ImageWords.of([w.points for w in words], [w.text for w in words], [w.ignore for w in words])


def _with_files(truth: list[list[PlainWord]], found: list[list[PlainWord]]) -> float:
    with tempfile.TemporaryDirectory() as name:
        gt, predictions = Path(name, "gt"), Path(name, "predictions")
        write_pages(gt, "gt_", truth)
        write_pages(predictions, "res_", found)
        return _seconds(lambda: evaluate(read_ground_truth(gt), read_predictions(predictions)), 3)


def _seconds(run: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


if __name__ == "__main__":
    main()
