"""Checkpoints: everything a run needs to go on exactly, in files that are whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from dld_core.errors import TrainingError
from dld_core.training.config import MAY_CHANGE, TrainConfig

FORMAT = 1


def folder_of(out: Path) -> Path:
    return out / "checkpoints"


def saved(out: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(folder_of(out).glob("step_*.pt"))


def save(out: Path, content: dict[str, Any], keep: int) -> Path:
    """Write one and delete all but the newest `keep`."""
    folder = folder_of(out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{content['step']:09d}.pt"
    partial = path.with_suffix(".tmp")
    torch.save({"format": FORMAT, **content}, partial)
    partial.replace(path)
    for old in saved(out)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> dict[str, Any]:
    """Read one; only tensors and plain values are unpickled. Raises TrainingError."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be read ({error}); delete it to use an older one"
        ) from error
    if content.get("format") != FORMAT:
        raise TrainingError(f"{path} is a checkpoint of another version; start anew with 'init: {path}'")
    return content


def dump_config(config: TrainConfig) -> str:
    return json.dumps(config.model_dump(mode="json", serialize_as_any=True), sort_keys=True)


def check_config(path: Path, stored: str, config: TrainConfig) -> None:
    """Raises TrainingError when a setting differs that decides what is learnt."""
    old, new = json.loads(stored), json.loads(dump_config(config))
    # A selector that does not learn in the loop is made when the run is over.
    free = MAY_CHANGE if new.get("joint") else MAY_CHANGE | {"selector"}
    changed = sorted(k for k in old.keys() | new.keys() if k not in free and old.get(k) != new.get(k))
    if changed:
        details = "; ".join(f"{k} was {json.dumps(old.get(k))}, is {json.dumps(new.get(k))}" for k in changed)
        raise TrainingError(
            f"{path} is of a run with other settings ({details[:600]}); put them back to resume, or start a "
            f"new run in another folder with 'init: {path}'"
        )
