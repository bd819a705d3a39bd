"""PP-OCR as PyTorch modules made from the ONNX graphs that its wheels carry: an engine that can be distilled.

Its names are imported on first use: looking at the package loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dld_plugins.ppocr.config import PPOCRConfig
    from dld_plugins.ppocr.spotter import PPOCRSpotter

__all__ = ["PPOCRConfig", "PPOCRSpotter"]

_HOMES = {"PPOCRConfig": "config", "PPOCRSpotter": "spotter"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
