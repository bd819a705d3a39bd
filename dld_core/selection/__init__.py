"""DRS at work: a thumbnail, the loss expected at each scale, a policy under a budget, one scale.

In: an image and a `Policy`. Out: a `ScaleDecision`. Others call `DynamicResolution`, `CostModel`,
`load_selector`, `save_selector`; `DenseSelector` is the selector that ships.
"""

from dld_core.selection.config import SelectorConfig
from dld_core.selection.dynamic import DynamicResolution, ScaleDecision
from dld_core.selection.file import load_selector, save_selector
from dld_core.selection.forecast import CostModel, Forecast
from dld_core.selection.network import DenseSelector
from dld_core.selection.policy import Policy

__all__ = [
    "CostModel",
    "DenseSelector",
    "DynamicResolution",
    "Forecast",
    "Policy",
    "ScaleDecision",
    "SelectorConfig",
    "load_selector",
    "save_selector",
]
