"""A batch in a file, for looking at one that went wrong."""

from __future__ import annotations

from pathlib import Path

import torch

from dld_core.errors import DataError
from dld_core.types import Batch


def save_batch(batch: Batch, path: Path) -> Path:
    """Store a batch as tensors and plain values, nothing that needs trust to be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cpu = batch.to("cpu")
    content = {"images": cpu.images, "polygons": cpu.polygons, "texts": cpu.texts, "ignore": cpu.ignore}
    torch.save({**content, "names": cpu.names}, path)
    return path


def load_batch(path: str | Path) -> Batch:
    """Read a batch of `save_batch`. Raises DataError."""
    try:
        return Batch(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise DataError(
            f"{path} does not hold a batch ({error}); give a file nan_batch_*.pt of a run"
        ) from error
