"""Weights in and out: starting from another model's, and exporting what was learnt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dld_core.errors import WeightsError
from dld_core.training.config import InitConfig


@dataclass
class InitReport:
    """What an initialisation did, by parameter or buffer name."""

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not (self.missing or self.mismatched)

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
    """Load by name what fits. Raises WeightsError when nothing fits, or not all and `partial` is off."""
    report = copy_matching(model, _rename(read_weights(config.path), config.rename), config.only)
    if not report.loaded:
        raise WeightsError(f"nothing in {config.path} fits the model: {report}; check 'init' (its 'rename')")
    if not (config.partial or report.complete):
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
    """Tensors by name, of a .safetensors file, a folder that holds model.safetensors, or a checkpoint (.pt).

    Of a checkpoint the averaged weights are taken. Nothing is unpickled beyond tensors and plain values.
    """
    from safetensors.torch import load_file

    file = Path(path)
    file = file / "model.safetensors" if file.is_dir() else file
    try:
        if file.suffix != ".pt":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
        return dict(content.get("ema") or content["model"])
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights {file}: {error.strerror or error}; check the path"
        ) from None
    except Exception as error:
        raise WeightsError(f"{file} does not hold weights ({error}); give a .safetensors file") from error


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


def export(
    folder: Path,
    state: Mapping[str, Tensor],
    backend: str,
    options: Mapping[str, Any],
    about: Mapping[str, Any],
    half: bool = False,
) -> Path:
    """Write model.safetensors and config.json; returns the weights' path.

    Args:
        folder: where to; made when absent.
        state: tensors by name.
        backend: name of the spotter.
        options: its options, as they must be given to `create`.
        about: anything else for config.json (steps, words seen, settings).
        half: store floating-point tensors in 16 bits where they fit in its range.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"backend": backend, "options": dict(options), **about}
    path = folder / "model.safetensors"
    save_tensors(path, state, half, {"backend": backend, "options": json.dumps(dict(options))})
    text = json.dumps(content, indent=2, default=str) + "\n"
    (folder / "config.json.tmp").write_text(text, encoding="utf-8")
    (folder / "config.json.tmp").replace(folder / "config.json")
    return path


def save_tensors(
    path: Path, state: Mapping[str, Tensor], half: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a .safetensors file, whole or not at all; `half` as in `export`."""
    from safetensors.torch import save_file

    partial = path.with_name(path.name + ".tmp")
    tensors = {name: _store(value, half) for name, value in state.items()}
    save_file(tensors, partial, metadata=dict(metadata or {}))
    partial.replace(path)


def _store(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu()
    if half and value.dtype == torch.float32 and bool((value.abs() < 65504).all()):
        value = value.half()
    return value.contiguous().clone()
