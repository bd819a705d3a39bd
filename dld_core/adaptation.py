"""`DLDWrapper.distill`: a spotter fitted to one's own photos, labels or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_core.errors import ConfigError
from dld_core.registry import backends

if TYPE_CHECKING:
    from dld_core.wrapper import DLDWrapper

Data = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]

_STUDENTS_SHARE = 0.6  # of the minutes; the rest is for reading at every scale and for the selector
_READINGS_SHARE = 0.7  # of what is left for the selector; the rest is for fitting it
_READ_AT_MOST = 300
_FIT_STEPS = 1500


def adapt(
    wrapper: DLDWrapper,
    data: Data,
    out: str | Path,
    minutes: float = 30.0,
    student: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Teach a student and make a selector from `data`; see `DLDWrapper.distill`. Returns the run's folder."""
    from dld_core.interfaces import TrainableSpotter

    trainable = isinstance(wrapper.teacher, TrainableSpotter)
    if student and not trainable:
        raise ConfigError(
            f"the backend {wrapper.backend} only predicts, so it gets a selector and no student; leave out "
            "student=True"
        )
    if wrapper.backend not in backends.names():
        raise ConfigError(
            f"the spotter {wrapper.backend} was given as an object, and what is learned is found by name; "
            "register it (docs/tutorial-backend.md) and give DLDWrapper that name"
        )
    folder = Path(out)
    sources = _sources(data)
    if trainable and student is not False:
        _teach(wrapper, sources, folder, minutes, settings or {}, say)
    else:
        _select(wrapper, sources, folder, minutes, settings or {}, say)
    return folder


def _teach(
    wrapper: DLDWrapper,
    sources: list[dict[str, Any]],
    folder: Path,
    minutes: float,
    settings: Mapping[str, Any],
    say: Callable[[str], None],
) -> None:
    from dld_core.distillation.config import DistillConfig
    from dld_core.distillation.selecting import distill_with_selector
    from dld_core.training.checkpoint import saved

    values = {
        "backend": wrapper.backend,
        "options": wrapper.options,
        "teacher": {"weights": "bundled" if wrapper.given_weights is None else str(wrapper.given_weights)},
        "data": sources,
        "schedule": "time",
        "steps": 1_000_000,
        "max_minutes": minutes * _STUDENTS_SHARE,
        "selector": _selector(sources, minutes * (1 - _STUDENTS_SHARE) * _READINGS_SHARE),
    }
    config = DistillConfig.parse({**values, **settings}, where="distill")
    distill_with_selector(config, folder, resume=bool(saved(folder)), say=say)


def _select(
    wrapper: DLDWrapper,
    sources: list[dict[str, Any]],
    folder: Path,
    minutes: float,
    settings: Mapping[str, Any],
    say: Callable[[str], None],
) -> None:
    from dld_core.resolution.measuring import another
    from dld_core.resolution.training import NETWORK_SIZES, SelectorTrainingConfig, make_selector

    values = _selector(sources, minutes * _READINGS_SHARE)
    if not settings.keys().isdisjoint(NETWORK_SIZES):
        del values["init"]  # the bundled one is of other sizes
    config = SelectorTrainingConfig.parse({**values, **settings}, where="distill: selector")
    build = another(wrapper.backend, wrapper.given_weights, wrapper.device, **wrapper.options)
    make_selector(wrapper.spotter, config, folder, say, build)


def _sources(data: Data) -> list[dict[str, Any]]:
    """As the key `data` of a config has them; a folder means photos without labels."""
    if isinstance(data, str | os.PathLike):
        return [{"kind": "images", "images": os.fspath(data)}]
    listed = [data] if isinstance(data, Mapping) else list(data)
    if not listed or not all(isinstance(item, Mapping) for item in listed):
        raise ConfigError("give a folder of photos, or sources as in a config: {'kind': 'icdar', 'gt': ...}")
    return [dict(item) for item in listed]


def _selector(sources: list[dict[str, Any]], minutes: float) -> dict[str, Any]:
    """What the selector reads: the same photos, those with labels where there are some, up to a bound."""
    labelled = [source for source in sources if source.get("kind") != "images"]
    return {
        "measured": {
            "data": labelled or sources,
            "images": _READ_AT_MOST,
            "labels": "given" if labelled else "none",
            "max_minutes": minutes,
        },
        "init": "bundled",
        "fit": {"steps": _FIT_STEPS},
    }
