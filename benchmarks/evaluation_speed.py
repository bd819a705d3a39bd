"""How fast the evaluator is, files and all: python benchmarks/evaluation_speed.py [--repeats 5]

Without more it is compared with the plain way (plain_rrc.py, in memory) on random pages. Where the script of
the challenge is at hand, `--script FOLDER --gt gt.zip --predictions res.zip` compares it with that. FOLDER
holds script.py and rrc_evaluation_funcs.py, and `--python` names an interpreter that has what they import.

One run of either gives end-to-end or word-spotting scores and dld_core gives both, so that they run twice.
CPU time of the two sides in turn; the figures are medians, and the last is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from plain_rrc import evaluate_plainly
from random_pages import Page, curved_page, random_page, write_pages

from dld_core.evaluation import align, evaluate, read_ground_truth, read_predictions

SETS: dict[str, tuple[Callable[[random.Random, int], Page], int, int]] = {
    "250 photos, 10 words each": (random_page, 250, 10),
    "30 pages, 60 words each": (random_page, 30, 60),
    "250 photos, 10 curved words": (curved_page, 250, 10),
    "30 pages, 60 curved words": (curved_page, 30, 60),
}
# What the script times of itself, so that starting Python and importing are left out.
_SCRIPT_RUN = """
import contextlib, importlib, io, json, sys, time
folder, gt, found, rules, sys.argv = *sys.argv[1:5], ["script", "-g=" + sys.argv[2], "-s=" + sys.argv[3]]
sys.path.insert(0, folder)
import script
[importlib.import_module(name) for name in script.evaluation_imports()]
rules = {**script.default_evaluation_params(), **json.loads(rules)}
start = time.process_time()
with contextlib.redirect_stdout(io.StringIO()):
    script.validate_data(gt, found, rules)
    script.evaluate_method(gt, found, rules)
print(time.process_time() - start)
"""


def main() -> None:
    """Print one line per set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--script", type=Path)
    parser.add_argument("--gt", type=Path)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    print(f"{'set':30}{'theirs':>10}{'dld':>10}{'times':>8}")
    if options.script:
        gt, found = options.gt.resolve(), options.predictions.resolve()
        _compare(
            found.name,
            lambda: _script_seconds(options.python, options.script, gt, found),
            lambda: _ours(gt, found),
            options.repeats,
        )
        return
    for name, (make, images, words) in SETS.items():
        rng = random.Random(0)
        _compare_with_plain(name, [make(rng, words) for _ in range(images)], options.repeats)


def _compare_with_plain(name: str, pages: list[Page], repeats: int) -> None:
    truth, found = [page[0] for page in pages], [page[1] for page in pages]
    with tempfile.TemporaryDirectory() as folder:
        gt, predictions = Path(folder, "gt"), Path(folder, "predictions")
        write_pages(gt, "gt_", truth)
        write_pages(predictions, "res_", found)
        plainly = [
            lambda spotting=spotting: evaluate_plainly(truth, found, spotting=spotting) for spotting in (0, 1)
        ]
        _compare(name, lambda: sum(map(_seconds, plainly)), lambda: _ours(gt, predictions), repeats)


def _compare(name: str, theirs: Callable[[], float], ours: Callable[[], float], repeats: int) -> None:
    rounds = [(theirs(), median(ours() for _ in range(3))) for _ in range(repeats)]
    slow, quick = (median(seconds) * 1e3 for seconds in zip(*rounds, strict=True))
    ratio = median(a / b for a, b in rounds)
    print(f"{name:30}{slow:8.0f}ms{quick:8.1f}ms{ratio:8.1f}", flush=True)


def _ours(gt: Path, predictions: Path) -> float:
    def run() -> None:
        truth = read_ground_truth(gt)
        evaluate(truth, align(truth, read_predictions(predictions)))

    return _seconds(run)


def _script_seconds(python: str, folder: Path, gt: Path, predictions: Path) -> float:
    total = 0.0
    for spotting in (False, True):
        rules = json.dumps({"WORD_SPOTTING": spotting})
        command = [python, "-c", _SCRIPT_RUN, str(folder), str(gt), str(predictions), rules]
        total += float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    return total


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
