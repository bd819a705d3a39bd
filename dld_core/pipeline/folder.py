"""Weights on disk: runs, saved wrappers and exports are folders of one form. Nothing in them is unpickled.

model.safetensors       what reads at full scale (the teacher)
student.safetensors     what reads at smaller scales; absent where the model does
selector.safetensors    what chooses the scale; may be absent
dld.json                backend, options that differ from its defaults, and where all of it comes from
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from dld_core.config import PartConfig, write_file
from dld_core.errors import ConfigError, WeightsError
from dld_core.selection.file import SELECTOR_FILE as SELECTOR_FILE

MODEL_FILE, STUDENT_FILE, ABOUT_FILE = "model.safetensors", "student.safetensors", "dld.json"
_OLD_ABOUT = "config.json"


class About(PartConfig):
    """What dld.json says.

    Attributes:
        format: of the folder.
        backend: name of the spotter.
        options: its options, where they differ from the defaults.
        provenance: how it came about: the command, steps, words seen, the teacher.
    """

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    backend: str
    options: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)


def write_about(
    folder: Path, backend: str, options_type: type[PartConfig], options: Mapping[str, Any], **provenance: Any
) -> Path:
    """Write dld.json. Raises OSError."""
    changed = options_type.parse(options).model_dump(mode="json", exclude_defaults=True)
    about = About(backend=backend, options=changed, provenance=provenance)
    return write_file(folder / ABOUT_FILE, json.dumps(about.model_dump(), indent=2, default=str) + "\n")


def read_about(folder: Path) -> About | None:
    """What a folder says of itself, None where it says nothing; folders of version 0.1 are understood.

    Raises:
        WeightsError: the file is damaged, or of a later version.
    """
    file = next((folder / name for name in (ABOUT_FILE, _OLD_ABOUT) if (folder / name).is_file()), None)
    if file is None:
        return None
    try:
        return About.parse(json.loads(file.read_text(encoding="utf-8")), where=str(file))
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise WeightsError(f"{file} does not describe weights of this version ({error})") from None


def model_file(folder: Path) -> Path:
    """What reads at full scale; the student where it is alone."""
    student = folder / STUDENT_FILE
    return student if student.is_file() and not (folder / MODEL_FILE).is_file() else folder / MODEL_FILE


def student_file(folder: Path) -> Path:
    """What reads at smaller scales; the model where it does."""
    student = folder / STUDENT_FILE
    return student if student.is_file() else folder / MODEL_FILE
