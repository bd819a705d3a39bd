"""Results as a table for people and json for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from dld_core.evaluation.protocol import Protocol
from dld_core.evaluation.scores import EvaluationResult, Tally

if TYPE_CHECKING:
    from rich.table import Table


def to_json(result: EvaluationResult) -> str:
    """The json of `dld evaluate`."""
    return json.dumps(result.as_dict(), indent=2, ensure_ascii=False)


def table(result: EvaluationResult) -> Table:
    """Precision, recall and hmean of each task."""
    view = Table(box=None, pad_edge=False)
    for column in ("", "precision", "recall", "hmean"):
        view.add_column(column, justify="right" if column else "left")
    tasks = {"detection": result.detection, "end-to-end": result.e2e, "word spotting": result.word_spotting}
    for name, rates in tasks.items():
        view.add_row(name, *(f"{value:.4f}" for value in (rates.precision, rates.recall, rates.hmean)))
    return view


def lines(result: EvaluationResult) -> list[str]:
    """What belongs under the table: accuracy, counts, every rule in force, notes; one line each."""
    text = [*_counts(result), _rules(result.protocol)]
    if "lexicon" in result.extras:
        text.append(_lexicon(result.extras["lexicon"]))
    if "images_per_second" in result.extras:
        text.append(_speed(result.extras))
    return text + [f"note: {note}" for note in result.notes]


def _counts(result: EvaluationResult) -> list[str]:
    tally: Tally = result.counted
    which = "counted by word spotting" if result.protocol.word_spotting else "counted"
    return [
        f"recognition of {tally.matched.sum():.0f} matched words: {tally.accuracy:.4f} right, "
        f"{tally.exact_accuracy:.4f} to the letter, 1-NED {tally.matched_one_minus_ned:.4f}",
        f"1-NED end to end: {tally.one_minus_ned:.4f}",
        f"{len(result.names)} images, {tally.truth.sum():.0f} words and {tally.found.sum():.0f} detections "
        + which,
    ]


def _rules(rules: Protocol) -> str:
    pixels = "cut to whole pixels" if rules.whole_pixels else "as given"
    return (
        f"rules: IoU above {rules.iou:g}; detections with over {rules.overlap_limit:g} of their area in a "
        f"don't-care word left out; case-insensitive; special characters {rules.special_characters}; "
        f"word spotting from {rules.min_word_length} letters; coordinates {pixels}"
    )


def _lexicon(lexicon: dict[str, Any]) -> str:
    digits = " or with digits" if lexicon["skip_digits"] else ""
    return (
        f"lexicon: {lexicon['source']} ({lexicon['kind']}, {lexicon['words']:g} words); nearest within edit "
        f"distance {lexicon['max_distance']}; words under {lexicon['min_length']} characters{digits} left "
        f"alone; far words {'kept' if lexicon['far'] == 'keep' else 'dropped'}"
    )


def _speed(extras: dict[str, Any]) -> str:
    cost = extras.get("mean_gflops")
    full = extras.get("mean_gflops_full")
    known = "" if cost is None or full is None else f", {cost:.1f} GFLOPs an image ({full:.1f} at full scale)"
    return f"speed: {extras['images_per_second']:.2f} images a second{known}; scales {extras['scales']}"


def curve_table(rows: list[dict[str, Any]]) -> Table:
    """One line per scale: hmeans with their 95% intervals, cost, latency."""
    view = Table(box=None, pad_edge=False)
    for column in ("scale", "detection", "end-to-end", "word spotting", "GFLOPs", "median ms", "p95 ms"):
        view.add_column(column, justify="right")
    for row in rows:
        tasks = [
            f"{row[f'{task}_hmean']:.3f} [{row[f'{task}_hmean_low']:.3f}-{row[f'{task}_hmean_high']:.3f}]"
            for task in ("detection", "e2e", "word_spotting")
        ]
        cost = "-" if row["gflops"] is None else f"{row['gflops']:.1f}"
        times = (f"{row['latency_ms_median']:.0f}", f"{row['latency_ms_p95']:.0f}")
        view.add_row(f"{row['scale']:g}", *(escape(task) for task in tasks), cost, *times)
    return view
