"""What verbs have in common that build a spotter: its own options, and 'none' for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from dld_core.config import parse_yaml
from dld_core.errors import ConfigError
from dld_core.pipeline.request import Scale

OPTION_HELP = "An option of the spotter's own, its value as in YAML: languages='[en, de]'; may be repeated."
OPTION_FORM = "KEY=VALUE"
MODEL_HELP = "Who reads; auto is the teacher at full scale and the student below."
SCALE_HELP = "auto (a selector decides), full, or a fraction of the full size such as 0.5."
SCALE_DEFAULT = "auto with a selector, else full"
ModelName = Literal["auto", "student", "teacher"]
_WRAPPERS = frozenset(
    (
        *("backend", "weights", "device", "model", "scale", "selector", "gamma", "budget", "max_latency_ms"),
        *("escalate", "max_pixels", "batch_size", "limits"),
    )
)


def parse_options(given: Sequence[str] | None) -> dict[str, Any]:
    """`--option KEY=VALUE`, values as in YAML. Raises ConfigError for another form."""
    return dict(map(_pair, given or []))


def spotter_options(given: Sequence[str] | None) -> dict[str, Any]:
    """The same for a spotter in a DLDWrapper, whose own keywords are no options of the spotter."""
    options = parse_options(given)
    taken = sorted(options.keys() & _WRAPPERS)
    if taken:
        raise ConfigError(
            f"{taken[0]!r} is no option of a spotter; give --{taken[0].replace('_', '-')} where the command "
            "has it"
        )
    return options


def parse_scale(text: str | None) -> Scale | None:
    """auto, full or a number; the wrapper checks its range. None for what was not given."""
    if text is None or text == "full" or text == "auto":
        return text  # type: ignore[return-value]
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--scale must be auto, full or a number such as 0.5, not {text!r}") from None


def none(text: str) -> str | None:
    """None for "none"."""
    return None if text == "none" else text


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--option takes KEY=VALUE, not '{text}'.")
    try:
        return key, parse_yaml(value, text)
    except ConfigError:
        return key, value
