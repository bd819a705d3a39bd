"""DRS, the dynamic resolution selector, at work: at which scale will this image still be read right?

In: an image. Out: a scale, the expected loss in words at each, and what choosing cost. `thumbnail` makes
what the selector sees, `network` is the bundled selector, `policy` turns expected loss and prices into a
scale, and `dynamic` does all of it for one image. Others call `DynamicResolution`, `find_selector`,
`load_selector` and `save_selector`; all of them take any `ResolutionSelector` and any `Spotter`.
"""

from dld_core.interfaces import SelectorConfig
from dld_core.selection.dynamic import DynamicResolution, ScaleDecision
from dld_core.selection.file import load_selector, save_selector
from dld_core.selection.find import find_selector
from dld_core.selection.network import DenseConfig, DenseSelector
from dld_core.selection.policy import Policy

__all__ = [
    "DenseConfig",
    "DenseSelector",
    "DynamicResolution",
    "Policy",
    "ScaleDecision",
    "SelectorConfig",
    "find_selector",
    "load_selector",
    "save_selector",
]
