"""`dld spot`: read the words of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dld_core.cli import spotting
from dld_core.cli.building import (
    MODEL_HELP,
    OPTION_FORM,
    OPTION_HELP,
    SCALE_DEFAULT,
    SCALE_HELP,
    ModelName,
    none,
    spotter_options,
)

_HOW = "How to read"
_OUTPUT = "Output"


def spot(
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders or quoted patterns such as 'photos/**/*.jpg'; - for standard input."
        ),
    ],
    backend: Annotated[
        str,
        typer.Option(
            help="The spotter (`dld backends` lists them); auto is that of --weights, else the best one.",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    weights: Annotated[
        str, typer.Option(help="bundled, a file, a folder, or none.", rich_help_panel=_HOW)
    ] = "bundled",
    model: Annotated[ModelName, typer.Option(help=MODEL_HELP, rich_help_panel=_HOW)] = "auto",
    scale: Annotated[
        str | None,
        typer.Option(help=SCALE_HELP, show_default=SCALE_DEFAULT, rich_help_panel=_HOW),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="The most GFLOPs to spend on an image.", rich_help_panel=_HOW),
    ] = None,
    gamma: Annotated[
        float | None,
        typer.Option(
            help="Words you would lose to save the whole cost of an image: 0 is for accuracy alone.",
            show_default="the selector's own",
            rich_help_panel=_HOW,
        ),
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="The most milliseconds to spend on an image.", rich_help_panel=_HOW),
    ] = None,
    escalate: Annotated[
        bool,
        typer.Option("--escalate", help="Read unsure pages again, larger, under auto.", rich_help_panel=_HOW),
    ] = False,
    selector: Annotated[
        str, typer.Option(help="bundled, none, or a file of `dld distill`.", rich_help_panel=_HOW)
    ] = "bundled",
    option: Annotated[
        list[str] | None, typer.Option(help=OPTION_HELP, metavar=OPTION_FORM, rich_help_panel=_HOW)
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
    pages: Annotated[
        str | None,
        typer.Option(
            help="Pages of TIFFs and animations: all, or 1-3,5.", show_default="1", rich_help_panel=_HOW
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
    job = spotting.Job.checked(
        images,
        scale=scale,
        pages=pages,
        json=as_json,
        jsonl=as_jsonl,
        out=out,
        skip_existing=skip_existing,
    )
    given = {"budget": budget, "gamma": gamma, "max_latency_ms": max_latency_ms, "max_pixels": max_pixels}
    options: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    options |= {"model": model, "escalate": escalate, "selector": none(selector), **spotter_options(option)}
    if spotting.run(job, backend, none(weights), device, threads, options) > 0:
        raise typer.Exit(3)
