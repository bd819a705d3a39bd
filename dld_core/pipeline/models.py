"""Who can read: the teacher and the student of a backend's weights, and the selector beside them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from dld_core import selection
from dld_core.interfaces import BUNDLED as BUNDLED
from dld_core.interfaces import BundledPart, ResolutionSelector, Spotter, module_device
from dld_core.pipeline.folder import SELECTOR_FILE, Saved
from dld_core.plugins.registry import backends, default_backend

AUTO = "auto"


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
        if saved is not None and saved.model is None and saved.index.weights is not None:
            source = replace(source, weights=saved.index.weights)  # a selector for weights that are elsewhere
        elif saved is not None and saved.student is not None:
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
    """The selector to use, or None; see `dld_core.selection.find.find_selector`.

    Args:
        weights: the spotter's, as they were given.
    """
    saved = Saved.beside(weights)
    beside = _in_folder(weights) if saved is None else saved.selector
    if beside is None and (weights == BUNDLED or spotter.weights_are_its_own):
        beside = spotter.bundled_part("selector")
    return selection.find_selector(given, spotter, beside, device)


def _in_folder(weights: str | Path | None) -> Path | None:
    """The selector that somebody put into the folder of an engine's own models."""
    if weights is None or weights == BUNDLED:
        return None
    file = Path(weights) / SELECTOR_FILE
    return file if file.is_file() else None


def bundled_part_file(folder: Path, name: str, part: BundledPart) -> Path | None:
    """`NAME_PART.safetensors` of the folder, None where it is not there."""
    path = folder / f"{name}_{part}.safetensors"
    return path if path.is_file() else None
