"""`dld distill CONFIG.yaml`: teach a student to read at low resolution as its teacher does at high."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def distill(
    config: Annotated[Path, typer.Argument(help="Settings of the run (YAML); see docs/distillation.md.")],
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
    """Teach a low-resolution student: checkpoints, metrics and weights go to the folder of the run."""
    from dld_core.distillation import DistillConfig
    from dld_core.distillation import distill as run

    result = run(
        DistillConfig.load(config),
        out or Path("runs") / config.stem,
        resume=resume,
        max_minutes=max_minutes,
        devices=devices,
    )
    if result.chief:
        typer.echo(str(result.weights))
