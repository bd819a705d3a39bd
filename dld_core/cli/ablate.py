"""`dld ablate`: one distillation, run once for each change to it, and a table of what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dld_core.cli.study import reading
from dld_core.study.ablation import ablate as run


def ablate(
    config: Annotated[Path, typer.Argument(help="A config of `dld distill` and changes to it (YAML).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs, tables, pictures and readings.")],
) -> None:
    """Teach a student (or make a selector) once for each variant of a config, and read sets of images with
    all of them. Goes on where it was stopped; see docs/study.md.
    """
    run(config, out, reading, lambda text: typer.echo(f"dld: {text}", err=True))
    typer.echo((out / "study.md").read_text(encoding="utf-8"))
