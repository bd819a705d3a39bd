"""Segmentation text spotter: a map of text, regions cut from it, and a CTC recogniser reading along each."""

from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.spotter import SegmentationSpotter

__all__ = ["SegmentationConfig", "SegmentationSpotter"]
