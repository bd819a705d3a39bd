"""`dld study`: the cross-framework table."""

from __future__ import annotations

import json as format_
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from dld_core.study import StudyConfig
from dld_core.study import study as run


def study(
    config: Annotated[Path, typer.Argument(help="Sets and systems (YAML); see docs/study.md.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, pictures and readings.")],
    json: Annotated[bool, typer.Option("--json", help="Print the rows as json.")] = False,
) -> None:
    """Read sets of images with several systems, at fixed scales and at scales of a selector's choice:
    study.csv, study.md, study.json and a plot for each set. Goes on where it was stopped.
    """
    rows = run(StudyConfig.load(config), out, reading, lambda text: typer.echo(f"dld: {text}", err=True))
    if json:
        typer.echo(format_.dumps(rows, indent=2, ensure_ascii=False))
        return
    typer.echo((out / "study.md").read_text(encoding="utf-8"))


def reading(items: Iterable[Any]) -> Iterable[Any]:
    """A progress bar over images."""
    return track(list(items), description="reading", console=Console(stderr=True))
