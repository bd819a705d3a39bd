"""From a probability map to the polygons of words. Free of torch, and of loops over pixels.

Points run clockwise from the start of the text, in pixels of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from dld_core.geometry.offsets import Points, offset, unclip_distance
from dld_core.geometry.polygons import SAME_LEVEL, TALL
from dld_core.geometry.ribbon import ribbon

Contour = NDArray[Any]  # int32 [n, 1, 2], as OpenCV gives them

_CANDIDATES = 4  # times as many regions as may be returned are measured, the largest
_REACH = 0.75  # positions by which a region is longer than its outermost centres are apart
_LONG = 2.5  # times more variance along than across lets the variance tell the direction
_BENT_FILL = 0.6  # a region that fills less of its rectangle
_BENT_BY = 2.0  # and is wider than its mean width by more positions than rounding explains
_BENT_LENGTH = 3.0  # and is this many times longer than high is bent
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class RegionOptions:
    """How regions are cut from a map; see `SegmentationConfig`, whose fields these are."""

    map_stride: int = 1
    shrink_ratio: float = 0.4
    map_threshold: float = 0.3
    region_threshold: float = 0.5
    unclip: float = 1.0
    outline: str = "curved"
    curve_points: int = 7
    min_side: float = 3.0
    max_words: int = 3000


def find_regions(
    probability: NDArray[np.float32], options: RegionOptions
) -> tuple[list[Points], list[float]]:
    """Polygons of words and the mean probability of text inside each, best first.

    Args:
        probability: [H/s, W/s] in [0, 1], at the map stride s.

    Returns:
        Polygons [4, 2], or [2 * curve_points, 2] for bent words, and as many scores in [0, 1].
    """
    contours = _contours(probability > options.map_threshold, _CANDIDATES * options.max_words)
    if not contours:
        return [], []
    found = _measure(probability, contours)
    boxes = _boxes(found, contours)
    outlines = [cv2.approxPolyDP(c, 1.0, True) if len(c) > 4 else c for c in contours]
    half = np.array([cv2.arcLength(o, True) for o in outlines]) / 2 + 2  # they join centres of positions
    bent = boxes.bent & _long(found.area, half)
    perimeter = 2 * np.where(bent, half, boxes.sides.sum(1))
    growth = options.unclip * unclip_distance(found.area, perimeter, options.shrink_ratio)
    grown = boxes.sides + 2 * growth[:, None]
    kept = _best(found.score, grown.min(1) * options.map_stride, options)
    polygons = list(_corners(boxes.centres[kept], grown[kept], boxes.axes[kept]))
    for place in np.flatnonzero(bent[kept]) if options.outline == "curved" else ():
        index = kept[place]
        band = _band(outlines[index], found.area[index], half[index], growth[index], options.curve_points)
        polygons[place] = polygons[place] if band is None else band
    stride = options.map_stride
    return [np.asarray((p + 0.5) * stride, np.float32) for p in polygons], found.score[kept].tolist()


def _best(
    scores: NDArray[np.float64], sides: NDArray[np.float64], options: RegionOptions
) -> NDArray[np.intp]:
    """Indices of the regions that are sure and wide enough, best first."""
    kept = np.flatnonzero((scores >= options.region_threshold) & (sides >= options.min_side))
    return kept[np.argsort(-scores[kept], kind="stable")][: options.max_words]


def _contours(text: NDArray[np.bool_], limit: int) -> list[Contour]:
    """The outer contours of the connected regions, the largest where there are too many.

    Those of regions inside a hole of another are outer ones too: words in a ring of text.
    """
    contours, tree = cv2.findContours(text.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer: list[Contour] = [
        c for c, node in zip(contours, () if tree is None else tree[0], strict=True) if node[3] < 0
    ]
    return outer if len(outer) <= limit else sorted(outer, key=cv2.contourArea)[-limit:]


class Measures(NamedTuple):
    """Of R regions, in positions of the map.

    Attributes:
        score: mean probability [R].
        area: [R], the sum of probabilities: parts of positions count as parts.
        centre: of that mass, [R, 2].
        spread: its covariance [R, 2, 2].
    """

    score: NDArray[np.float64]
    area: NDArray[np.float64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]


def _measure(probability: NDArray[np.float32], contours: Sequence[Contour]) -> Measures:
    # Zeros all round: windows at the border are like any other. (cv2.moments takes two columns for points.)
    framed = np.asarray(cv2.copyMakeBorder(probability, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), np.float32)
    rows = np.array([_moments(framed, contour) for contour in contours])
    return Measures(rows[:, 0], rows[:, 1], rows[:, 2:4], rows[:, [4, 5, 5, 6]].reshape(-1, 2, 2))


def _moments(framed: NDArray[np.float32], contour: Contour) -> tuple[float, ...]:
    """Score, area, centre and spread of one region, its fading edge (one position) counted with it."""
    x, y, width, height = cv2.boundingRect(contour)
    left, top = x - 1, y - 1
    window = framed[y : y + height + 2, x : x + width + 2]
    mask = np.zeros(window.shape, np.uint8)
    cv2.drawContours(mask, [contour], 0, 1, cv2.FILLED, offset=(-left, -top))
    score = cv2.mean(window, mask)[0]
    m = cv2.moments(window * cv2.dilate(mask, _NEIGHBOURS))
    mass = m["m00"]
    centre = m["m10"] / mass + left, m["m01"] / mass + top
    return score, mass, *centre, m["mu20"] / mass, m["mu11"] / mass, m["mu02"] / mass


class Boxes(NamedTuple):
    """Rectangles of R regions: centres [R, 2], sides [R, 2], unit axes [R, 2, 2] (rows along the sides), and
    whether the region leaves much of it empty [R]."""

    centres: NDArray[np.float64]
    sides: NDArray[np.float64]
    axes: NDArray[np.float64]
    bent: NDArray[np.bool_]


def _boxes(found: Measures, contours: Sequence[Contour]) -> Boxes:
    """The first side as long as the contour reaches; the second as wide as the region is on average.

    Regions are a few positions high, and the height of a word is a multiple of theirs: the outermost
    positions, which rounding puts up to one further out, would make words of 8 pixels a third too high. A
    bent region alone is as wide as it reaches.
    """
    axes = _axes(found.spread, contours)
    low, high = _reach(found.centre, axes, contours)
    reach = high - low + _REACH
    order = np.argsort(-reach, 1)  # the longer side first
    axes = np.take_along_axis(axes, order[:, :, None], 1)
    reach, middle = (np.take_along_axis(v, order, 1) for v in (reach, (low + high) / 2))
    width = np.minimum(found.area / reach[:, 0], reach[:, 1])
    bent = (width < _BENT_FILL * reach[:, 1]) & (reach[:, 1] - width > _BENT_BY)
    middle[:, 1] *= bent  # the mass tells the middle of a straight region
    sides = np.stack([reach[:, 0], np.where(bent, reach[:, 1], width)], 1)
    return Boxes(found.centre + (middle[:, :, None] * axes).sum(1), sides, axes, bent)


def _axes(spread: NDArray[np.float64], contours: Sequence[Contour]) -> NDArray[np.float64]:
    """Directions [R, 2, 2] of the sides: of the largest variance, or of the smallest rectangle for stout
    regions, whose variance tells none."""
    variance, vectors = np.linalg.eigh(spread)
    stout = np.array([np.radians(cv2.minAreaRect(c)[2]) for c in contours])
    angle = np.where(
        variance[:, 1] > _LONG * variance[:, 0], np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]), stout
    )
    return np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], 1).reshape(-1, 2, 2)


def _reach(
    centres: NDArray[np.float64], axes: NDArray[np.float64], contours: Sequence[Contour]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far contours reach from the centres along both axes, the least and the most, each [R, 2]."""
    counts = np.array([len(c) for c in contours])
    which = np.repeat(np.arange(len(contours)), counts)
    points = np.concatenate(contours)[:, 0] - centres[which]
    along = np.einsum("nij,nj->ni", axes[which], points)
    starts = np.cumsum(counts) - counts
    return np.minimum.reduceat(along, starts), np.maximum.reduceat(along, starts)


def _corners(
    centres: NDArray[np.float64], sides: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Corners [R, 4, 2] of rectangles, clockwise from the likely start of the text.

    The same as `dld_core.geometry.order_polygon` for all at once: text runs along the longer sides where
    they are TALL times the shorter or as level, else along the more level ones; right, or else down.
    """
    level = np.abs(axes[:, :, 0])
    longer = (sides.max(1) >= TALL * sides.min(1)) | (np.ptp(level, 1) < SAME_LEVEL)
    first = np.where(longer, np.argmax(sides, 1), np.argmax(level, 1))
    rows = np.arange(len(sides))
    along = axes[rows, first] * np.where(axes[rows, first] @ [1.0, 0.2] < 0, -1.0, 1.0)[:, None]
    down = np.stack([-along[:, 1], along[:, 0]], 1)
    half_along, half_down = along * sides[rows, first, None] / 2, down * sides[rows, 1 - first, None] / 2
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.stack([centres + a * half_along + d * half_down for a, d in signs], 1).astype(np.float32)


def _height(area: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of a ribbon of this area and half perimeter: area = height * (half - height)."""
    return np.asarray((half - np.sqrt(np.maximum(half**2 - 4 * area, 0))) / 2)


def _long(area: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.bool_]:
    height = _height(area, half)
    return np.asarray(half - height > _BENT_LENGTH * height)


def _band(outline: Contour, area: float, half: float, growth: float, points: int) -> Points | None:
    """The band along a bent region, grown back; None where it falls to pieces or crosses itself.

    The outline joins centres of positions. What lies beyond them is what its area lacks of the region's.
    """
    own = float(_height(np.array(cv2.contourArea(outline)), np.array(half - 2)))
    beyond = (float(_height(np.array(area), np.array(half))) - own) / 2
    grown = offset(outline.reshape(-1, 2).astype(np.float32), growth + beyond, pointed=True)
    if not grown:
        return None
    band = ribbon(max(grown, key=cv2.contourArea), points)
    return band if shapely.Polygon(band).is_valid else None
