"""`dld bench`: FLOPs, latency and memory per scale, side by side in one run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dld_core.cli.building import OPTION_FORM, OPTION_HELP, none, spotter_options
from dld_core.evaluation.fixed import parse_scales
from dld_core.images import list_images, open_image
from dld_core.pipeline.wrapper import DLDWrapper
from dld_core.runtimes.devices import cpu_threads
from dld_core.study.bench import ScaleCost, readers_of
from dld_core.study.bench import bench as measure


def bench(
    backend: Annotated[str, typer.Option(help="The spotter to measure.")],
    images: Annotated[str, typer.Option(help="Image, folder or pattern.")],
    scales: Annotated[
        str, typer.Option(help="Fractions, with commas between.")
    ] = "0.3,0.4,0.5,0.6,0.7,0.8,1.0",
    relative_to: Annotated[
        Literal["native", "reference"],
        typer.Option(help="Fractions of the image's own size, or of the spotter's reference size."),
    ] = "native",
    weights: Annotated[str, typer.Option(help="bundled, a file, a folder, or none.")] = "bundled",
    selector: Annotated[str, typer.Option(help="bundled, a file, or none.")] = "bundled",
    option: Annotated[list[str] | None, typer.Option(help=OPTION_HELP, metavar=OPTION_FORM)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0.")] = "auto",
    limit: Annotated[int, typer.Option(min=1, help="Use at most so many images.")] = 8,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds over all images.")] = 3,
    warmup: Annotated[int, typer.Option(min=0, help="Untimed reads per scale.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; as many as torch takes if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print json.")] = False,
) -> None:
    """Count the FLOPs of real runs and time them, everything included: resizing, trunk, heads, recogniser.

    All scales of an image are read in turn, so that a noisy machine hurts them alike; with a selector, the
    row `auto` is its choice.
    """
    chosen = parse_scales(scales)
    loads = [partial(open_image, path) for path in list_images(images)[:limit]]
    with (
        cpu_threads(threads) as number,  # before the spotter: engines take their threads when they are made
        DLDWrapper(
            backend, none(weights), device, selector=none(selector), **spotter_options(option)
        ) as wrapper,
    ):
        readers = readers_of(wrapper, chosen, relative_to)
        costs = measure(readers, loads, repeats, warmup, wrapper.device, _progress)
        about = {
            "backend": backend,
            "weights": wrapper.weights,
            "device": wrapper.device,
            "threads": number,
            "images": len(loads),
            "repeats": repeats,
            "warmup": warmup,
            "relative_to": relative_to,
        }
    _print_json(about, costs) if json else _print_table(about, costs)


def _progress(rounds: Iterable[int]) -> Iterable[int]:
    return track(list(rounds), description="measuring", console=Console(stderr=True))


def _print_json(about: dict[str, Any], costs: list[ScaleCost]) -> None:
    unit = {
        "gflops": "1e9 FLOPs counted on real runs, a multiply-add as 2",
        "gmacs": "1e9 multiply-adds",
        "gelements": "1e9 elements through operators without FLOPs (activations, norms, pooling, copies)",
        "latency": "one image at a time, from decoded pixels to words",
        "memory": "MB (1e6 bytes), peak resident memory of the whole process",
    }
    typer.echo(json.dumps({**about, "unit": unit, "scales": [cost.as_dict() for cost in costs]}, indent=2))


def _print_table(about: dict[str, Any], costs: list[ScaleCost]) -> None:
    console = Console(highlight=False, width=110, soft_wrap=True)  # too wide for a pipe's 80 columns
    console.print(_table(costs))
    console.print(
        f"{about['backend']} ({about['weights']}) on {about['device']}, {about['threads']} threads, "
        f"{about['images']} images x {about['repeats']} rounds after {about['warmup']} warm-up; scales of "
        f"the {about['relative_to']} size; FLOPs are 1e9, a multiply-add as 2 (GMACs: multiply-adds); "
        "latency from decoded pixels to words; memory of the whole process",
        markup=False,
    )


_COLUMNS: dict[str, Callable[[ScaleCost], str]] = {
    "scale": lambda cost: cost.scale if isinstance(cost.scale, str) else f"{cost.scale:g}",
    "size": lambda cost: f"{cost.width:.0f}x{cost.height:.0f}",
    "words": lambda cost: f"{cost.words:.1f}",
    "GFLOPs": lambda cost: _number(cost.gflops),
    "GMACs": lambda cost: _number(cost.gmacs),
    "declared": lambda cost: _number(cost.gflops_declared) if cost.declared_differs else "",
    "median ms": lambda cost: f"{cost.latency_ms_median:.0f}",
    "p95 ms": lambda cost: f"{cost.latency_ms_p95:.0f}",
    "images/s": lambda cost: f"{cost.images_per_second:.2f}",
    "MB": lambda cost: f"{cost.peak_memory_mb:.0f}",
    "GPU MB": lambda cost: _number(cost.device_memory_mb),
}


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def _table(costs: list[ScaleCost]) -> Table:
    """Only the columns that say something: "declared" where it is off by over 1%, "GPU MB" on a GPU."""
    view = Table(box=None, pad_edge=False)
    empty = ("", "-")
    shown = {
        name: cell
        for name, cell in _COLUMNS.items()
        if name not in ("declared", "GPU MB") or any(cell(cost) not in empty for cost in costs)
    }
    for name in shown:
        view.add_column(name, justify="right")
    for cost in costs:
        view.add_row(*(cell(cost) for cell in shown.values()))
    return view
