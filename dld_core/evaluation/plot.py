"""The curve as a picture: accuracy against FLOPs and against latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dld_core.errors import MissingExtraError

_TASKS = {"detection": "detection", "e2e": "end-to-end", "word_spotting": "word spotting"}
_COSTS = {"gflops": "GFLOPs an image (a multiply-add is 2)", "latency_ms_median": "median latency, ms"}


def plot(rows: Sequence[dict[str, Any]], path: Path, title: str) -> Path:
    """Draw rows of the curve with their confidence intervals; one panel per kind of cost.

    Raises:
        MissingExtraError: matplotlib is absent.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError('the plot needs matplotlib; run: pip install "dld[plots]"') from None
    costs = {key: label for key, label in _COSTS.items() if all(row[key] is not None for row in rows)}
    figure = Figure(figsize=(6 * len(costs), 4.5), layout="constrained")
    for axes, (key, label) in zip(
        figure.subplots(1, len(costs), squeeze=False)[0], costs.items(), strict=True
    ):
        _panel(axes, rows, key, label)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    return path


def _panel(axes: Any, rows: Sequence[dict[str, Any]], cost: str, label: str) -> None:
    for task, name in _TASKS.items():
        middle = [row[f"{task}_hmean"] for row in rows]
        below = [max(m - row[f"{task}_hmean_low"], 0) for m, row in zip(middle, rows, strict=True)]
        above = [max(row[f"{task}_hmean_high"] - m, 0) for m, row in zip(middle, rows, strict=True)]
        x = [row[cost] for row in rows]
        axes.errorbar(x, middle, yerr=[below, above], marker="o", capsize=3, label=name)
    for row in rows:
        axes.annotate(
            f"{row['scale']:g}", (row[cost], row["e2e_hmean"]), xytext=(6, -12), textcoords="offset points"
        )
    axes.set_xlabel(label)
    axes.set_ylabel("hmean")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
