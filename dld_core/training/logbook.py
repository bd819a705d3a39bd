"""What is told of a run: rows in metrics.csv, curves in TensorBoard, lines on the terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from dld_core.training.clock import Clock
from dld_core.training.metrics import Board, MetricsFile
from dld_core.training.progress import Reporter, duration


class Logbook:
    """The record of one run; `recent` holds the last value of everything."""

    def __init__(self, out: Path, clock: Clock, reporter: Reporter, step: int, words: int) -> None:
        self.clock, self.reporter = clock, reporter
        self.metrics = MetricsFile(out / "metrics.csv", step)
        self.board = Board(out / "tensorboard")
        self.recent: dict[str, float] = {}
        self._mark = (time.monotonic(), words, 0.0)

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

    def look(self, step: int, words: int, values: Mapping[str, float]) -> None:
        """Write down what validation found."""
        self._write(step, words, values)
        self.reporter.say(f"step {step}: " + "  ".join(f"{name} {v:.4f}" for name, v in values.items()))
        self._mark = (time.monotonic(), words, self._mark[2])

    def close(self) -> None:
        self.board.close()

    def _write(self, step: int, words: int, values: Mapping[str, float]) -> None:
        self.recent |= values
        self.metrics.write({"step": step, "seconds": round(self.clock.elapsed, 1), "words": words, **values})
        self.board.write(step, values)


def _line(losses: Mapping[str, float], values: Mapping[str, float], left: float) -> str:
    parts = [f"loss {values['loss']:.3f}"]
    if len(losses) > 1:
        parts += [f"{name} {value:.3f}" for name, value in losses.items()]
    if "word_accuracy" in values:
        parts.append(f"words right {100 * values['word_accuracy']:.0f}%")
    parts.append(f"{values['words_per_second']:.0f} words/s")
    if values["waiting"] > 0.1:
        parts.append(f"waiting for data {100 * values['waiting']:.0f}%")
    parts.append(f"lr {values['lr']:.2e}")
    return "  ".join([*parts, f"left {duration(left)}"])
