"""The one form on disk: a folder with dld.json beside model, student and selector. Nothing is ever pickled.

    dld.json              backend, options that differ from the defaults, settings of the wrapper, provenance
    model.safetensors     the teacher, or the only model
    student.safetensors   the student, where there is one
    selector.safetensors  the selector, where there is one

Runs of `dld train` and `dld distill`, `DLDWrapper.save` and exports are such folders, and
`DLDWrapper(weights=FOLDER)` and `dld spot --weights FOLDER` need nothing else. Folders of version 0.1
(config.json, in which model.safetensors was the student and teacher.safetensors its teacher) are still read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field
from safetensors.torch import save as to_bytes
from torch import nn

from dld_core.config import PartConfig, write_file
from dld_core.errors import ConfigError, WeightsError
from dld_core.interfaces import ResolutionSelector, Spotter
from dld_core.plugins.registry import backends
from dld_core.selection import save_selector
from dld_core.selection.file import SELECTOR_FILE as SELECTOR_FILE

INDEX = "dld.json"
MODEL, STUDENT = "model.safetensors", "student.safetensors"
_OLD_INDEX, _OLD_TEACHER = "config.json", "teacher.safetensors"
_FORMAT = 2
_WRAPPER_KEYS = (
    "model",
    "scale",
    "gamma",
    "budget",
    "max_latency_ms",
    "escalate",
    "max_pixels",
    "batch_size",
)


class Index(PartConfig):
    """What dld.json holds.

    Attributes:
        format: of the folder.
        backend: a registered name.
        options: of the spotter, where they differ from its defaults.
        weights: of an engine that has no file in the folder; None otherwise.
        wrapper: keyword arguments of DLDWrapper.
        parts: which of "student" and "selector" belong to the folder; None for those that are there.
        provenance: how the weights were made; for people.
    """

    format: int = _FORMAT
    backend: str
    options: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    wrapper: dict[str, Any] = Field(default_factory=dict)
    parts: list[str] | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Saved:
    """A folder in this form, as found on disk.

    Attributes:
        index: of the folder.
        model, student, selector: files; None where they are not there.
    """

    index: Index
    model: Path | None
    student: Path | None
    selector: Path | None

    @classmethod
    def beside(cls, weights: str | Path | None) -> Self | None:
        """The folder that weights name, or whose model they are; None where they are neither."""
        if weights is None:
            return None
        given = Path(weights)
        if given.is_dir():
            folder = given
        elif given.name in (MODEL, STUDENT, _OLD_TEACHER):
            folder = given.parent
        else:
            return None
        known = (folder / INDEX).is_file() or (folder / _OLD_INDEX).is_file()
        return cls.load(folder) if known else None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder.

        Raises:
            WeightsError: it is not one that was written in this form, or a later version wrote it.
        """
        file = folder / INDEX
        if not file.is_file() and (folder / _OLD_INDEX).is_file():
            return cls._old(folder)
        index = _parsed(file, _read(file))

        def there(part: str) -> Path | None:
            named = part == "model" or index.parts is None or part in index.parts
            path = folder / f"{part}.safetensors"
            return path if named and path.is_file() else None

        model, student = there("model"), there("student")
        if model is None:  # a student whose teacher is of another kind
            model, student = student, None
        return cls(index, model, student, there("selector"))

    @classmethod
    def _old(cls, folder: Path) -> Self:
        """A folder of version 0.1; those of runs say nothing of their files."""
        values = _read(folder / _OLD_INDEX)
        if values.get("format") not in (1, None):
            raise _newer(folder / _OLD_INDEX, values.get("format"))
        weights = values.get("weights", MODEL)
        wrapper = {key: values[key] for key in _WRAPPER_KEYS if values.get(key) is not None}
        index = {
            "backend": values.get("backend"),
            "options": values.get("options", {}),
            "wrapper": wrapper,
            "weights": None if weights in (MODEL, None) else weights,
        }
        model = folder / MODEL if (folder / MODEL).is_file() and weights == MODEL else None
        named = values.get("selector", SELECTOR_FILE) == SELECTOR_FILE
        selector = folder / SELECTOR_FILE if named and (folder / SELECTOR_FILE).is_file() else None
        parsed = _parsed(folder / _OLD_INDEX, index)
        if values.get("teacher") == _OLD_TEACHER:
            return cls(parsed, folder / _OLD_TEACHER, model, selector)
        return cls(parsed, model, None, selector)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments that make the saved wrapper again."""
        return {
            **self.index.options,
            "backend": self.index.backend,
            "weights": self.index.weights if self.model is None else self.model,
            "selector": self.selector,
            **self.index.wrapper,
        }


def save(
    folder: Path,
    teacher: Spotter,
    student: Spotter,
    selector: ResolutionSelector | None,
    wrapper: Mapping[str, Any],
    backend: str,
    options: Mapping[str, Any],
    weights: str | Path | None,
) -> Path:
    """Write a wrapper's index, models and selector.

    Args:
        teacher, student: what reads; the same object where there is one.
        wrapper: keyword arguments of DLDWrapper.
        backend: a registered name.
        options: what the spotter was made with, used where it has no `config` of its own.
        weights: what an engine without a state was loaded from.

    Raises:
        ConfigError: the backend is not registered, the options cannot be written as JSON, or the selector
            cannot be saved.
        WeightsError: the folder cannot be written.
    """
    if backend not in backends.names():
        raise ConfigError(
            f"only a wrapper made with the name of a backend can be saved, not one of {backend}; "
            "register the class (dld_core.plugins.registry.backends.register) and make it by name"
        )
    own = getattr(teacher, "config", None)
    kept = dict(options)
    if isinstance(own, PartConfig):
        kept = differing_options(own)
    parts = ["student"] if student is not teacher else []
    parts += ["selector"] if selector is not None else []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_state = _write_state(teacher, folder / MODEL)
        if student is not teacher:
            _write_state(student, folder / STUDENT)
        if selector is not None:
            save_selector(selector, folder / SELECTOR_FILE, half=False)
        source = None if has_state or weights is None else str(weights)
        index = Index(backend=backend, options=kept, weights=source, wrapper=dict(wrapper), parts=parts)
        write_index(folder, index)
    except OSError as error:
        raise WeightsError(f"cannot write to {folder} ({error.strerror}); choose another folder") from error
    except TypeError as error:
        raise ConfigError(f"the options of {backend} cannot be written as JSON: {error}") from error
    return folder


def write_index(folder: Path, index: Index) -> Path:
    """Write dld.json; returns its path. Raises OSError."""
    return write_file(folder / INDEX, json.dumps(index.model_dump(), indent=2) + "\n")


def model_file(folder: Path) -> Path:
    """What reads at full scale; the student where it is alone."""
    student = folder / STUDENT
    return student if student.is_file() and not (folder / MODEL).is_file() else folder / MODEL


def student_file(folder: Path) -> Path:
    """What reads at smaller scales; the model where it does."""
    student = folder / STUDENT
    return student if student.is_file() else folder / MODEL


def differing_options(config: PartConfig) -> dict[str, Any]:
    """The options that differ from the defaults, those of its preset where it has one."""
    values = config.model_dump(mode="json")
    named = {"preset": values["preset"]} if "preset" in values else {}
    usual = type(config).parse(named).model_dump(mode="json")
    return named | {name: value for name, value in values.items() if value != usual[name]}


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise WeightsError(
            f"cannot read {file} ({error.strerror}); give a folder written by save()"
        ) from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{file} is damaged ({error}); save the wrapper again") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{file} is damaged (it holds no mapping); save the wrapper again")
    return values


def _parsed(file: Path, values: Mapping[str, Any]) -> Index:
    if values.get("format", _FORMAT) != _FORMAT:
        raise _newer(file, values.get("format"))
    try:
        return Index.parse(values)
    except ConfigError as error:
        raise WeightsError(f"{file} is damaged ({error}); save the wrapper again") from None


def _newer(file: Path, version: object) -> WeightsError:
    return WeightsError(f"{file} has format {version}, and this version of dld reads {_FORMAT}; update dld")


def _write_state(spotter: Spotter, path: Path) -> bool:
    if not isinstance(spotter, nn.Module):
        return False
    # Clones, because safetensors refuses tensors that share memory.
    state = {name: value.detach().cpu().clone().contiguous() for name, value in spotter.state_dict().items()}
    write_file(path, to_bytes(state, {"format": "pt"}))
    return True
