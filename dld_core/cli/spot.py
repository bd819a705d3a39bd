"""`dld spot`: read the words of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_HOW = "How to read"
_OUTPUT = "Output"


def spot(
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders or quoted patterns such as 'photos/**/*.jpg'.")
    ],
    backend: Annotated[
        str, typer.Option(help="The spotter; `dld backends` lists them.", rich_help_panel=_HOW)
    ] = "maskrcnn",
    weights: Annotated[
        str, typer.Option(help="bundled, a file or a folder.", rich_help_panel=_HOW)
    ] = "bundled",
    scale: Annotated[
        str | None,
        typer.Option(
            help="full, a fraction of it such as 0.5, or auto (a selector chooses).",
            show_default="full",
            rich_help_panel=_HOW,
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="GFLOPs to spend per image; needs a selector.", rich_help_panel=_HOW),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0 or mps.", rich_help_panel=_HOW)] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads to compute with.", rich_help_panel=_HOW)
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, help="The most pixels ever read at once; larger images shrink.", rich_help_panel=_HOW
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON: an object for one file, an array for several, a folder or a pattern.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    as_jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl", help="Print one JSON object a line, as images are done.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for NAME.json and the drawn NAME.jpg of every image.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing", help="Leave out images whose NAME.json is in --out.", rich_help_panel=_OUTPUT
        ),
    ] = False,
) -> None:
    """Read the words of images: a table on stdout, or JSON; pictures with the words drawn in with --out.

    Files that cannot be read are named on stderr and the others go on; the exit code is then 3.
    """
    from dld_core.cli import spotting

    job = spotting.Job.checked(
        images, scale=scale, budget=budget, json=as_json, jsonl=as_jsonl, out=out, skip_existing=skip_existing
    )
    options = {} if max_pixels is None else {"max_pixels": max_pixels}
    if spotting.run(job, backend, weights, device, threads, options) > 0:
        raise typer.Exit(3)
