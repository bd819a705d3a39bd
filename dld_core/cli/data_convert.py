"""`dld data convert SRC DST`: from one annotation format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dld_core.data.formats import ReadOptions
from dld_core.data.formats.convert import ConversionReport, ConvertOptions
from dld_core.data.formats.convert import convert as run
from dld_core.data.formats.files import known_encoding


def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Annotation file, or folder of annotations.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write to; new or empty.")],
    to: Annotated[str, typer.Option("--to", help="Format to write; see docs/data.md.")],
    source_format: Annotated[str, typer.Option("--from", help="Format to read.")] = "auto",
    images: Annotated[
        Path | None,
        typer.Option("--images", exists=True, file_okay=False, help="Folder of the images; else told."),
    ] = None,
    copy_images: Annotated[bool, typer.Option("--copy-images", help="Copy the images along.")] = False,
    encoding: Annotated[str, typer.Option("--encoding", help="Of text files that are read.")] = "utf-8",
    points: Annotated[
        int | None, typer.Option("--points", min=3, help="Points per line of ICDAR txt; told from the file.")
    ] = None,
    quads: Annotated[bool, typer.Option("--quads", help="Reduce every polygon to four points.")] = False,
    whole: Annotated[bool, typer.Option("--round", help="Round coordinates to whole pixels.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write where there are files.")] = False,
    skip_malformed: Annotated[
        bool, typer.Option("--skip-malformed", help="Leave malformed places out instead of refusing.")
    ] = False,
) -> None:
    """Convert annotations; what the target cannot keep is told on stderr and in conversion-report.json."""
    options = ConvertOptions(
        read=ReadOptions(images, known_encoding(encoding), points),
        copy_images=copy_images,
        quads=quads,
        whole=whole,
        overwrite=overwrite,
        skip_malformed=skip_malformed,
    )
    report = run(source, target, to, source_format, options)
    _tell(report)
    typer.echo(str(target))


def _tell(report: ConversionReport) -> None:
    """Counts, losses and what was left out, on stderr."""
    lines = [
        f"{report.source_format} -> {report.target_format}: {report.images} images, {report.words} words "
        f"({report.dont_care} don't-care)"
    ]
    lines += [f"lost: {loss['what']}: {loss['count']} (first: {loss['example']})" for loss in report.lost()]
    lines += [f"skipped: {problem}" for problem in report.skipped]
    if report.images_missing:
        lines.append(f"{report.images_missing} images were not found, so not copied")
    if report.unlabelled:
        lines.append(f"{report.unlabelled} images without annotations are not part of the result")
    for line in lines:
        typer.echo("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), err=True)
