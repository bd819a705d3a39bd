"""SKD: teaching a low-resolution student to read like its high-resolution teacher.

`distill(DistillConfig.load("distill.yaml"), out="runs/student")` is what `dld distill` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dld_core.distillation.config import DistillConfig
    from dld_core.distillation.engine import distill
    from dld_core.distillation.norms import match_norms, switch_norms, use_scale
    from dld_core.distillation.skd import SequentialDistiller, SKDConfig
    from dld_core.distillation.task import DistillTask
    from dld_core.distillation.teacher import FrozenTeacher, frozen_statistics

__all__ = [
    "DistillConfig",
    "DistillTask",
    "FrozenTeacher",
    "SKDConfig",
    "SequentialDistiller",
    "distill",
    "frozen_statistics",
    "match_norms",
    "switch_norms",
    "use_scale",
]

_HOMES = {
    "config": ("DistillConfig",),
    "engine": ("distill",),
    "norms": ("match_norms", "switch_norms", "use_scale"),
    "skd": ("SKDConfig", "SequentialDistiller"),
    "task": ("DistillTask",),
    "teacher": ("FrozenTeacher", "frozen_statistics"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import on first use: looking at the package loads no torch."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
