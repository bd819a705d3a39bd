"""What a run stands on: devices, the spotter to teach, time, interruptions, seeds that follow the step."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException

from dld_core.errors import ConfigError, DeviceError, TrainingError
from dld_core.interfaces import TrainableSpotter
from dld_core.plugins.registry import backends
from dld_core.training.config import TrainConfig


def make_fabric(config: TrainConfig, devices: int | None) -> Fabric:
    """Fabric on `devices` devices of this machine, or on those that torchrun has given to the process.

    Raises:
        DeviceError: they are not there.
    """
    under_torchrun = "LOCAL_WORLD_SIZE" in os.environ
    local = int(os.environ["LOCAL_WORLD_SIZE"]) if under_torchrun else (devices or 1)
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1")) if under_torchrun else 1
    kind, _, index = config.accelerator.partition(":")
    if index and local > 1:
        raise DeviceError(f"'accelerator: {config.accelerator}' is one device, and {local} are asked for")
    # A warm-up of the recogniser leaves the detector's parameters without gradients.
    strategy: Any = DDPStrategy(find_unused_parameters=True) if local * nodes > 1 else "auto"
    try:
        return Fabric(
            accelerator=kind,
            devices=[int(index)] if index else local,
            num_nodes=nodes,
            strategy=strategy,
            precision=config.precision,
        )
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise DeviceError(
            f"cannot train on {local} device(s) of kind '{config.accelerator}': {error}; "
            "lower --devices or change 'accelerator'"
        ) from error


def build_trainable(backend: str, weights: str | Path | None, options: Mapping[str, Any]) -> TrainableSpotter:
    """A spotter that can be taught and can teach, on the CPU.

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError, ConfigError: it cannot be had as asked for.
        WeightsError: the weights are not there, or do not fit its options.
        TrainingError: it can only predict.
    """
    spotter = backends.get(backend).create(weights=weights, device="cpu", **options)
    if not isinstance(spotter, TrainableSpotter):
        raise TrainingError(
            f"the backend '{backend}' only predicts and has no traces, so it can neither learn nor teach; "
            "choose one that `dld backends` lists as trainable. It can have a selector: a config of `dld "
            "distill` with 'selector' and without 'data' makes one"
        )
    return spotter


def seed_everything(*parts: int) -> None:
    """Seed every generator that a model may use, differently for different parts (seed, step, rank)."""
    seed = int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)


class Clock:
    """Running time over all resumptions, and the share of the run that is done.

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


class Interrupt:
    """While entered, the first SIGINT or SIGTERM sets `asked`; a second SIGINT stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
