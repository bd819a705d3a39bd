"""Checkpoints, with everything that a run needs to go on exactly, and batches that went wrong.

Files are whole or absent, and nothing but tensors and plain values is unpickled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from dld_core.config import PartConfig, replacing
from dld_core.errors import ConfigError, DataError, TrainingError
from dld_core.training.config import MAY_CHANGE, TrainConfig
from dld_core.types import Batch


class Checkpoint(PartConfig):
    """The state of a run after `step` steps.

    Attributes:
        model, ema: weights, and their running average after `ema_updates` steps.
        others: states of what learns beside the spotter, by name.
        optimizer: its state.
        step, data_index, words: steps taken, batches and words seen.
        best: the largest validation value so far.
        elapsed: seconds of running time.
        config: the settings, as `dump_config` gives them.
    """

    format: Literal[1] = 1
    model: dict[str, Any]
    ema: dict[str, Any]
    ema_updates: int
    others: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any]
    step: int = Field(ge=0)
    data_index: int = Field(ge=0)
    words: int
    best: float
    elapsed: float
    config: str


def saved(out: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted((out / "checkpoints").glob("step_*.pt"))


def save(out: Path, content: Checkpoint, keep: int) -> Path:
    """Write one and delete all but the newest `keep`. Raises OSError."""
    path = out / "checkpoints" / f"step_{content.step:09d}.pt"
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(dict(content), file)
    for old in saved(out)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> Checkpoint:
    """Read one. Raises TrainingError."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything for damaged files
        raise TrainingError(
            f"the checkpoint {path} cannot be read ({error}); delete it to use an older one"
        ) from error
    try:
        return Checkpoint.parse(content)
    except ConfigError as error:
        raise TrainingError(
            f"{path} is no checkpoint of this version ({error}); start anew with 'init: {path}'"
        ) from None


def dump_config(config: TrainConfig) -> str:
    """The settings as JSON text."""
    return json.dumps(config.model_dump(mode="json", serialize_as_any=True), sort_keys=True)


def check_config(path: Path, stored: str, config: TrainConfig) -> None:
    """Raises TrainingError when a setting differs that decides what is learnt."""
    try:
        old, new = dict(json.loads(stored)), json.loads(dump_config(config))
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path} is damaged ({error}); delete it to use an older one") from None
    # A selector that does not learn in the loop is made when the run is over.
    free = MAY_CHANGE if new.get("joint") else MAY_CHANGE | {"selector"}
    changed = sorted(k for k in old.keys() | new.keys() if k not in free and old.get(k) != new.get(k))
    if changed:
        details = "; ".join(f"{k} was {json.dumps(old.get(k))}, is {json.dumps(new.get(k))}" for k in changed)
        raise TrainingError(
            f"{path} is of a run with other settings ({details[:600]}); put them back to resume, or start a "
            f"new run in another folder with 'init: {path}'"
        )


def save_batch(batch: Batch, path: Path) -> Path:
    """Store a batch, for looking at what went wrong. Raises OSError."""
    cpu = batch.to("cpu")
    content = {"images": cpu.images, "polygons": cpu.polygons, "texts": cpu.texts, "ignore": cpu.ignore}
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save({**content, "names": cpu.names}, file)
    return path


def load_batch(path: str | Path) -> Batch:
    """Read a batch of `save_batch`. Raises DataError."""
    try:
        return Batch(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise DataError(
            f"{path} does not hold a batch ({error}); give a file nan_batch_*.pt of a run"
        ) from error
