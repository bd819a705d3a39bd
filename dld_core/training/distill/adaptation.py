"""`DLDWrapper.distill`: a spotter fitted to one's own photos, labels or none."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_core.errors import ConfigError
from dld_core.interfaces import BUNDLED, TrainableSpotter
from dld_core.pipeline.folder import SELECTOR_FILE, Saved, student_file
from dld_core.plugins.registry import backends
from dld_core.training.checkpoint import saved
from dld_core.training.distill import engine
from dld_core.training.distill.config import DistillConfig
from dld_core.training.selector.config import SelectorTrainingConfig
from dld_core.training.selector.making import make_selector
from dld_core.training.selector.measuring import another

if TYPE_CHECKING:
    from dld_core.pipeline.wrapper import DLDWrapper

Path_ = str | os.PathLike[str]
Data = Path_ | Mapping[str, Any] | Sequence[Path_] | Sequence[Mapping[str, Any]]
Log = Callable[[str], None]

_LABELS_SHARE = 0.2  # of the minutes, where the teacher reads what nobody has annotated
_STUDENTS_SHARE = 0.6  # labels included; the rest is for reading at every scale and for the selector
_READINGS_SHARE = 0.7  # of what is left for the selector; the rest is for fitting it
_READ_AT_MOST = 300
_GENTLY = {"lr": 3e-4, "warmup_steps": 30, "ema": 0.995, "skip_bad_steps": 5}
_FIT_STEPS = 1500


def adapted(
    wrapper: DLDWrapper,
    data: Data,
    out: str | Path,
    *,
    minutes: float,
    student: bool | None,
    log: Callable[[str], None],
    settings: Mapping[str, Any],
) -> Any:
    """Fit student and selector to one's own photos; an engine that only predicts gets a selector alone.

    Args:
        wrapper: whose spotter teaches; it stays as it is.
        data: a folder of photos, or a list of paths (the teacher's own words at full scale stand in for
            labels), or sources as in the configs of `dld distill`: {"kind": "icdar", "images": ..., "gt":
            ...}.
        out: folder of the run; one that was stopped goes on.
        minutes: about how long all of it may take. Where there are no labels, at most a fifth of it goes to
            reading photos at full scale; those that were not reached are left out.
        student: False makes a selector for the spotter as it is; None makes a student where one can be.
        log: is called with every message, as `print` would be.
        settings: further keys of DistillConfig (or, without a student, of SelectorTrainingConfig). The
            student learns on from the one in use.

    Returns:
        A new wrapper of the same class with what was learned.

    Raises:
        ConfigError, DataError, TrainingError: the data or the settings do not do.
        KeyboardInterrupt: it was interrupted; call it again to go on.
    """
    folder = adapt(wrapper, data, out, minutes, student, settings, log)
    request = {name: value for name, value in wrapper.settings().items() if name not in ("scale", "model")}
    selector = folder / SELECTOR_FILE
    return type(wrapper)(
        wrapper.backend,
        folder if student_file(folder).is_file() else wrapper.given_weights,
        wrapper.device,
        selector=selector if selector.is_file() else None,
        max_pixels=wrapper.working.max_pixels,
        batch_size=wrapper.batch_size,
        limits=wrapper.limits,
        **(request if selector.is_file() else {}),
        **wrapper.options,
    )


def adapt(
    wrapper: DLDWrapper,
    data: Data,
    out: str | Path,
    minutes: float = 30.0,
    student: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    log: Log = lambda _: None,
) -> Path:
    """Teach a student and make a selector from `data`; see `adapted`. Returns the run's folder."""
    teacher = wrapper.teacher if isinstance(wrapper.teacher, TrainableSpotter) else None
    if student and teacher is None:
        raise ConfigError(
            f"the backend {wrapper.backend} only predicts, so it gets a selector and no student; leave out "
            "student=True"
        )
    if wrapper.backend not in backends.names():
        raise ConfigError(
            f"the spotter {wrapper.backend} was given as an object, and what is learned is found by name; "
            "register it (docs/tutorial-backend.md) and give DLDWrapper that name"
        )
    folder, sources, changes = Path(out), _sources(data), dict(settings or {})
    if teacher is not None and student is not False:
        _teach(wrapper, teacher, sources, folder, minutes, changes, log)
    else:
        _select(wrapper, sources, folder, minutes, changes, log)
    return folder


def _teach(
    wrapper: DLDWrapper,
    teacher: TrainableSpotter,
    sources: list[dict[str, Any]],
    folder: Path,
    minutes: float,
    changes: dict[str, Any],
    log: Log,
) -> None:
    unlabelled = any(source.get("kind") == "images" for source in sources)
    learning = _STUDENTS_SHARE - (_LABELS_SHARE if unlabelled else 0)
    suited = teacher.adaptation_settings
    values = {
        **_GENTLY,
        **suited,
        "backend": wrapper.backend,
        "options": {**wrapper.options, **_left_open(wrapper, suited.get("options", {}))},
        **_origins(wrapper),
        "data": sources,
        "schedule": "time",
        "steps": 1_000_000,
        "label_minutes": minutes * _LABELS_SHARE,
        "max_minutes": minutes * learning,
        "accelerator": wrapper.device,
        "selector": _selector(sources, minutes * (1 - _STUDENTS_SHARE) * _READINGS_SHARE),
    }
    config = DistillConfig.parse({**values, **changes}, where="distill")
    # Without weights the wrapper's spotter is the only one of its kind.
    alone = wrapper.given_weights is None and "teacher" not in changes
    own = copy.deepcopy(teacher) if alone else None
    result = engine.distill(config, folder, resume=bool(saved(folder)), log=log, teacher=own)
    if result.reason == "interrupted":  # the run is safe, and goes on when it is asked for again
        raise KeyboardInterrupt


def _left_open(wrapper: DLDWrapper, suited: Mapping[str, Any]) -> dict[str, Any]:
    """Of options that suit, those that the wrapper has as they come (a loaded one names them all)."""
    usual = wrapper.spotter.config_type.model_fields
    return {
        name: value
        for name, value in suited.items()
        if name not in wrapper.options or wrapper.options[name] == usual[name].default
    }


def _origins(wrapper: DLDWrapper) -> dict[str, Any]:
    """Where teacher and student start: at those in use."""
    given = str(wrapper.given_weights or BUNDLED)
    if wrapper.spotter is wrapper.teacher:
        return {"teacher": {"weights": given}}
    if given == BUNDLED:
        return {"teacher": {"weights": given}, "start": "student"}
    saved = Saved.beside(given)
    assert saved is not None  # it has a teacher of its own
    return {"teacher": {"weights": str(saved.model)}, "init": {"path": str(saved.student)}}


def _select(
    wrapper: DLDWrapper,
    sources: list[dict[str, Any]],
    folder: Path,
    minutes: float,
    changes: dict[str, Any],
    log: Log,
) -> None:
    values = _selector(sources, minutes * _READINGS_SHARE)
    if not changes.keys().isdisjoint(("name", "options")):
        del values["init"]  # the bundled one is of another kind, or of other sizes
    config = SelectorTrainingConfig.parse({**values, **changes}, where="distill: selector")
    build = another(wrapper.backend, wrapper.given_weights, wrapper.device, **wrapper.options)
    make_selector(wrapper.spotter, config, folder, log, build)


def _sources(data: Data) -> list[dict[str, Any]]:
    """As the key `data` of a config has them; folders and files mean photos without labels."""
    if isinstance(data, str | os.PathLike):
        data = [data]
    listed: list[Any] = list(data) if isinstance(data, Sequence) else [data]
    if listed and all(isinstance(item, str | os.PathLike) for item in listed):
        return [{"kind": "images", "images": [os.fspath(item) for item in listed]}]
    if not listed or not all(isinstance(item, Mapping) for item in listed):
        raise ConfigError(
            "give a folder of photos, a list of their paths, or sources as in a config: {'kind': 'icdar', "
            f"'gt': ...}}, not {data!r:.80}"
        )
    return [dict(item) for item in listed]


def _selector(sources: list[dict[str, Any]], minutes: float) -> dict[str, Any]:
    """What the selector reads: the same photos, those with labels where there are some, up to a bound."""
    annotated = [source for source in sources if source.get("gt") is not None]
    photos = [source for source in sources if source.get("kind") == "images"]
    return {
        "measured": {
            "data": annotated or photos or sources,
            "images": _READ_AT_MOST,
            "labels": "none" if photos and not annotated else "given",
            "max_minutes": minutes,
        },
        "init": BUNDLED,
        "fit": {"steps": _FIT_STEPS},
    }
