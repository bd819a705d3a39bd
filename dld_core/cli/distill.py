"""`dld distill CONFIG.yaml`: teach a student to read at low resolution as its teacher does at high."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dld_core.cli.running import Devices, MaxMinutes, Out, Resume, folder
from dld_core.config import read_yaml
from dld_core.errors import ConfigError
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.selecting import distill_with_selector
from dld_core.training.selector.run import SelectorRunConfig, run_selector


def distill(
    config: Annotated[Path, typer.Argument(help="Settings of the run (YAML); see docs/distillation.md.")],
    resume: Resume = False,
    max_minutes: MaxMinutes = None,
    devices: Devices = None,
    out: Out = None,
) -> None:
    """Teach a low-resolution student, make a selector for it, or both: checkpoints, metrics and weights go to
    the folder of the run. A config without `data` makes a selector alone, for any spotter.
    """
    target = folder(out, config)
    if "data" not in read_yaml(config):
        if devices is not None:
            raise ConfigError(
                "--devices is for students; this config has no 'data' and makes a selector alone"
            )
        run = SelectorRunConfig.load(config)
        typer.echo(str(run_selector(run, target, _say, max_minutes)))
        return
    result = distill_with_selector(
        DistillConfig.load(config),
        target,
        resume=resume,
        max_minutes=max_minutes,
        devices=devices,
        say=_say,
    )
    if result.chief:
        typer.echo(str(result.weights))


def _say(text: str) -> None:
    typer.echo(f"dld: {text}", err=True)
