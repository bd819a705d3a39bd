"""The cross-framework study: any systems on any sets, at fixed scales and at scales that a selector decides.

In: a `StudyConfig`. Out: tables and plots in a folder. Others call `study` (`dld study`), `ablation.ablate`
(`dld ablate`) and `bench.bench` (`dld bench`).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from dld_core.evaluation import Lexicons, Protocol, read_ground_truth
from dld_core.evaluation.reading import annotated_images
from dld_core.study import report, table
from dld_core.study.config import SetConfig, StudyConfig, SystemConfig
from dld_core.study.memory import memory_of
from dld_core.study.readings import System, read_set, settings_of

__all__ = ["SetConfig", "StudyConfig", "SystemConfig", "study"]


def study(
    config: StudyConfig,
    out: Path,
    track: Callable[[Iterable[Any]], Iterable[Any]] = lambda items: items,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Read what was not read yet, write the tables into `out`, and return their rows.

    Args:
        config: what to read with what.
        out: folder; the readings of each set are kept in `out/readings`.
        track: wraps the images that are left, for a progress bar.
        say: is told what is going on.

    Raises:
        ConfigError: the folder holds readings under other settings, or a part is configured wrongly.
        DataError: a set has no images or is malformed.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    protocol = Protocol.parse({"iou": config.iou}, "study")
    sets = {}
    for name, settings in config.sets.items():  # before anything is read, so that a wrong path shows now
        truth = read_ground_truth(Path(settings.gt), "auto", settings.format)
        files, _ = annotated_images(Path(settings.images), truth)
        lexicons = {key: Lexicons.read(Path(path)) for key, path in settings.lexicons.items()}
        scorer = table.SetScorer(truth, lexicons, protocol)
        sets[name] = dict(list(files.items())[: settings.limit]), scorer
    systems = [System(name, settings, config.device) for name, settings in config.systems.items()]
    found: list[dict[str, Any]] = []
    for name, (files, scorer) in sets.items():
        say(f"{name}: {len(files)} images, {sum(len(s.readers) for s in systems)} readings each")
        record = out / "readings" / f"{name}.jsonl"
        about = settings_of(config, name, systems)
        records = read_set(files, systems, record, about, track)
        rows = table.rows(name, records, scorer, config)
        if config.memory:
            say(f"{name}: peak memory of {len(systems)} systems")
            peaks = memory_of(config, files, record.with_suffix(".memory.json"), about)
            table.add_memory(rows, peaks)
        found += rows
    for path in report.write(found, out, _about(config), say):
        say(f"wrote {path}")
    return found


def _about(config: StudyConfig) -> dict[str, Any]:
    threads = config.threads or torch.get_num_threads()
    return {
        "conditions": (
            "One image at a time, pixels to words, all systems and scales of an image in turn; "
            f"{threads} threads (unless a system has its own) of {os.cpu_count()} on {platform.machine()}, "
            f"torch {torch.__version__}. "
            "GFLOPs: 1e9 FLOPs, a multiply-add counted as 2, the selector's included; 'of full': relative to "
            "the first system at its largest scale (mean time for latency). Intervals: 95%, percentile "
            "bootstrap over images, 1000 resamples, seed 0. Rows of a selector are put together from the "
            "readings at the scales it chose, with the time and FLOPs of choosing added. 'Fixed': what the "
            "first system's fixed scales reach at that cost. 'of oracle': how much was won of what the "
            "cross-run oracle wins over the system's own fixed scales. 'gain at equal time': over the best "
            "fixed scale of the same system, or mixture of two, that takes as long; interval over the same "
            "images, the mixture found anew in each resample. 'Beyond X': the h-mean less that of X at the "
            "same scale; interval over the same images."
        ),
        "lexicons": {name: list(settings.lexicons) for name, settings in config.sets.items()},
        "settings": config.model_dump(mode="json"),
    }
