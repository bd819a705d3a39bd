"""Who can read: the teacher and the student of a backend's weights, and the selector beside them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from dld_core.errors import ConfigError, WeightsError
from dld_core.interfaces import BundledPart, ResolutionSelector, Spotter, module_device
from dld_core.pipeline.folder import SELECTOR_FILE, Saved
from dld_core.plugins.registry import backends, default_backend
from dld_core.selection import load_selector

BUNDLED, AUTO = "bundled", "auto"


@dataclass(frozen=True, slots=True)
class Source:
    """How to make a spotter.

    Attributes:
        backend: registered name.
        weights: "bundled", a file or folder, or None.
        device: a resolved device.
        options: the spotter's own.
    """

    backend: str
    weights: str | Path | None
    device: str
    options: dict[str, Any]

    def create(self) -> Spotter:
        """Make it. Raises what `Spotter.create` raises."""
        return backends.get(self.backend).create(weights=self.weights, device=self.device, **self.options)


def resolve(weights: str | Path | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The backend and options that "auto" stands for: those of the folder that weights name, else the best
    reader that is installed. Options that are given win over those of the folder.
    """
    saved = Saved.beside(weights)
    if saved is None:
        return default_backend(), options
    return saved.index.backend, {**saved.index.options, **options}


class Models:
    """The student, which reads below the full size, and the teacher, which reads at it.

    Where the weights hold both, the two differ, and the teacher is loaded when it is first asked for. Else
    they are one.

    Args:
        student: the spotter at hand.
        teacher: what to make the teacher from; None where it is the student.
    """

    def __init__(self, student: Spotter, teacher: Source | None = None) -> None:
        self.student = student
        self._source = teacher
        self._teacher: Spotter | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, source: Source) -> Models:
        """Those of a backend's weights: bundled ones, or a folder that `DLDWrapper.save` wrote."""
        saved = Saved.beside(source.weights)
        if saved is not None and saved.student is not None:
            return cls(replace(source, weights=saved.student).create(), replace(source, weights=saved.model))
        spotter = source.create()
        student = spotter.bundled_part("student") if source.weights == BUNDLED else None
        if student is None:
            return cls(spotter)
        return cls(replace(source, weights=student).create(), source)

    @property
    def teacher(self) -> Spotter:
        """What reads at full scale."""
        if self._source is None:
            return self.student
        with self._lock:
            if self._teacher is None:
                self._teacher = self._source.create()
            return self._teacher

    def get(self, model: Literal["student", "teacher"]) -> Spotter:
        """One of the two."""
        return self.student if model == "student" else self.teacher

    @property
    def device(self) -> str | None:
        """Where the student computes: its own `device`, else that of its parameters; None if it does not
        say.
        """
        declared = getattr(self.student, "device", None)
        if declared is None and isinstance(self.student, nn.Module):
            declared = module_device(self.student)
        return None if declared is None else str(declared)


def find_selector(
    given: str | Path | ResolutionSelector | None, spotter: Spotter, weights: str | Path | None, device: str
) -> ResolutionSelector | None:
    """The selector to use, or None.

    Args:
        given: "bundled" for the one that ships with the backend or lies in the folder of its weights, where
            it fits the reference size; a file; a selector that is ready; or None for none.

    Raises:
        WeightsError: the file is absent or damaged, or was made for another reference size.
    """
    if given is None:
        return None
    if not isinstance(given, str | Path):
        return _ready(given, spotter, device)
    ours = str(given) == BUNDLED
    path = _bundled_selector(spotter, weights) if ours else Path(given)
    if path is None:
        return None
    selector = load_selector(path / SELECTOR_FILE if path.is_dir() else path)
    if ours and not _fits(selector, spotter):
        return None
    return _ready(selector, spotter, device)


def _ready(selector: ResolutionSelector, spotter: Spotter, device: str) -> ResolutionSelector:
    if not isinstance(selector, ResolutionSelector):
        raise ConfigError(
            "selector must be 'bundled', a file of `dld distill`, a ResolutionSelector or None, not "
            f"{selector!r}"
        )
    if not _fits(selector, spotter):
        raise WeightsError(
            f"the selector was made for a reference short side of {_reference(selector):g} pixels, and that "
            f"of this spotter is {spotter.reference_short_side}; give "
            f"reference_short_side={_reference(selector):g} or another selector"
        )
    return selector.to(device)


def _reference(selector: ResolutionSelector) -> float | None:
    reference = getattr(getattr(selector, "config", None), "reference_short_side", None)
    return None if reference is None else float(reference)


def _fits(selector: ResolutionSelector, spotter: Spotter) -> bool:
    return _reference(selector) in (None, spotter.reference_short_side)


def bundled_part_file(folder: Path, name: str, part: BundledPart) -> Path | None:
    """`NAME_PART.safetensors` of the folder, None where it is not there."""
    path = folder / f"{name}_{part}.safetensors"
    return path if path.is_file() else None


def _bundled_selector(spotter: Spotter, weights: str | Path | None) -> Path | None:
    saved = Saved.beside(weights)
    if saved is not None and saved.selector is not None:
        return saved.selector
    return spotter.bundled_part("selector") if weights == BUNDLED or spotter.weights_are_its_own else None
