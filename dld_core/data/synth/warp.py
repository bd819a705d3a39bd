"""From a flat canvas to the page: an optional bend, then a homography of a camera's view."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from dld_core.data.photometric import Image

Points = NDArray[np.float64]
Matrix = NDArray[np.float64]
Window = tuple[int, int, int, int]
"""Pixels of a page: left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Arc:
    """Bends the canvas around a circle of this radius (canvas pixels); `up` 1 arches, -1 sags."""

    radius: float
    up: float

    def forward(self, points: Points) -> Points:
        """Canvas points [n, 2], relative to the canvas centre, to the bent plane."""
        angle, ring = points[:, 0] / self.radius, self.radius - self.up * points[:, 1]
        return np.stack([ring * np.sin(angle), self.up * (self.radius - ring * np.cos(angle))], axis=1)

    def backward(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Inverse of `forward`."""
        x, depth = points[:, 0], self.radius - self.up * points[:, 1]
        return np.stack(
            [np.arctan2(x, depth) * self.radius, self.up * (self.radius - np.hypot(x, depth))], axis=1
        )


@dataclass(frozen=True, slots=True)
class Wave:
    """Lifts the baseline by a sine of this amplitude and wavelength (canvas pixels)."""

    amplitude: float
    wavelength: float
    phase: float

    def forward(self, points: Points) -> Points:
        """Canvas points [n, 2], relative to the canvas centre, to the bent plane."""
        return points + self._lift(points)

    def backward(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Inverse of `forward`."""
        return points - self._lift(points)

    def _lift(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        lift = self.amplitude * np.sin(points[:, 0] * (2 * math.pi / self.wavelength) + self.phase)
        return np.stack([np.zeros_like(lift), lift], axis=1)


def camera_view(
    *, roll: float, yaw: float, pitch: float, distance: float, stretch: tuple[float, float], shear: float
) -> Matrix:
    """The homography [3, 3] of a plane seen by a camera, origin kept at the origin.

    Args:
        roll, yaw, pitch: rotation in the image and out of it, radians.
        distance: of the camera, in pixels of the result; smaller means stronger perspective.
        stretch: scale in x and y, applied first.
        shear: slant to the right, applied first.
    """
    first = np.array([[stretch[0], -shear * stretch[1], 0], [0, stretch[1], 0], [0, 0, 1]])
    cos_y, sin_y, cos_p, sin_p = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    # The columns of R_pitch @ R_yaw that x and y of the plane meet; the third row gives the depth.
    depth = np.array([-cos_p * sin_y, sin_p]) / distance
    view = np.array([[cos_y, 0.0, 0.0], [sin_p * sin_y, cos_p, 0.0], [*depth, 1.0]])
    cos_r, sin_r = math.cos(roll), math.sin(roll)
    return np.asarray(np.array([[cos_r, -sin_r, 0], [sin_r, cos_r, 0], [0, 0, 1]]) @ view @ first)


def shift(x: float, y: float) -> Matrix:
    """A translation, [3, 3]."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def project(matrix: Matrix, points: Points) -> Points:
    """Points [n, 2] through a homography [3, 3]."""
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0])


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a canvas lies on the page.

    Attributes:
        size: width and height of the canvas.
        matrix: homography [3, 3] from the (bent) plane, origin at the canvas centre, to the page.
        bend: applied before the homography.
    """

    size: tuple[int, int]
    matrix: Matrix
    bend: Arc | Wave | None = None

    def points(self, points: Points) -> Points:
        """Canvas points [n, 2] -> page points."""
        centred = points - np.array(self.size) / 2
        return project(self.matrix, self.bend.forward(centred) if self.bend else centred)

    def moved(self, x: float, y: float) -> Geometry:
        """The same, shifted on the page."""
        return replace(self, matrix=shift(x, y) @ self.matrix)

    def scaled(self, factor: float) -> Geometry:
        """The same, scaled about the page's origin."""
        return replace(self, matrix=np.diag([factor, factor, 1.0]) @ self.matrix)

    def outline(self) -> Points:
        """The border of the canvas on the page: 4 points, or 24 where it is bent."""
        width, height = self.size
        return self.points(box_points((0, 0, width, height), 12 if self.bend else 2))

    def window(self, page: tuple[int, int]) -> Window | None:
        """The part of a page (height, width) that the canvas may touch; None where it touches none."""
        border = self.outline()
        left, top = np.maximum(np.floor(border.min(0)) - 1, 0).astype(int).tolist()
        right, bottom = np.minimum(np.ceil(border.max(0)) + 1, page[::-1]).astype(int).tolist()
        return (left, top, right, bottom) if left < right and top < bottom else None

    def warp(self, rgb: Image, alpha: Image, window: Window) -> tuple[Image, Image]:
        """Colour [h, w, 3] and alpha [h, w] of the canvas as seen in a window of the page."""
        left, top, right, bottom = window
        wide, tall = right - left, bottom - top
        to_window = shift(-left, -top) @ self.matrix
        if self.bend is None:
            matrix = to_window @ shift(-self.size[0] / 2, -self.size[1] / 2)
            colour = cv2.warpPerspective(rgb, matrix, (wide, tall), borderMode=cv2.BORDER_REPLICATE)
            cover = cv2.warpPerspective(alpha, matrix, (wide, tall))
        else:
            grid = np.stack(np.meshgrid(np.arange(wide), np.arange(tall)), axis=-1).reshape(-1, 2)
            plane = cv2.perspectiveTransform(grid[None].astype(np.float32), np.linalg.inv(to_window))[0]
            places = self.bend.backward(np.asarray(plane, np.float32)) + np.array(self.size, np.float32) / 2
            x, y = places.T.astype(np.float32).reshape(2, tall, wide)
            colour = cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            cover = cv2.remap(alpha, x, y, cv2.INTER_LINEAR)
        return np.asarray(colour, np.uint8), np.asarray(cover, np.uint8)


def box_points(box: tuple[float, float, float, float], per_side: int) -> Points:
    """The border of a box, clockwise from its top left, with this many points along top and bottom."""
    left, top, right, bottom = box
    xs = np.linspace(left, right, per_side)
    return np.stack([np.concatenate([xs, xs[::-1]]), np.repeat([top, bottom], per_side)], axis=1)
