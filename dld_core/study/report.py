"""The study on paper: csv, json, a Markdown table for each set, and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dld_core.config import write_file
from dld_core.errors import MissingExtraError
from dld_core.evaluation.curve import write_table

Row = Mapping[str, Any]
_KINDS = {
    "reference": "scale {at:g}",
    "native": "native x {at:g}",
    "chosen": "chosen, gamma {at:g}",
    "oracle": "oracle, gamma {at:g}",
}
_FIXED = ("reference", "native")
_STYLES = {"reference": "o-", "native": "o--", "chosen": "s-", "oracle": "^:"}


def setting(row: Row) -> str:
    """What a row stands for, beside its system."""
    said = _KINDS[row["kind"]].format(**row)
    return f"{row['selector']}: {said}" if row.get("selector") else said


def write(
    rows: Sequence[Row], out: Path, about: Mapping[str, Any], tell: Callable[[str], None]
) -> list[Path]:
    """Write study.csv, study.json, study.md and study_SET.png; without matplotlib, `tell` why not."""
    out.mkdir(parents=True, exist_ok=True)
    table = [{**row, "scales": json.dumps(row["scales"])} for row in rows]
    paths = [write_table(out / "study.csv", table), out / "study.json", out / "study.md"]
    write_file(paths[1], json.dumps({**about, "rows": rows}, indent=2, ensure_ascii=False) + "\n")
    write_file(paths[2], markdown(rows, about))
    try:
        paths += [plot([r for r in rows if r["set"] == s], out / f"study_{s}.png", s) for s in _sets(rows)]
    except MissingExtraError as error:
        tell(str(error))
    return paths


def _sets(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["set"] for row in rows))


def markdown(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """A table for each set, and under which conditions it holds."""
    parts = ["# Study", "", str(about.get("conditions", "")), ""]
    for name in _sets(rows):
        own = [row for row in rows if row["set"] == name]
        lexicons = [
            key
            for key in own[0]
            if key.startswith("e2e_") and key.removeprefix("e2e_") in _lexicons(about, name)
        ]
        parts += [f"## {name} ({own[0]['images']} images)", "", *_table(own, lexicons), ""]
    return "\n".join(parts)


def _lexicons(about: Mapping[str, Any], name: str) -> list[str]:
    return list(about.get("lexicons", {}).get(name, []))


def _table(rows: Sequence[Row], lexicons: Sequence[str]) -> list[str]:
    names = [key.removeprefix("e2e_").capitalize() for key in lexicons]
    head = ["System", "Setting", "Det", "E2E None (95%)", *(f"E2E {n}" for n in names)]
    choices = any("fixed_e2e_hmean" in row for row in rows)
    head += ["Fixed", "of oracle", "gain at equal time (95%)"] if choices else []
    against = next((row["against"] for row in rows if "against" in row), None)
    head += [] if against is None else [f"beyond {against!r} (95%)"]
    memory = any("peak_memory_mb" in row for row in rows)
    head += ["GFLOPs", "of full", "ms", "p95", "of full", *(["MB"] if memory else []), "scales"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        interval = f"({row['e2e_hmean_low']:.3f}-{row['e2e_hmean_high']:.3f})"
        cells = [row["system"], setting(row), f"{row['detection_hmean']:.3f}"]
        cells += [f"{row['e2e_hmean']:.3f} {interval}", *(f"{row[key]:.3f}" for key in lexicons)]
        if choices:
            cells += [_number(row.get("fixed_e2e_hmean"), ".3f"), _number(row.get("of_oracle"), ".0%")]
            cells += [_gain(row, "gain")]
        cells += [] if against is None else [_gain(row, "difference")]
        cells += [_number(row["gflops"], ".1f"), _number(row["relative_gflops"], ".2f")]
        cells += [f"{row['latency_ms_median']:.0f}", f"{row['latency_ms_p95']:.0f}"]
        cells += [_number(row["relative_latency"], ".2f")]
        cells += [_number(row.get("peak_memory_mb"), ".0f")] if memory else []
        cells += [_scales(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _gain(row: Row, name: str) -> str:
    if name not in row:
        return ""
    return f"{row[name]:+.3f} ({row[name + '_low']:+.3f} to {row[name + '_high']:+.3f})"


def _scales(row: Row) -> str:
    """The histogram of chosen scales."""
    if row["kind"] in _FIXED:
        return ""
    return " ".join(f"{scale}:{count}" for scale, count in row["scales"].items())


def plot(rows: Sequence[Row], path: Path, title: str) -> Path:
    """End-to-end h-mean against FLOPs and against latency, a line for each system and kind of setting.

    Raises:
        MissingExtraError: matplotlib is absent.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError('the plots need matplotlib; run: pip install "dld[plots]"') from None
    costs = {"gflops": "GFLOPs an image (a multiply-add is 2)", "latency_ms_median": "median latency, ms"}
    figure = Figure(figsize=(13, 5), layout="constrained")
    for axes, (cost, label) in zip(figure.subplots(1, 2), costs.items(), strict=True):
        for key in dict.fromkeys(map(_curve, rows)):
            _line(axes, [r for r in rows if _curve(r) == key and r[cost] is not None], cost)
        axes.set_xlabel(label)
        axes.set_ylabel("end-to-end h-mean, no lexicon")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    return path


def _curve(row: Row) -> tuple[str, str, str]:
    return row["system"], row["kind"], row.get("selector", "")


def _line(axes: Any, rows: Sequence[Row], cost: str) -> None:
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: float(row[cost]))
    kind = rows[0]["kind"]
    by = f" by {rows[0]['selector']}" if rows[0].get("selector") else ""
    label = f"{rows[0]['system']}: {kind + ' scales' if kind in _FIXED else kind}{by}"
    points = [r[cost] for r in ordered], [r["e2e_hmean"] for r in ordered]
    axes.plot(*points, _STYLES[kind], label=label, markersize=4)
