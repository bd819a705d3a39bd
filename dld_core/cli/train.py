"""`dld train CONFIG.yaml`: teach a spotter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dld_core.cli.running import Devices, MaxMinutes, Out, Resume, folder
from dld_core.training import TrainConfig
from dld_core.training import train as run


def train(
    config: Annotated[Path, typer.Argument(help="Settings of the run (YAML); see docs/training.md.")],
    resume: Resume = False,
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    out: Out = None,
) -> None:
    """Teach a spotter: checkpoints, metrics.csv and model.safetensors go to the folder of the run."""
    result = run(
        TrainConfig.load(config),
        folder(out, config),
        resume=resume,
        max_minutes=max_minutes,
        devices=devices,
    )
    if result.chief:
        typer.echo(str(result.weights))
