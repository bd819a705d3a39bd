"""A spotter at the scale that a selector chooses, beside `FixedScale` in every comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.fixed import FixedScale, View, spot, to_native
from dld_core.interfaces import Spotter
from dld_core.selection import DynamicResolution, Policy
from dld_core.types import Word


@dataclass(frozen=True, slots=True)
class SelectedScale:
    """Reads each image at the scale chosen for it; choosing is part of preparing.

    Attributes:
        drs: the selector at work.
        policy: its options.
        scale: what stands in tables.
    """

    drs: DynamicResolution
    policy: Policy = field(default_factory=Policy)
    scale: Literal["auto"] = "auto"

    @property
    def spotter(self) -> Spotter:
        """What reads."""
        return self.drs.costs.spotter

    def prepare(self, pixels: NDArray[np.uint8]) -> View:
        """Choose, and resize."""
        return self._reader(pixels).prepare(pixels)

    def spot(self, view: View) -> list[Word]:
        """What the spotter finds, in pixels of the prepared image."""
        return spot(self.spotter, view)

    def read(self, pixels: NDArray[np.uint8]) -> list[Word]:
        """Choose, resize, read, and bring the polygons back to the image's own pixels."""
        view = self.prepare(pixels)
        return to_native(self.spot(view), view.image, pixels)

    def _reader(self, pixels: NDArray[np.uint8]) -> FixedScale:
        return FixedScale(self.spotter, self.drs(pixels, self.policy).scale, "reference")
