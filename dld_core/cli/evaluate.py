"""`dld evaluate`: score a backend or anyone's predictions by the Robust Reading rules."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from dld_core.cli.building import (
    MODEL_HELP,
    OPTION_FORM,
    OPTION_HELP,
    SCALE_DEFAULT,
    SCALE_HELP,
    ModelName,
    none,
    parse_scale,
    spotter_options,
)
from dld_core.evaluation import (
    EvaluationResult,
    ImageWords,
    LexiconRule,
    Lexicons,
    Protocol,
    align,
    read_ground_truth,
    read_predictions,
    score,
)
from dld_core.evaluation.curve import save, trace
from dld_core.evaluation.files import Layout
from dld_core.evaluation.fixed import FixedScale, parse_scales
from dld_core.evaluation.reading import annotated_images, read_all, write_predictions
from dld_core.evaluation.report import curve_table, lines, table, to_json
from dld_core.pipeline.request import Scale
from dld_core.pipeline.wrapper import DLDWrapper

T = TypeVar("T")

_BACKEND = "Backend"
_RULES = "Rules"


def evaluate(
    gt: Annotated[Path, typer.Option(help="Folder or zip of gt_img_N.txt or img_N.txt; or see --format.")],
    predictions: Annotated[
        Path | None, typer.Option(help="Folder or zip of img_N.txt or res_img_N.txt to score.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Images for --backend to read.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the scores as json.")] = False,
    backend: Annotated[
        str | None, typer.Option(help="The spotter to score.", rich_help_panel=_BACKEND)
    ] = None,
    weights: Annotated[
        str, typer.Option(help="bundled, a file, a folder, or none.", rich_help_panel=_BACKEND)
    ] = "bundled",
    option: Annotated[
        list[str] | None, typer.Option(help=OPTION_HELP, metavar=OPTION_FORM, rich_help_panel=_BACKEND)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0.", rich_help_panel=_BACKEND)] = "auto",
    model: Annotated[ModelName, typer.Option(help=MODEL_HELP, rich_help_panel=_BACKEND)] = "auto",
    scale: Annotated[
        str | None,
        typer.Option(help=SCALE_HELP, show_default=SCALE_DEFAULT, rich_help_panel=_BACKEND),
    ] = None,
    selector: Annotated[
        str, typer.Option(help="bundled, a file, or none.", rich_help_panel=_BACKEND)
    ] = "bundled",
    gamma: Annotated[
        float | None,
        typer.Option(
            help="Price of cost under --scale auto, see docs/resolution.md.", rich_help_panel=_BACKEND
        ),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(
            help="Fractions of the native size, as 0.3,0.5,1.0; the curve over them goes to --out.",
            rich_help_panel=_BACKEND,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for what was read (res_*.txt) or the curve.", rich_help_panel=_BACKEND),
    ] = None,
    iou: Annotated[
        float, typer.Option(help="A match needs an IoU above this.", rich_help_panel=_RULES)
    ] = 0.5,
    dont_care_overlap: Annotated[
        float | None,
        typer.Option(
            help="Detections with more of their area in a don't-care word do not count; --iou if not given.",
            rich_help_panel=_RULES,
        ),
    ] = None,
    word_spotting: Annotated[
        bool,
        typer.Option(
            "--word-spotting",
            help="Count detection and recognition on word spotting's words.",
            rich_help_panel=_RULES,
        ),
    ] = False,
    exact_coordinates: Annotated[
        bool,
        typer.Option(
            "--exact-coordinates", help="Do not cut coordinates to whole pixels.", rich_help_panel=_RULES
        ),
    ] = False,
    lexicon: Annotated[
        Path | None,
        typer.Option(help="A word list, or a folder or zip of one per image.", rich_help_panel=_RULES),
    ] = None,
    lexicon_distance: Annotated[
        str, typer.Option(help="Edit distance bridged: a number, third or none.", rich_help_panel=_RULES)
    ] = "third",
    lexicon_far: Annotated[
        str, typer.Option(help="Words with nothing near: keep or drop.", rich_help_panel=_RULES)
    ] = "keep",
    format: Annotated[
        str | None,
        typer.Option(
            help="Format of --gt: one of `dld data convert`, or auto; the txt of the challenge if not given.",
            rich_help_panel=_RULES,
        ),
    ] = None,
    layout: Annotated[
        Literal["auto", "quad", "polygon", "rectangle"],
        typer.Option(help="How the lines give places.", rich_help_panel=_RULES),
    ] = "auto",
    score_column: Annotated[
        bool,
        typer.Option(
            "--score-column", help="Predictions hold a score before the text.", rich_help_panel=_RULES
        ),
    ] = False,
) -> None:
    """Score predictions written by anyone, or a backend on images: detection, end-to-end, word spotting,
    recognition accuracy and 1-NED by the rules of the ICDAR 2015 challenge (see docs/evaluation.md).
    """
    if (predictions is None) == (backend is None):
        raise typer.BadParameter("give either --predictions, or --backend with --images")
    options = {"iou": iou, "dont_care_overlap": dont_care_overlap, "word_spotting": word_spotting}
    task = _Task(
        truth=read_ground_truth(gt, layout, format),
        protocol=Protocol.parse({**options, "whole_pixels": not exact_coordinates}, "the rules"),
        lexicons=Lexicons.read(lexicon) if lexicon else None,
        rule=_rule(lexicon_distance, lexicon_far),
    )
    if predictions is not None:
        _show(task.of_files(predictions, layout, score_column), json)
        return
    if images is None:
        raise typer.BadParameter("--backend needs --images, the folder that it reads")
    given: dict[str, Any] = {"model": model, "selector": none(selector), **spotter_options(option)}
    given |= {} if gamma is None else {"gamma": gamma}
    part = _Part(str(backend), none(weights), device, given)
    if scales is not None:
        rows, failed = task.curve(images, part, scales, out)
        _show_curve(rows, json)
    else:
        result, failed = task.of_backend(images, part, parse_scale(scale), out)
        _show(result, json)
    if failed:
        raise typer.Exit(1)


class _Part(NamedTuple):
    """What DLDWrapper loads."""

    backend: str
    weights: str | None
    device: str
    options: dict[str, Any]

    def open(self, **more: Any) -> DLDWrapper:
        """The wrapper."""
        return DLDWrapper(self.backend, self.weights, self.device, **self.options, **more)


@dataclass(frozen=True, slots=True)
class _Task:
    """The ground truth and the rules that everything is scored by."""

    truth: Mapping[str, ImageWords]
    protocol: Protocol
    lexicons: Lexicons | None
    rule: LexiconRule

    def of_files(self, predictions: Path, layout: Layout, scored: bool) -> EvaluationResult:
        return self.scored(align(self.truth, read_predictions(predictions, layout, scored)))

    def of_backend(
        self, images: Path, part: _Part, scale: Scale | None, out: Path | None
    ) -> tuple[EvaluationResult, int]:
        """The result, and how many images could not be read; those are left out of it."""
        files, unknown = annotated_images(images, self.truth)
        if unknown:
            _say(f"{len(unknown)} images without ground truth are left out ({', '.join(unknown[:3])})")
        with part.open(scale=scale) as wrapper:
            scale = wrapper.scale
            readings = read_all(files, wrapper.spot, _progress)
        if out is not None:
            write_predictions(out, readings)
        extras = {"backend": part.backend, "weights": wrapper.weights, "scale": scale, **readings.cost()}
        return self.without(readings.errors).scored(readings.words, extras), _report(readings.errors, files)

    def without(self, names: Collection[str]) -> _Task:
        """The same task less some images."""
        return replace(self, truth={name: w for name, w in self.truth.items() if name not in names})

    def scored(
        self, words: Mapping[str, ImageWords], extras: dict[str, Any] | None = None
    ) -> EvaluationResult:
        """The scores of what was read."""
        return score(self.truth, words, self.protocol, self.lexicons, self.rule, extras)

    def curve(
        self, images: Path, part: _Part, scales: str, out: Path | None
    ) -> tuple[list[dict[str, Any]], int]:
        """The scores of every scale, csv, json and plot of which go to `out`, and how many images failed."""
        chosen, errors = parse_scales(scales), dict[str, str]()
        files, _ = annotated_images(images, self.truth)
        with part.open() as wrapper:
            readers = [FixedScale(wrapper.spotter, scale) for scale in chosen]
            points = trace(
                readers, files, lambda words: self.without(errors).scored(words), errors, _progress
            )
            about = {"backend": part.backend, "weights": wrapper.weights, "device": wrapper.device}
        if out is not None:
            for path in save(points, out, about, _say):
                _say(f"wrote {path}")
        return [point.row() for point in points], _report(errors, files)


def _report(errors: Mapping[str, str], files: Mapping[str, Path]) -> int:
    """Say which images could not be read; how many."""
    for name, error in errors.items():
        _say(f"{files[name]}: {error}")
    return len(errors)


def _show_curve(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    Console(highlight=False, width=110).print(curve_table(rows))  # too wide for a pipe's 80 columns


def _rule(distance: str, far: str) -> LexiconRule:
    limit: int | str = int(distance) if distance.isdigit() else distance
    return LexiconRule.parse({"max_distance": limit, "far": far}, "--lexicon-distance and --lexicon-far")


def _progress(items: Iterable[T]) -> Iterable[T]:
    """A progress bar on stderr."""
    return track(list(items), description="reading", console=Console(stderr=True))


def _say(text: str) -> None:
    typer.echo(f"dld: {text}", err=True)


def _show(result: EvaluationResult, as_json: bool) -> None:
    if as_json:
        typer.echo(to_json(result))
        for note in result.notes:
            _say(note)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(table(result))
    for line in lines(result):
        console.print(line, markup=False)
