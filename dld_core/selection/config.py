"""Options of the selector network."""

from __future__ import annotations

from pydantic import Field, field_validator

from dld_core.config import PartConfig
from dld_core.selection.policy import DEFAULT_GAMMA

DEFAULT_SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


class SelectorConfig(PartConfig):
    """What a selector chooses between, and how large it is.

    Attributes:
        scales: candidates, fractions of the reference short side, rising.
        reference_short_side: pixels of the short side at scale 1 (the spotter's own).
        long_side: of the thumbnail, pixels.
        width: channels of its finest features; deeper ones have two and four times as many.
        hidden: units that judge a word's chance of being read.
        gamma: the price at which it chooses where none is asked for (see Policy).
    """

    scales: tuple[float, ...] = DEFAULT_SCALES
    reference_short_side: float = Field(default=720.0, gt=0)
    long_side: int = Field(default=384, ge=64, le=1024)
    width: int = Field(default=24, ge=4)
    hidden: int = Field(default=32, ge=4)
    gamma: float = Field(default=DEFAULT_GAMMA, ge=0)

    @field_validator("scales")
    @classmethod
    def _rising(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if not scales or any(not 0 < s <= 1.5 for s in scales) or list(scales) != sorted(set(scales)):
            raise ValueError("scales must be distinct numbers above 0 and up to 1.5, rising")
        return scales
