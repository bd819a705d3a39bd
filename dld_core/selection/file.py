"""A selector on disk: one safetensors file whose header holds its options. Nothing is unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dld_core.errors import WeightsError
from dld_core.selection.config import SelectorConfig
from dld_core.selection.network import DenseSelector

_FORMAT = "dld-selector-1"
_CALIBRATED = ("slope", "offset")


def save_selector(selector: DenseSelector, path: str | Path, half: bool = True) -> Path:
    """Write a selector; floating-point tensors in 16 bits unless `half` is off. Returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if half and value.is_floating_point() else value).cpu().contiguous()
        for name, value in selector.state_dict().items()
    }
    header = {"format": _FORMAT, "config": json.dumps(selector.config.model_dump(mode="json"))}
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.write_bytes(save(state, header))
    os.replace(unfinished, target)
    return target


def load_selector(path: str | Path) -> DenseSelector:
    """Read one, in eval mode. Raises WeightsError for anything else than what `save_selector` wrote."""
    file = Path(path)
    try:
        with safe_open(file, framework="pt") as content:
            header = content.metadata() or {}
            state = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read the selector {file} ({error}); check the path") from None
    if header.get("format") != _FORMAT:
        raise WeightsError(
            f"{file} holds no selector; give the selector.safetensors that `dld distill` wrote"
        )
    selector = DenseSelector(SelectorConfig.parse(json.loads(header["config"]), where=str(file)))
    own = selector.state_dict()
    state = {**{name: own[name] for name in _CALIBRATED}, **state}  # those that never were
    for name in _CALIBRATED:
        if state[name].ndim < own[name].ndim:  # those whose calibration is the same for all size_ratios
            state[name] = torch.stack([state[name], torch.zeros_like(state[name])])
    if {name: value.shape for name, value in own.items()} != {n: v.shape for n, v in state.items()}:
        raise WeightsError(f"{file} does not fit the selector network of this version; fit it again")
    selector.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})
    return selector.eval()
