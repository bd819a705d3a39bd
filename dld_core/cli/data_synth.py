"""`dld data synth`: render annotated training pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dld_core.data.synth import SynthConfig
from dld_core.data.synth.export import write_pages


def synth(
    out: Annotated[Path, typer.Option("--out", help="Folder for images/, gt/ and preview.jpg.")],
    pages: Annotated[int, typer.Option("--pages", min=1, help="How many pages.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed and options, same pages.")] = 0,
    size: Annotated[str | None, typer.Option("--size", help="Page size HxW, e.g. 640x640.")] = None,
    words: Annotated[str | None, typer.Option("--words", help="Words per page LO-HI, e.g. 15-35.")] = None,
    backgrounds: Annotated[
        Path | None, typer.Option("--backgrounds", help="Folder of photos without text to render on.")
    ] = None,
    fonts: Annotated[
        Path | None, typer.Option("--fonts", help="Folder of .ttf/.otf fonts instead of the system's.")
    ] = None,
    word_crops: Annotated[
        Path | None, typer.Option("--word-crops", help="Folder of real word crops (labels.tsv) for mosaics.")
    ] = None,
    mosaic: Annotated[bool, typer.Option("--mosaic", help="Pages densely tiled with single words.")] = False,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="1 to 12 megapixels each, with large, small or mixed text.")
    ] = False,
    png: Annotated[bool, typer.Option("--png", help="Lossless images instead of JPEG.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that render.")] = 1,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML with more options; flags win over it.")
    ] = None,
) -> None:
    """Render pages of words on signs, walls and photos, with ICDAR txt; goes on where it stopped."""
    flags = {
        "page_size": _pair(size, "--size", "HxW, such as 640x640"),
        "words": _pair(words, "--words", "LO-HI, such as 15-35"),
        "backgrounds": backgrounds,
        "fonts": fonts,
        "word_crops": word_crops,
        "word_mosaic": mosaic or None,
        "mixed": mixed or None,
    }
    options = _options(config, {key: value for key, value in flags.items() if value is not None})
    with _progress() as progress:
        task = progress.add_task("pages", total=pages)
        write_pages(
            options,
            out,
            pages,
            seed,
            workers=workers,
            encoding="png" if png else "jpg",
            done=lambda _: progress.advance(task),
        )
    typer.echo(str(out))


def _options(file: Path | None, flags: dict[str, Any]) -> SynthConfig:
    """The options of a file, overruled by flags."""
    stored = SynthConfig.load(file).model_dump(exclude_unset=True) if file else {}
    return SynthConfig.parse({**stored, **flags}, where="dld data synth")


def _pair(text: str | None, flag: str, form: str) -> tuple[int, int] | None:
    """Two numbers joined by x or -, or None."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[xX-](\d+)", text)
    if not match:
        raise typer.BadParameter(f"{flag} must be {form}, got {text!r}")
    return int(match[1]), int(match[2])


def _progress() -> Any:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
