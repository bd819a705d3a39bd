"""What the person at the terminal sees, on stderr: a live line, or plain lines now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self


class Reporter:
    """Progress of a run: a bar on a terminal, else one plain line every `seconds`."""

    def __init__(self, seconds: float, quiet: bool = False) -> None:
        self.seconds = seconds
        self.quiet = quiet
        self._last = -float("inf")
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("step {task.fields[step]}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                refresh_per_second=2,
            )
            self._task = self._bar.add_task("train", total=1.0, step=0, text="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A message that stays."""
        if self.quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
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


def duration(seconds: float) -> str:
    """3725 -> '1:02:05'."""
    whole = max(int(seconds), 0)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
