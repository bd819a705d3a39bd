"""Polygons of words, in pixels: their area and order, offsets, and bands along curved text.

In: points [n, 2], clockwise from the start of the text. Out: the same.
Others call `polygons`, `ribbon`, `offsets`.
"""

from dld_core.geometry.polygons import (
    area,
    as_polygon,
    box_of,
    clip_to_image,
    clockwise,
    iou,
    is_clockwise,
    min_area_rectangle,
    order_ends,
    order_polygon,
    rectangle_sides,
    resample_sides,
    scale,
    signed_area,
)

__all__ = [
    "area",
    "as_polygon",
    "box_of",
    "clip_to_image",
    "clockwise",
    "iou",
    "is_clockwise",
    "min_area_rectangle",
    "order_ends",
    "order_polygon",
    "rectangle_sides",
    "resample_sides",
    "scale",
    "signed_area",
]
