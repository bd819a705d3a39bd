"""What a caller asks for: a scale or the selector's choice, the options of that choice, and a second look."""

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
POLICY_OPTIONS = ("gamma", "budget", "max_latency_ms")
UNSURE = 0.75
"""Words read with a mean confidence below this are worth a second look."""


@dataclass(frozen=True, slots=True)
class Request:
    """How to read.

    Attributes:
        scale: see DLDWrapper.
        options: those of POLICY_OPTIONS that were set.
        escalate: read again, larger, where words are unsure or missing, as far as the limits allow.
    """

    scale: Scale
    options: Mapping[str, float]
    escalate: bool

    @classmethod
    def of(cls, scale: Scale, options: Mapping[str, Any], escalate: Any) -> Self:
        """Raises ConfigError for values out of range."""
        if not isinstance(escalate, bool):
            raise ConfigError(f"escalate must be True or False, not {escalate!r}")
        request = cls(scale, {name: value for name, value in options.items() if value is not None}, escalate)
        if request.options:
            _ = request.policy  # wrong values must show now
        return request

    @property
    def policy(self) -> Policy:
        """The options as a policy."""
        from dld_core.selection import Policy

        return Policy.parse(self.options, where="the choice of scale")

    def changed(self, scale: Scale | None, options: Mapping[str, Any]) -> Request:
        """With what one call overrides. Raises ConfigError for unknown options and values out of range."""
        if scale is None and not options:
            return self
        unknown = sorted(options.keys() - {*POLICY_OPTIONS, "escalate"})
        if unknown:
            raise ConfigError(
                f"unknown option {unknown[0]!r}; spot() takes scale, {', '.join(POLICY_OPTIONS)}, escalate"
            )
        own = {**self.options, **{name: value for name, value in options.items() if name != "escalate"}}
        chosen = self.scale if scale is None else checked_scale(scale)
        return Request.of(chosen, own, options.get("escalate", self.escalate))

    def settings(self) -> dict[str, Any]:
        """As keywords of DLDWrapper."""
        return {"scale": self.scale, **self.options, "escalate": self.escalate}


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
