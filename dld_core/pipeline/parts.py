"""The parts of a wrapper: what reads at full scale, what reads smaller, and what chooses the scale."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_core.errors import ConfigError, WeightsError
from dld_core.plugins.registry import backends

if TYPE_CHECKING:
    from dld_core.interfaces import BundledPart, ResolutionSelector, Spotter

BUNDLED = "bundled"
CONFIG, MODEL = "config.json", "model.safetensors"
TEACHER_FILE, SELECTOR_FILE = "teacher.safetensors", "selector.safetensors"


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


def find_selector(
    given: str | Path | ResolutionSelector | None, spotter: Spotter, weights: str | Path | None, device: str
) -> ResolutionSelector | None:
    """The selector to use, or None.

    Args:
        given: "bundled" for the one that ships with the backend or lies in the folder of its weights, where
            it fits the reference size; a file; a selector that is ready; or None for none.

    Raises:
        WeightsError: the file is absent or damaged, or one that was asked for was made for another
            reference size.
    """
    if given is None:
        return None
    if not isinstance(given, str | Path):
        return _checked(given)
    ours = str(given) == BUNDLED
    path = _bundled_selector(spotter, weights) if ours else Path(given)
    if path is None:
        return None
    from dld_core.selection import load_selector

    selector = load_selector(path / SELECTOR_FILE if path.is_dir() else path)
    wanted = selector.config.reference_short_side
    if wanted != spotter.reference_short_side:
        if ours:
            return None
        raise WeightsError(
            f"the selector {path} was made for a reference short side of {wanted:g} pixels, and that of this "
            f"spotter is {spotter.reference_short_side}; give reference_short_side={wanted:g} or another "
            "selector"
        )
    return selector.to(device)


def _checked(selector: ResolutionSelector) -> ResolutionSelector:
    from dld_core.interfaces import ResolutionSelector

    if not isinstance(selector, ResolutionSelector):
        raise ConfigError(
            "selector must be 'bundled', a file of `dld distill`, a ResolutionSelector or None, not "
            f"{selector!r}"
        )
    return selector


def bundled_part_file(folder: Path, name: str, part: BundledPart) -> Path | None:
    """`NAME_PART.safetensors` of the folder, None where it is not there."""
    path = folder / f"{name}_{part}.safetensors"
    return path if path.is_file() else None


def _bundled_selector(spotter: Spotter, weights: str | Path | None) -> Path | None:
    beside = None if weights in (None, BUNDLED) else Path(str(weights)) / SELECTOR_FILE
    if beside is not None and beside.is_file():
        return beside
    return spotter.bundled_part("selector") if weights == BUNDLED or spotter.weights_are_its_own else None
