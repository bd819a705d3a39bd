"""What a caller asks for: a scale or the selector's choice, the dials of that choice, and a second look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from dld_core.errors import ConfigError
from dld_core.types import Word

if TYPE_CHECKING:
    from dld_core.selection import Policy

Scale = Literal["full", "auto"] | float

MAX_SCALE = 1.5
DIALS = ("gamma", "budget", "max_latency_ms")
UNSURE = 0.75
"""Words read with a mean confidence below this are worth a second look."""


@dataclass(frozen=True, slots=True)
class Request:
    """How to read.

    Attributes:
        scale: see DLDWrapper.
        dials: those of DIALS that were set.
        escalate: read again, larger, where words are unsure or missing, as far as the limits allow.
    """

    scale: Scale
    dials: Mapping[str, float]
    escalate: bool

    @classmethod
    def of(cls, scale: Scale, dials: Mapping[str, Any], escalate: Any) -> Self:
        """Raises ConfigError for values out of range."""
        if not isinstance(escalate, bool):
            raise ConfigError(f"escalate must be True or False, not {escalate!r}")
        request = cls(scale, {name: value for name, value in dials.items() if value is not None}, escalate)
        if request.dials:
            _ = request.policy  # wrong values must show now
        return request

    @property
    def policy(self) -> Policy:
        """The dials as a policy."""
        from dld_core.selection import Policy

        return Policy.parse(self.dials, where="the choice of scale")

    def changed(self, scale: Scale | None, dials: Mapping[str, Any]) -> Request:
        """With what one call overrides. Raises ConfigError for unknown dials and values out of range."""
        if scale is None and not dials:
            return self
        unknown = sorted(dials.keys() - {*DIALS, "escalate"})
        if unknown:
            raise ConfigError(
                f"unknown option {unknown[0]!r}; spot() takes scale, {', '.join(DIALS)}, escalate"
            )
        own = {**self.dials, **{name: value for name, value in dials.items() if name != "escalate"}}
        chosen = self.scale if scale is None else checked_scale(scale)
        return Request.of(chosen, own, dials.get("escalate", self.escalate))

    def settings(self) -> dict[str, Any]:
        """As keywords of DLDWrapper."""
        return {"scale": self.scale, **self.dials, "escalate": self.escalate}


def checked_scale(scale: Any) -> Scale:
    """The scale, or ConfigError. Whether "auto" can be had is checked when an image is read."""
    if scale in ("full", "auto"):
        return scale  # type: ignore[no-any-return]
    if not isinstance(scale, int | float) or isinstance(scale, bool) or not 0 < scale <= MAX_SCALE:
        raise ConfigError(
            f"scale must be 'full', 'auto' or a number above 0 and up to {MAX_SCALE}, not {scale!r}"
        )
    return float(scale)


def is_unsure(words: Sequence[Word], expected: float | None = None) -> bool:
    """Whether a reading calls for a second look: its words have a low mean confidence, or none was found
    where the selector `expected` some.
    """
    if not words:
        return expected is not None and expected >= 1
    return sum(word.score for word in words) / len(words) < UNSURE
