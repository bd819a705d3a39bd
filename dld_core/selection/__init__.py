"""DRS, the dynamic resolution selector, at work: at which scale will this image still be read right?

In: an image and a `Policy`. Out: a `ScaleDecision`: a scale, the expected loss in words at each, what the
decision cost. Others call `DynamicResolution`, `CostModel`, `find_selector`, `load_selector` and
`save_selector`, which take any `ResolutionSelector` and `Spotter`; `DenseSelector` is the one that ships.
"""

from dld_core.interfaces import SelectorConfig
from dld_core.selection.dynamic import DynamicResolution, ScaleDecision
from dld_core.selection.file import load_selector, save_selector
from dld_core.selection.find import find_selector
from dld_core.selection.forecast import CostModel, Forecast
from dld_core.selection.network import DenseConfig, DenseSelector
from dld_core.selection.policy import Policy

__all__ = [
    "CostModel",
    "DenseConfig",
    "DenseSelector",
    "DynamicResolution",
    "Forecast",
    "Policy",
    "ScaleDecision",
    "SelectorConfig",
    "find_selector",
    "load_selector",
    "save_selector",
]
