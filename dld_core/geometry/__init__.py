"""Polygons of words, in pixels: their area and order, offsets, and bands along curved text.

In: points [n, 2], clockwise from the start of the text. Out: the same.
Others call `polygons`, `ribbon`, `offsets`.
"""

from dld_core.geometry.polygons import (
    area,
    as_polygon,
    clockwise,
    iou,
    is_clockwise,
    min_area_rectangle,
    order_polygon,
    signed_area,
)

__all__ = [
    "area",
    "as_polygon",
    "clockwise",
    "iou",
    "is_clockwise",
    "min_area_rectangle",
    "order_polygon",
    "signed_area",
]
