"""From a flat canvas to the page: an optional bend, then a homography of a camera's view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arc:
    """Bends the canvas around a circle of this radius (canvas pixels); `up` 1 arches, -1 sags."""

    radius: float
    up: float

    def forward(self, points: Points) -> Points:
        """Canvas points [n, 2], relative to the canvas centre, to the bent plane."""
        angle, ring = points[:, 0] / self.radius, self.radius - self.up * points[:, 1]
        return np.stack([ring * np.sin(angle), self.up * (self.radius - ring * np.cos(angle))], axis=1)

    def backward(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Inverse of `forward`, on grids of coordinates."""
        depth = np.float32(self.radius) - np.float32(self.up) * y
        ring = np.hypot(x, depth)
        return np.arctan2(x, depth) * np.float32(self.radius), np.float32(self.up) * (
            np.float32(self.radius) - ring
        )


@dataclass(frozen=True, slots=True)
class Wave:
    """Lifts the baseline by a sine of this amplitude and wavelength (canvas pixels)."""

    amplitude: float
    wavelength: float
    phase: float

    def forward(self, points: Points) -> Points:
        """Canvas points [n, 2], relative to the canvas centre, to the bent plane."""
        lift = self.amplitude * np.sin(points[:, 0] * (2 * math.pi / self.wavelength) + self.phase)
        return np.stack([points[:, 0], points[:, 1] + lift], axis=1)

    def backward(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Inverse of `forward`, on grids of coordinates."""
        lift = self.amplitude * np.sin(x * np.float32(2 * math.pi / self.wavelength) + np.float32(self.phase))
        return x, y - lift.astype(np.float32)


Bend = Arc | Wave


def camera_view(
    *, roll: float, yaw: float, pitch: float, distance: float, stretch: tuple[float, float], shear: float
) -> NDArray[np.float64]:
    """The homography [3, 3] of a plane seen by a camera, origin kept at the origin.

    Args:
        roll, yaw, pitch: rotation in the image and out of it, radians.
        distance: of the camera, in pixels of the result; smaller means stronger perspective.
        stretch: scale in x and y, applied first.
        shear: slant to the right, applied first.
    """
    first = np.array([[stretch[0], -shear * stretch[1], 0], [0, stretch[1], 0], [0, 0, 1]])
    cos_y, sin_y, cos_p, sin_p = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    # Rows of R_pitch @ R_yaw applied to (x, y, 0); the third row gives the depth.
    plane = np.array([[cos_y, 0.0], [sin_p * sin_y, cos_p], [-cos_p * sin_y, sin_p]])
    view = np.array([[*plane[0], 0], [*plane[1], 0], [*(plane[2] / distance), 1]])
    cos_r, sin_r = math.cos(roll), math.sin(roll)
    return np.asarray(np.array([[cos_r, -sin_r, 0], [sin_r, cos_r, 0], [0, 0, 1]]) @ view @ first)


def shift(x: float, y: float) -> NDArray[np.float64]:
    """A translation, [3, 3]."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def project(matrix: NDArray[np.float64], points: Points) -> Points:
    """Points [n, 2] through a homography."""
    lifted = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(lifted[:, :2] / lifted[:, 2:])


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a canvas lies on the page.

    Attributes:
        size: width and height of the canvas.
        matrix: homography [3, 3] from the (bent) plane, origin at the canvas centre, to the page.
        bend: applied before the homography.
    """

    size: tuple[int, int]
    matrix: NDArray[np.float64]
    bend: Bend | None = None

    def points(self, points: Points) -> Points:
        """Canvas points [n, 2] -> page points."""
        centred = points - np.array(self.size) / 2
        return project(self.matrix, self.bend.forward(centred) if self.bend else centred)

    def moved(self, x: float, y: float) -> Geometry:
        """The same, shifted on the page."""
        return Geometry(self.size, shift(x, y) @ self.matrix, self.bend)

    def scaled(self, factor: float) -> Geometry:
        """The same, scaled about the page's origin."""
        return Geometry(self.size, np.diag([factor, factor, 1.0]) @ self.matrix, self.bend)

    def outline(self) -> Points:
        """The border of the canvas on the page: 4 points, or 24 where it is bent."""
        width, height = self.size
        return self.points(box_points((0.0, 0.0, float(width), float(height)), 12 if self.bend else 2))

    def window(self, page: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """Pixels (left, top, right, bottom) of a page (height, width) that the canvas may touch."""
        border = self.outline()
        left, top = np.floor(border.min(0)).astype(int) - 1
        right, bottom = np.ceil(border.max(0)).astype(int) + 1
        left, top, right, bottom = max(0, left), max(0, top), min(page[1], right), min(page[0], bottom)
        return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None

    def warp(
        self, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], window: tuple[int, int, int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Colour [h, w, 3] and alpha [h, w] of the canvas as seen in a window of the page."""
        left, top, right, bottom = window
        size = (right - left, bottom - top)
        if self.bend is None:
            to_canvas = shift(-left, -top) @ self.matrix @ shift(-self.size[0] / 2, -self.size[1] / 2)
            straight = partial(cv2.warpPerspective, M=to_canvas, dsize=size, flags=cv2.INTER_LINEAR)
            colour = straight(rgb, borderMode=cv2.BORDER_REPLICATE)
            return np.asarray(colour, np.uint8), np.asarray(straight(alpha), np.uint8)
        map_x, map_y = self._maps(window)
        colour = cv2.remap(rgb, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.remap(alpha, map_x, map_y, cv2.INTER_LINEAR)
        return np.asarray(colour, np.uint8), np.asarray(cover, np.uint8)

    def _maps(self, window: tuple[int, int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert self.bend is not None
        left, top, right, bottom = window
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        xs = np.arange(left, right, dtype=np.float32)[None, :]
        ys = np.arange(top, bottom, dtype=np.float32)[:, None]
        depth = inverse[2, 0] * xs + inverse[2, 1] * ys + inverse[2, 2]
        x = (inverse[0, 0] * xs + inverse[0, 1] * ys + inverse[0, 2]) / depth
        y = (inverse[1, 0] * xs + inverse[1, 1] * ys + inverse[1, 2]) / depth
        u, v = self.bend.backward(x, y)
        return (u + np.float32(self.size[0] / 2)), (v + np.float32(self.size[1] / 2))


def box_points(box: tuple[float, float, float, float], per_side: int) -> Points:
    """The border of a box, clockwise from its top left, with this many points along top and bottom."""
    left, top, right, bottom = box
    if per_side == 2:
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    xs = np.linspace(left, right, per_side)
    upper = np.stack([xs, np.full(per_side, top)], axis=1)
    return np.concatenate([upper, np.stack([xs[::-1], np.full(per_side, bottom)], axis=1)])
