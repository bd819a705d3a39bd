"""Mask R-CNN text spotter: proposals, boxes, masks, and a recogniser reading along the mask's polygon."""

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.spotter import MaskRCNNSpotter

__all__ = ["MaskRCNNConfig", "MaskRCNNSpotter"]
