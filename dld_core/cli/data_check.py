"""`dld data check PATH`: every problem of a data set, with file, line and fix."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from dld_core.data.formats import ReadOptions
from dld_core.data.formats.checks import CheckReport
from dld_core.data.formats.checks import check as run
from dld_core.data.formats.files import known_encoding
from dld_core.data.formats.model import AnnotatedImage
from dld_core.data.formats.problems import Problem

BAD_INPUT = 3


def check(
    path: Annotated[Path, typer.Argument(help="Annotation file, or folder of annotations.")],
    format: Annotated[str, typer.Option("--format", help="Name of the format; see docs/data.md.")] = "auto",
    images: Annotated[
        Path | None,
        typer.Option("--images", exists=True, file_okay=False, help="Folder of the images; else told."),
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", help="Of text files.")] = "utf-8",
    points: Annotated[
        int | None, typer.Option("--points", min=3, help="Points per line of ICDAR txt; told from the file.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read only the headers of images.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List infos too, not only their number.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Name every problem of a data set; exit 3 if there is an error, 0 if there are only warnings."""
    options = ReadOptions(images, known_encoding(encoding), points)
    report = run(path, format, options=options, decode_images=not quick, track=_show_progress)
    if as_json:
        _print_json(path, report)
    else:
        _print_text(report, everything)
    if report.problems.of("error"):
        raise typer.Exit(BAD_INPUT)


def _show_progress(images: Sequence[AnnotatedImage]) -> Iterable[AnnotatedImage]:
    """The same images, with a bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    return track(images, "images", console=console, transient=True, disable=not console.is_terminal)


def _summary(path: Path, report: CheckReport) -> dict[str, Any]:
    images = report.dataset.images if report.dataset else []
    words = [word for image in images for word in image.words]
    return {
        "schema_version": 1,
        "path": str(path),
        "format": report.dataset.format if report.dataset else None,
        "images": len(images),
        "words": len(words),
        "dont_care": sum(word.ignore for word in words),
        "counts": report.problems.counts(),
    }


def _print_json(path: Path, report: CheckReport) -> None:
    problems = [problem.to_dict() for problem in report.problems]
    typer.echo(json.dumps({**_summary(path, report), "problems": problems}))


def _print_text(report: CheckReport, everything: bool) -> None:
    for problem in report.problems:
        if everything or problem.severity != "info":
            typer.echo(_printable(problem))
    totals = _summary(Path(), report)
    counts = totals["counts"]
    hidden = " (--all lists the infos)" if counts["info"] and not everything else ""
    typer.echo(
        f"{totals['format'] or 'unknown format'}: {totals['images']} images, {totals['words']} words "
        f"({totals['dont_care']} don't-care); {counts['error']} errors, {counts['warning']} warnings, "
        f"{counts['info']} infos{hidden}",
        err=True,
    )


def _printable(problem: Problem) -> str:
    """One line that any terminal can take: names may hold line breaks, escapes and broken encodings."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(problem))
