"""What a caller asks for: who reads, at which scale, within which limits, and whether to read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from dld_core.errors import ConfigError
from dld_core.selection.policy import Policy
from dld_core.types import Word

Scale = Literal["full", "auto"] | float
Model = Literal["auto", "student", "teacher"]

MAX_SCALE = 1.5
POLICY_OPTIONS = ("gamma", "budget", "max_latency_ms")
UNSURE = 0.75
"""Words read with a mean confidence below this are worth a second reading."""


@dataclass(frozen=True, slots=True)
class Request:
    """How to read.

    Attributes:
        model: who reads; "auto" lets the scale decide (see `DLDWrapper`).
        scale: "auto", "full" or a fraction of the full size.
        options: those of POLICY_OPTIONS that were given.
        escalate: read again, larger, where words are unsure or missing, as far as the limits allow.
    """

    model: Model
    scale: Scale
    options: Mapping[str, float]
    escalate: bool

    @classmethod
    def of(cls, model: Any, scale: Any, options: Mapping[str, Any], escalate: Any) -> Self:
        """Raises ConfigError for values out of range."""
        if model not in get_args(Model):
            raise ConfigError(f"model must be 'auto', 'student' or 'teacher', not {model!r}")
        if not isinstance(escalate, bool):
            raise ConfigError(f"escalate must be True or False, not {escalate!r}")
        given = {name: value for name, value in options.items() if value is not None}
        request = cls(model, checked_scale(scale), given, escalate)
        if request.options:
            _ = request.policy  # wrong values must show now
        return request

    @property
    def policy(self) -> Policy:
        """The options as a policy."""
        return Policy.parse(self.options, where="the policy")

    @property
    def limited(self) -> bool:
        """Whether a limit is set that holds at any scale."""
        return "budget" in self.options or "max_latency_ms" in self.options

    def changed(self, model: Model | None, scale: Scale | None, options: Mapping[str, Any]) -> Request:
        """With what one call overrides. Raises ConfigError for unknown options and values out of range."""
        if model is None and scale is None and not options:
            return self
        unknown = sorted(options.keys() - {*POLICY_OPTIONS, "escalate"})
        if unknown:
            raise ConfigError(
                f"unknown option {unknown[0]!r}; spot() takes model, scale, "
                f"{', '.join(POLICY_OPTIONS)}, escalate"
            )
        own = {**self.options, **{name: value for name, value in options.items() if name != "escalate"}}
        return Request.of(
            self.model if model is None else model,
            self.scale if scale is None else scale,
            own,
            options.get("escalate", self.escalate),
        )

    def reader(self, scale: float, full: bool = False) -> Literal["student", "teacher"]:
        """Who reads at a scale: the teacher at full scale, where "full" or the selector asked for it, the
        student below; whoever was named always.
        """
        if self.model != "auto":
            return self.model
        return "teacher" if full or (self.scale == "auto" and scale >= 1) else "student"

    def settings(self) -> dict[str, Any]:
        """As keyword arguments of DLDWrapper."""
        return {"model": self.model, "scale": self.scale, **self.options, "escalate": self.escalate}

    def at(self, scale: Scale) -> Request:
        """The same at another scale."""
        return replace(self, scale=scale)


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
    """Whether a reading calls for a second one: its words have a low mean confidence, or none was found where
    the selector expected some.
    """
    if not words:
        return expected is not None and expected >= 1
    return sum(word.score for word in words) / len(words) < UNSURE
