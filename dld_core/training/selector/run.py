"""`dld distill` with a section `selector`: a selector alone for any spotter, or beside a student."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from dld_core.config import PartConfig
from dld_core.training.selector.measuring import another
from dld_core.training.selector.training import SelectorTrainingConfig, make_selector


class SelectorRunConfig(PartConfig):
    """A run that makes nothing but a selector.

    Attributes:
        backend, weights, options: the spotter, as DLDWrapper takes them; black boxes too.
        device: "auto", "cpu", "cuda:0".
        threads: of the CPU; None leaves the machine's choice.
        selector: what it learns from, and how.
    """

    backend: str
    weights: str | None = "bundled"
    options: dict[str, Any] = Field(default_factory=dict)
    device: str = "auto"
    threads: int | None = Field(default=None, ge=1)
    selector: SelectorTrainingConfig


def run_selector(
    config: SelectorRunConfig,
    out: Path,
    say: Callable[[str], None] = lambda _: None,
    max_minutes: float | None = None,
    measured_in: Path | None = None,
) -> Path:
    """Make the selector of a spotter; the path of its file. See `make_selector`.

    With `max_minutes` no further image is read after this time; what is there must do.

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError: the backend cannot be had.
        ConfigError, DataError, WeightsError, DeviceError: something named in the config is wrong.
    """
    from dld_core.pipeline.wrapper import DLDWrapper

    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)
    with DLDWrapper(config.backend, config.weights, config.device, selector=None, **config.options) as dld:
        build = another(config.backend, config.weights, config.device, **config.options)
        settings = config.selector.limited(max_minutes)
        return make_selector(dld.spotter, settings, out, say, build, measured_in)
