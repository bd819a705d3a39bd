"""Segmentation text spotter: a map of text, regions cut from it, and a CTC recogniser reading along each.

Its names are imported on first use: cutting regions from a map needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dld_backends.segmentation.config import SegmentationConfig
    from dld_backends.segmentation.spotter import SegmentationSpotter

__all__ = ["SegmentationConfig", "SegmentationSpotter"]

_HOMES = {"SegmentationConfig": "config", "SegmentationSpotter": "spotter"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
