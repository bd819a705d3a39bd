"""`dld train CONFIG.yaml`: teach a spotter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="Settings of the run (YAML); see docs/training.md.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint, exactly.")
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", min=0.0, help="Save and stop after this time.")
    ] = None,
    devices: Annotated[
        int | None, typer.Option("--devices", min=1, help="How many devices to train on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; runs/NAME_OF_CONFIG when not given.")
    ] = None,
) -> None:
    """Teach a spotter: checkpoints, metrics.csv and model.safetensors go to the folder of the run."""
    from dld_core.training import TrainConfig
    from dld_core.training import train as run

    result = run(
        TrainConfig.load(config),
        out or Path("runs") / config.stem,
        resume=resume,
        max_minutes=max_minutes,
        devices=devices,
    )
    if result.chief:
        typer.echo(str(result.weights))
