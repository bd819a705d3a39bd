"""Training: one loop for a CPU, one GPU and several, and what it can teach.

In: a `TrainConfig`, a `DistillConfig`, a `SelectorRunConfig`. Out: a run folder with weights. Others call
`train` (`dld train`); `distill` teaches a student, `selector` makes a selector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dld_core.training.config import TrainConfig
    from dld_core.training.engine import TrainResult, train

__all__ = ["TrainConfig", "TrainResult", "train"]

_HOMES = {"TrainConfig": "config", "TrainResult": "engine", "train": "engine"}


def __getattr__(name: str) -> Any:
    """Import on first use: looking at the package loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
