"""How far a run has come, by steps and by time, over all its resumptions."""

from __future__ import annotations

import time

from dld_core.errors import ConfigError
from dld_core.training.config import TrainConfig


class Clock:
    """Running time and the share of the run that is done.

    Args:
        config: its `steps`, `schedule` and `max_minutes`.
        elapsed: seconds that earlier parts of the run took.
        max_minutes: time allowed from now; None for no limit but the config's.

    Raises:
        ConfigError: the schedule follows the time, and no time is set.
    """

    def __init__(self, config: TrainConfig, elapsed: float, max_minutes: float | None) -> None:
        self.steps = config.steps
        self.by_time = config.schedule == "time"
        self.started = time.monotonic() - elapsed
        limits = [] if max_minutes is None else [elapsed + 60 * max_minutes]
        if config.max_minutes is not None:
            limits.append(60 * config.max_minutes)
        self.deadline: float | None = min(limits, default=None)
        if self.by_time and self.deadline is None:
            raise ConfigError("'schedule: time' needs a time: set 'max_minutes' or give --max-minutes")

    @property
    def elapsed(self) -> float:
        """Seconds of running time so far."""
        return time.monotonic() - self.started

    @property
    def over(self) -> bool:
        """Whether the time allowed is used up."""
        return self.deadline is not None and self.elapsed >= self.deadline

    def progress(self, step: int) -> float:
        """Share (0-1) of the run by the measure that the schedule of the learning rate names."""
        return self.done(step) if self.by_time else min(step / self.steps, 1.0)

    def done(self, step: int) -> float:
        """Share (0-1) of the run by whichever ends it first."""
        by_time = self.elapsed / self.deadline if self.deadline else 0.0
        return min(max(step / self.steps, by_time), 1.0)

    def left(self, step: int) -> float:
        """Seconds until the end, at the pace so far."""
        done = self.done(step)
        return self.elapsed * (1 - done) / done if done > 0 else 0.0
