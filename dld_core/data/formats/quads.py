"""Four points for a polygon of any number, for formats and scripts that know no more."""

from __future__ import annotations

import numpy as np

from dld_core.data.formats.base import Losses
from dld_core.data.formats.coordinates import Polygon, bounds, rectangle
from dld_core.data.formats.model import signed_area


def to_quad(polygon: Polygon, losses: Losses, where: str = "") -> Polygon:
    """The polygon if it has four points, else its smallest enclosing rectangle of any angle (a noted loss).

    The corners go round as the polygon does and begin at the one nearest to its first point.
    """
    if len(polygon) == 4:
        return polygon
    losses.add("polygons reduced to 4 points", where)
    corners = _enclosing(polygon)
    if (signed_area(corners) < 0) != (signed_area(polygon) < 0):
        corners = corners[::-1]
    first = int(np.argmin(((corners - polygon[0]) ** 2).sum(axis=1)))
    return np.roll(corners, -first, axis=0)


def _enclosing(polygon: Polygon) -> Polygon:
    import shapely

    envelope = shapely.MultiPoint(polygon).minimum_rotated_rectangle
    if envelope.geom_type != "Polygon":  # all points on one line
        return rectangle(*bounds(polygon))
    return np.asarray(envelope.exterior.coords[:4], dtype=np.float64)
