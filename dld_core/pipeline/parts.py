"""The parts of a wrapper: what reads at full scale, what reads smaller, and what chooses the scale."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_core.interfaces import BUNDLED as BUNDLED
from dld_core.pipeline.folder import MODEL_FILE, STUDENT_FILE
from dld_core.pipeline.folder import SELECTOR_FILE as SELECTOR_FILE
from dld_core.plugins.registry import backends

if TYPE_CHECKING:
    from dld_core.interfaces import BundledPart, Spotter

CONFIG, MODEL, TEACHER_FILE = "config.json", MODEL_FILE, "teacher.safetensors"


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

    def create(self, weights: str | Path | None = None) -> Spotter:
        """One with these weights, or with the source's own."""
        chosen = self.weights if weights is None else weights
        return backends.get(self.backend).create(weights=chosen, device=self.device, **self.options)


class Readers:
    """The student, which reads at fractions of the reference size, and the teacher, which reads at all of it.

    Where weights are bundled with a distilled student, the two differ; the teacher is loaded when the
    full scale is first asked for. Else they are one.

    Args:
        student: the spotter at hand.
        source: to make the teacher from; None where it is the student.
    """

    def __init__(self, student: Spotter, source: Source | None = None) -> None:
        self.student = student
        self._source = source
        self._teacher: Spotter | None = None
        self._lock = threading.Lock()

    @property
    def teacher(self) -> Spotter:
        """What reads at full scale."""
        if self._source is None:
            return self.student
        with self._lock:
            if self._teacher is None:
                self._teacher = self._source.create()
            return self._teacher


def make_readers(source: Source) -> Readers:
    """The student and teacher of a backend's weights: bundled ones, or as a wrapper saved them."""
    folder = None if source.weights in (None, BUNDLED) else Path(str(source.weights))
    if folder is not None and (folder / STUDENT_FILE).is_file() and (folder / MODEL_FILE).is_file():
        return Readers(source.create(folder / STUDENT_FILE), replace(source, weights=folder / MODEL_FILE))
    spotter = source.create()
    teacher = saved_teacher(source.weights)
    if teacher is not None:
        return Readers(spotter, replace(source, weights=teacher))
    student = spotter.bundled_part("student") if source.weights == BUNDLED else None
    if student is None:
        return Readers(spotter)
    return Readers(source.create(student), source)


def saved_teacher(weights: str | Path | None) -> Path | None:
    """The teacher beside a model that `DLDWrapper.save` wrote, which its config.json names."""
    if weights in (None, BUNDLED):
        return None
    given = Path(str(weights))
    if not given.is_dir() and given.name != MODEL:
        return None
    folder = given if given.is_dir() else given.parent
    try:
        named = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("teacher")
    except (OSError, ValueError, AttributeError):
        return None
    return folder / TEACHER_FILE if named == TEACHER_FILE else None


def bundled_part_file(folder: Path, name: str, part: BundledPart) -> Path | None:
    """`NAME_PART.safetensors` of the folder, None where it is not there."""
    path = folder / f"{name}_{part}.safetensors"
    return path if path.is_file() else None
