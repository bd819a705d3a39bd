"""DRS, the dynamic resolution selector: at which scale will this image still be read right?

    measure     read images at every scale: the table that a selector learns from
    network     thumbnail -> words lost at every scale, with dense maps of text on the way
    fit         losses and training; `losses` holds the paper's decision loss and the exact one
    calibration scores put right on images that were not fitted
    policy      scores and prices -> a scale
    selection   all of it for one image, at inference
    oracle      what choosing could win
    training    `dld distill`'s section `selector`, from images to a file

Everything is generic over `Spotter`.
"""

from dld_core.selection.config import SelectorConfig
from dld_core.selection.dynamic import DynamicResolution, ScaleDecision
from dld_core.selection.file import load_selector, save_selector
from dld_core.selection.network import DenseSelector
from dld_core.selection.policy import Policy

__all__ = [
    "DenseSelector",
    "DynamicResolution",
    "Policy",
    "ScaleDecision",
    "SelectorConfig",
    "load_selector",
    "save_selector",
]
