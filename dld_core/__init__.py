"""Dynamic Low-Resolution Distillation for any scene-text spotter.

    from dld_core import DLDWrapper
    page = DLDWrapper(backend="maskrcnn").spot("street.jpg")

Every public name is imported on first use (PEP 562), so `import dld_core` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dld_core.config import PartConfig as PartConfig
    from dld_core.errors import BrokenPluginError as BrokenPluginError
    from dld_core.errors import ConfigError as ConfigError
    from dld_core.errors import DataError as DataError
    from dld_core.errors import DeviceError as DeviceError
    from dld_core.errors import DLDError as DLDError
    from dld_core.errors import DuplicatePartError as DuplicatePartError
    from dld_core.errors import ImageError as ImageError
    from dld_core.errors import MissingExtraError as MissingExtraError
    from dld_core.errors import TrainingError as TrainingError
    from dld_core.errors import UnknownPartError as UnknownPartError
    from dld_core.errors import WeightsError as WeightsError
    from dld_core.interfaces import Distiller as Distiller
    from dld_core.interfaces import ResolutionSelector as ResolutionSelector
    from dld_core.interfaces import SequenceDecoder as SequenceDecoder
    from dld_core.interfaces import Spotter as Spotter
    from dld_core.interfaces import TrainableSpotter as TrainableSpotter
    from dld_core.pipeline.wrapper import DLDWrapper as DLDWrapper
    from dld_core.plugins.hookspecs import hookimpl as hookimpl
    from dld_core.results.page import Page as Page
    from dld_core.types import Batch as Batch
    from dld_core.types import DenseMap as DenseMap
    from dld_core.types import Hypotheses as Hypotheses
    from dld_core.types import RecognitionTrace as RecognitionTrace
    from dld_core.types import Sample as Sample
    from dld_core.types import TrainOutput as TrainOutput
    from dld_core.types import Word as Word

    __version__: str

_HOMES = {
    "config": ("PartConfig",),
    "errors": (
        "BrokenPluginError",
        "ConfigError",
        "DLDError",
        "DataError",
        "DeviceError",
        "DuplicatePartError",
        "ImageError",
        "MissingExtraError",
        "TrainingError",
        "UnknownPartError",
        "WeightsError",
    ),
    "plugins.hookspecs": ("hookimpl",),
    "interfaces": ("Distiller", "ResolutionSelector", "SequenceDecoder", "Spotter", "TrainableSpotter"),
    "types": (
        "Batch",
        "DenseMap",
        "Hypotheses",
        "RecognitionTrace",
        "Sample",
        "TrainOutput",
        "Word",
    ),
    "pipeline.wrapper": ("DLDWrapper",),
    "results.page": ("Page",),
}
_HOME_OF = {name: f"dld_core.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'dld_core' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dld")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"
