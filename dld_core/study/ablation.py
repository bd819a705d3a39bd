"""Ablations: one `dld distill` config, run once for each change to it, and a study of what came out.

    base: segmentation-small-student.yaml       # beside this file
    change: {schedule: steps, steps: 300}       # in all runs
    variants:
      all terms: {}
      no features: {distiller_options: {roi_features: 0, context: 0}}
    sets: {val: {images: data/val/images, gt: data/val/gt}}

A base without `data` makes selectors: they share one reading of the images, and choose for the same spotter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from dld_core.config import PartConfig, read_yaml
from dld_core.errors import ConfigError
from dld_core.pipeline.folder import SELECTOR_FILE
from dld_core.study import study
from dld_core.study.config import DEFAULT_GAMMAS, SetConfig, StudyConfig, SystemConfig, checked_prices
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.engine import distill
from dld_core.training.selector.config import SelectorRunConfig
from dld_core.training.selector.making import is_made, run_selector

Say = Callable[[str], None]
Track = Callable[[Iterable[Any]], Iterable[Any]]
TEACHER = "teacher"


class AblationConfig(PartConfig):
    """What is changed, and on what it is judged.

    Attributes:
        base: path of a `dld distill` config, absolute or from the folder of this file.
        change: laid over it in all runs; mappings are merged, anything else is replaced.
        variants: name -> what is laid over that in one run; students are compared with the first.
        sets: annotated images to read.
        scales: at which students are read, fractions of the reference short side.
        gammas: prices at which selectors choose.
        threads: of the CPU, while reading.
        device: "auto", "cpu", "cuda:0".
    """

    base: str
    change: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any] | None]
    sets: dict[str, SetConfig]
    scales: tuple[float, ...] = (0.5, 0.7, 1.0)
    gammas: tuple[float, ...] = DEFAULT_GAMMAS
    threads: int | None = Field(default=None, ge=1)
    device: str = "auto"

    @field_validator("gammas")
    @classmethod
    def _prices(cls, gammas: tuple[float, ...]) -> tuple[float, ...]:
        return checked_prices(gammas)

    @field_validator("variants")
    @classmethod
    def _told_apart(cls, variants: dict[str, Any]) -> dict[str, Any]:
        folders = [folder_name(name) for name in variants]
        if not variants or TEACHER in variants or len(set(folders)) < len(folders) or "" in folders:
            raise ValueError(
                "name one or more variants, with letters or digits that tell them apart; 'teacher' is taken"
            )
        return variants

    def runs(self, where: Path) -> dict[str, dict[str, Any]]:
        """The settings of each run, not checked yet. `where` is the folder that `base` starts from."""
        base = merged(read_yaml(where / self.base), self.change)
        return {name: merged(base, change or {}) for name, change in self.variants.items()}


def folder_name(variant: str) -> str:
    """Where a variant's run goes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", variant).strip("-.")


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, mappings merged key by key."""
    both = {key: value for key, value in change.items() if key not in base}
    for key, value in base.items():
        new = change.get(key, value)
        both[key] = merged(value, new) if isinstance(value, Mapping) and isinstance(new, Mapping) else new
    return both


def ablate(
    path: Path,
    out: Path,
    track: Track = lambda items: items,
    say: Say = lambda _: None,
) -> list[dict[str, Any]]:
    """Run every variant that is not done yet, then study them all; the study's rows.

    Args:
        path: an AblationConfig as YAML.
        out: folder: a run for each variant, then the tables of the study.
        track: wraps the images of the study that are left, for a progress bar.
        say: is told what is going on.

    Raises:
        ConfigError, DataError, TrainingError, ...: as of `dld distill` and `dld study`.
    """
    config = AblationConfig.load(path)
    runs = config.runs(path.parent)
    kinds = {"data" in values for values in runs.values()}
    if len(kinds) > 1:
        raise ConfigError(f"{path}: all variants must have 'data' (students) or none of them (selectors)")
    compare = _students if kinds.pop() else _selectors
    systems = compare(config, runs, out, say)
    first = next(iter(runs))
    settings = StudyConfig(
        sets=config.sets,
        systems=systems,
        threads=config.threads,
        device=config.device,
        against=first if first in systems else None,  # selectors are one system, with a choice each
    )
    return study(settings, out, track, say)


def _students(
    config: AblationConfig, runs: Mapping[str, dict[str, Any]], out: Path, say: Say
) -> dict[str, SystemConfig]:
    """Teach the students; the teacher and they, as systems."""
    settings = {name: DistillConfig.parse(values, where=f"variant {name!r}") for name, values in runs.items()}
    first = next(iter(settings.values()))
    systems = {
        TEACHER: SystemConfig(
            backend=first.teacher_backend,
            weights=first.teacher.weights,
            options=first.teacher_options,
            student=False,
            selector=None,
            scales=config.scales,
        )
    }
    for name, run in settings.items():
        folder = out / folder_name(name)
        say(f"student {name!r}, in {folder}")
        result = distill(run, folder, resume=True, log=say)
        if result.reason == "interrupted":
            raise KeyboardInterrupt
        systems[name] = SystemConfig(
            backend=run.backend,
            weights=str(result.weights),
            options=run.options,
            student=False,
            selector=None,
            scales=config.scales,
        )
    return systems


def _selectors(
    config: AblationConfig, runs: Mapping[str, dict[str, Any]], out: Path, say: Say
) -> dict[str, SystemConfig]:
    """Make the selectors; their spotter, as one system that they all choose for."""
    settings = {
        name: SelectorRunConfig.parse(values, where=f"variant {name!r}") for name, values in runs.items()
    }
    first = next(iter(settings.values()))
    if any(
        (s.backend, s.weights, s.options) != (first.backend, first.weights, first.options)
        for s in settings.values()
    ):
        raise ConfigError("selectors are compared for one spotter; give all variants the same backend")
    files = {}
    for name, run in settings.items():
        folder = out / folder_name(name)
        files[name] = str(folder / SELECTOR_FILE)
        if not is_made(run.selector, folder):
            say(f"selector {name!r}, in {folder}")
            run_selector(run, folder, say, measured_in=out / "measured")
    scales = sorted({scale for run in settings.values() for scale in run.selector.scales})
    return {
        first.backend: SystemConfig(
            backend=first.backend,
            weights=first.weights,
            options=first.options,
            selector=None,
            selectors=files,
            scales=tuple(scales),
            gammas=config.gammas,
        )
    }
