"""Options that the commands of long runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint, exactly.")]
MaxMinutes = Annotated[
    float | None,
    typer.Option("--max-minutes", min=0.0, help="Save and stop after this time (a selector: stop reading)."),
]
Devices = Annotated[int | None, typer.Option("--devices", min=1, help="How many devices to train on.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run; runs/NAME_OF_CONFIG when not given.")
]


def folder(out: Path | None, config: Path) -> Path:
    """Where a run goes."""
    return out or Path("runs") / config.stem
