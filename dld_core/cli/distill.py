"""`dld distill CONFIG.yaml`: teach a student to read at low resolution as its teacher does at high."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dld_core.cli.running import Devices, MaxMinutes, Out, Resume, folder
from dld_core.config import read_yaml
from dld_core.errors import ConfigError
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.engine import distill as run_distill
from dld_core.training.selector.config import SelectorRunConfig
from dld_core.training.selector.making import run_selector


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
        typer.echo(str(run_selector(run, target, _log, max_minutes)))
        return
    result = run_distill(
        DistillConfig.load(config),
        target,
        resume=resume,
        max_minutes=max_minutes,
        devices=devices,
        log=_log,
    )
    if result.chief:
        typer.echo(str(result.weights))


def _log(text: str) -> None:
    typer.echo(f"dld: {text}", err=True)
