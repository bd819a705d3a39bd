"""`dld export`: a spotter as files that run without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dld_core.cli.building import none
from dld_core.cli.calibration import calibration_pages
from dld_core.errors import ConfigError
from dld_core.interfaces import Exportable
from dld_core.plugins.registry import backends


def export(
    backend: Annotated[str, typer.Option(help="The spotter to export.")],
    out: Annotated[Path, typer.Option("--out", help="NAME.onnx, or a folder.", show_default=False)],
    weights: Annotated[str, typer.Option(help="bundled, student, a file, a folder, or none.")] = "bundled",
    preset: Annotated[str | None, typer.Option(help="The spotter's size, if it has several.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also write an int8 file.")] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(help="Image, folder or pattern like what will be read, for int8; else rendered pages."),
    ] = None,
) -> None:
    """Write ONNX files for onnxruntime; prints what --weights takes (ppocr's: of rapidocr).

    Files NAME.* belong together: keep them in one folder.
    """
    if calibrate is not None and not int8:
        raise ConfigError("--calibrate is for --int8; give that too")
    options: dict[str, Any] = {} if preset is None else {"preset": preset}
    part = backends.get(backend)
    given: str | Path | None = none(weights)
    if weights == "student":
        given = part.create(weights="bundled", **options).bundled_part("student")
        if given is None:
            raise ConfigError(f"no student ships with {backend}; give its weights as a file")
    spotter = part.create(weights=given, **options)
    if not isinstance(spotter, Exportable):
        raise ConfigError(f"{backend} with the weights {weights} cannot be exported; it has no `export`")
    pages = calibration_pages(calibrate, spotter.reference_short_side) if int8 else None
    file = out if out.suffix == ".onnx" else out / f"{'-'.join(filter(None, (backend, preset)))}.onnx"
    for path in spotter.export(file, pages):
        typer.echo(str(path))
