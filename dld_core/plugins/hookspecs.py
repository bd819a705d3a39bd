"""The events that plugins may listen to. Implement any of them with `from dld_core import hookimpl`.

An implementation may take fewer arguments than listed here; what it returns is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from torch import Tensor

    from dld_core.results.page import Page

hookspec = HookspecMarker("dld")
hookimpl = HookimplMarker("dld")


@hookspec
def dld_run_configured(kind: str, config: Mapping[str, Any]) -> None:
    """A run ("train", "distill", "evaluate", ...) is about to start with this full, validated config."""


@hookspec
def dld_scale_chosen(image: str, scale: float, scores: Mapping[float, float]) -> None:
    """`scale` was chosen for the image of that name ("" if it has none).

    `scores` are the selector's, by scale, lower is better; empty where the caller gave the scale.
    """


@hookspec
def dld_losses_computed(step: int, losses: Mapping[str, Tensor]) -> None:
    """The weighted scalar losses of step `step` (from 1), by name, before the backward pass."""


@hookspec
def dld_step_ended(step: int, metrics: Mapping[str, float]) -> None:
    """A training step is done; `metrics` as they go to the log (losses, learning rate, words per second)."""


@hookspec
def dld_page_spotted(page: Page) -> None:
    """An image was read; polygons in pixels of the original image."""
