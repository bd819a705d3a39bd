"""The record of a run: metrics.csv, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


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
                self.rows = [row for row in reader if (row.get("step") or "").isdigit()]
            self.rows = [row for row in self.rows if int(row["step"]) <= resumed_step]
        self._rewrite()

    def write(self, values: Mapping[str, float | int]) -> None:
        """Append a row; a new column rewrites the file."""
        row = {
            name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in values.items()
        }
        self.rows.append(row)
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".tmp")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)


class Board:
    """TensorBoard, or nothing where it is not installed."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = None
        if find_spec("tensorboard") is not None:
            self._writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder))

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
