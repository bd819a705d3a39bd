"""Weights in and out: starting from another model's, and writing what was learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dld_core.config import replacing
from dld_core.errors import WeightsError
from dld_core.pipeline.folder import model_file, student_file
from dld_core.runtimes.weight_files import read_safetensors
from dld_core.training.config import InitConfig


@dataclass
class InitReport:
    """What an initialisation did, by parameter or buffer name."""

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors loaded"]
        for title, names in (
            ("not in the file, left as they were", self.missing),
            ("of another shape, left as they were", self.mismatched),
            ("in the file but not in the model", self.unused),
        ):
            if names:
                more = f" and {len(names) - 6} more" if len(names) > 6 else ""
                lines.append(f"{len(names)} {title}: {', '.join(names[:6])}{more}")
        return "; ".join(lines)


def initialise(model: nn.Module, config: InitConfig) -> InitReport:
    """Load by name what fits; of a folder, the student where it has one.

    Raises WeightsError when nothing fits, or not all and `partial` is off.
    """
    path = Path(config.path)
    source = read_weights(student_file(path) if path.is_dir() else path)
    report = copy_matching(model, _rename(source, config.rename), config.only)
    if not report.loaded:
        raise WeightsError(f"nothing in {config.path} fits the model: {report}; check 'init' (its 'rename')")
    if not config.partial and (report.missing or report.mismatched):
        raise WeightsError(
            f"{config.path} does not fit the model: {report}; set 'init.partial: true' to allow it"
        )
    return report


def copy_matching(model: nn.Module, source: Mapping[str, Tensor], only: Sequence[str] = ()) -> InitReport:
    """Copy by name what is there and of the right shape.

    Args:
        only: patterns; nothing but the tensors whose name matches one is copied. Empty for all.
    """
    target = model.state_dict()
    report = InitReport(unused=[name for name in source if name not in target])
    for name in target:
        if only and not any(fnmatchcase(name, pattern) for pattern in only):
            continue
        if name not in source:
            report.missing.append(name)
        elif source[name].shape != target[name].shape:
            report.mismatched.append(f"{name} {list(source[name].shape)} for {list(target[name].shape)}")
        else:
            target[name].copy_(source[name])
            report.loaded.append(name)
    return report


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, of a .safetensors file, of the model in a folder, or of a checkpoint (.pt).

    Of a checkpoint the averaged weights are taken. Nothing is unpickled beyond tensors and plain values.
    """
    file = Path(path)
    file = model_file(file) if file.is_dir() else file
    try:
        if file.suffix != ".pt":
            return read_safetensors(file)[0]
        content = torch.load(file, map_location="cpu", weights_only=True)
        state = dict(content.get("ema") or content["model"])
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(f"{file} does not hold weights ({error}); give a .safetensors file") from error
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise WeightsError(f"{file} does not hold weights by name; give a .safetensors file")
    return state


def _rename(source: Mapping[str, Tensor], rename: Mapping[str, str]) -> dict[str, Tensor]:
    """The source under its new names; where two tensors end up with one name, the renamed one stays."""
    kept, renamed = {}, {}
    for name, value in source.items():
        old = next((old for old in rename if name.startswith(old)), None)
        if old is None:
            kept[name] = value
        else:
            renamed[rename[old] + name[len(old) :]] = value
    return {**kept, **renamed}


def save_weights(
    path: Path, state: Mapping[str, Tensor], backend: str, options: Mapping[str, Any], half: bool = False
) -> Path:
    """Write a .safetensors file whose header names backend and options; returns its path.

    Args:
        half: store floating-point tensors in 16 bits where they fit in their range.

    Raises:
        OSError: it cannot be written; nothing is left then.
    """
    tensors = {name: _stored(value, half) for name, value in state.items()}
    with replacing(path) as partial:
        save_file(tensors, partial, {"backend": backend, "options": json.dumps(dict(options))})
    return path


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu()
    if half and value.dtype == torch.float32 and bool((value.abs() < 65504).all()):
        value = value.half()
    return value.contiguous().clone()
