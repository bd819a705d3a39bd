"""The record of a run: rows in metrics.csv, curves in TensorBoard, lines or a bar on stderr."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dld_core.config import replacing
from dld_core.training.runtime import Clock


class Reporter:
    """Progress of a run: a bar on a terminal, else one plain line every `seconds`."""

    def __init__(self, seconds: float, quiet: bool = False) -> None:
        self.seconds = seconds
        self.quiet = quiet
        self._last = -float("inf")
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            columns = TextColumn("step {task.fields[step]}"), BarColumn(24), TextColumn("{task.fields[text]}")
            console = Console(stderr=True)
            self._bar = Progress(*columns, TimeElapsedColumn(), console=console, refresh_per_second=2)
            self._task = self._bar.add_task("train", total=1.0, step=0, text="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def log(self, text: str) -> None:
        """A message that stays."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def due(self) -> bool:
        """Whether a plain line is due (a terminal is always due)."""
        return not self.quiet and (self._bar is not None or time.monotonic() - self._last >= self.seconds)

    def show(self, step: int, fraction: float, text: str) -> None:
        """The state of the run, `fraction` (0-1) of it done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, step=step, text=text)
        elif not self.quiet:
            self._last = time.monotonic()
            print(f"step {step} ({100 * fraction:.1f}%): {text}", file=sys.stderr, flush=True)


class MetricsFile:
    """A csv with one row per logged step, whose columns may grow.

    Resuming drops the rows after the checkpoint's step: these steps are taken again.
    """

    def __init__(self, path: Path, resumed_step: int = 0) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []
        self.columns: list[str] = ["step"]
        if resumed_step and path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                self.columns = list(reader.fieldnames or self.columns)
                rows = [row for row in reader if (row.get("step") or "").isdigit()]
            self.rows = [row for row in rows if int(row["step"]) <= resumed_step]
        self._rewrite()

    def write(self, values: Mapping[str, float | int]) -> None:
        """Append a row; a new column rewrites the file."""
        row = {name: f"{v:.6g}" if isinstance(v, float) else str(v) for name, v in values.items()}
        self.rows.append(row)
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self) -> None:
        with replacing(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)


class Logbook:
    """The record of one run; `recent` holds the last value of everything."""

    def __init__(self, out: Path, clock: Clock, reporter: Reporter, step: int, words: int) -> None:
        self.clock, self.reporter = clock, reporter
        self.metrics = MetricsFile(out / "metrics.csv", step)
        self.recent: dict[str, float] = {}
        self._mark = (time.monotonic(), words, 0.0)
        self._board: Any = None
        if find_spec("tensorboard") is not None:
            self._board = import_module("torch.utils.tensorboard").SummaryWriter(str(out / "tensorboard"))

    def steps(
        self, step: int, words: int, waited: float, losses: Mapping[str, float], others: Mapping[str, float]
    ) -> None:
        """Write down a step; the speed is that since the last call.

        Args:
            step: its number, from 1.
            words: words seen so far.
            waited: seconds spent so far on waiting for data.
            losses: the step's losses by name.
            others: whatever else belongs to the step.
        """
        now = time.monotonic()
        passed = max(now - self._mark[0], 1e-9)
        speed = {
            "words_per_second": (words - self._mark[1]) / passed,
            "waiting": min((waited - self._mark[2]) / passed, 1.0),
        }
        self._mark = (now, words, waited)
        values = {"loss": sum(losses.values()), **losses, **others, **speed}
        self._write(step, words, values)
        if self.reporter.due():
            line = _line(losses, values, self.clock.left(step))
            self.reporter.show(step, self.clock.done(step), line)

    def validation(self, step: int, words: int, values: Mapping[str, float]) -> None:
        """Write down what validation found."""
        self._write(step, words, values)
        self.reporter.log(f"step {step}: " + "  ".join(f"{name} {v:.4f}" for name, v in values.items()))
        self._mark = (time.monotonic(), words, self._mark[2])

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _write(self, step: int, words: int, values: Mapping[str, float]) -> None:
        self.recent |= values
        self.metrics.write({"step": step, "seconds": round(self.clock.elapsed, 1), "words": words, **values})
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)


def _line(losses: Mapping[str, float], values: Mapping[str, float], left: float) -> str:
    parts = [f"loss {values['loss']:.3f}"]
    if len(losses) > 1:
        parts += [f"{name} {value:.3f}" for name, value in losses.items()]
    if "word_accuracy" in values:
        parts.append(f"words right {100 * values['word_accuracy']:.0f}%")
    parts.append(f"{values['words_per_second']:.0f} words/s")
    if values["waiting"] > 0.1:
        parts.append(f"waiting for data {100 * values['waiting']:.0f}%")
    hours, seconds = divmod(max(int(left), 0), 3600)
    parts.append(f"lr {values['lr']:.2e}  left {hours}:{seconds // 60:02d}:{seconds % 60:02d}")
    return "  ".join(parts)
