"""What a run stands on: the devices, the spotter to teach, and generators that follow the step."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from dld_core.errors import DeviceError, TrainingError
from dld_core.interfaces import TrainableSpotter
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
    strategy: Any = "auto"
    if local * nodes > 1:
        from lightning_fabric.strategies.ddp import DDPStrategy

        # A warm-up of the recogniser leaves the detector's parameters without gradients.
        strategy = DDPStrategy(find_unused_parameters=True)
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


def build_spotter(config: TrainConfig) -> TrainableSpotter:
    """The backend that the config names, with random weights (or the bundled ones, where `init` says so).

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError, ConfigError: it cannot be had as asked for.
        WeightsError: it has no bundled weights, or none that fit its options.
        TrainingError: it can only predict.
    """
    from dld_core.plugins.registry import backends

    weights = "bundled" if config.init and config.init.bundled else None
    spotter = backends.get(config.backend).create(weights=weights, device="cpu", **config.options)
    if not isinstance(spotter, TrainableSpotter):
        raise TrainingError(
            f"the backend '{config.backend}' only predicts; choose one that `dld backends` lists as trainable"
        )
    return spotter


def seed_everything(*parts: int) -> None:
    """Seed every generator that a model may use, differently for different parts (seed, step, rank)."""
    seed = int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)
