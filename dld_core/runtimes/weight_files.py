"""Reading weights: safetensors files, and nothing in them that no network can compute with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dld_core.errors import WeightsError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_COUNTS = (torch.int64, torch.bool)  # of steps and flags; weights in integers are another format


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, floats as float32, and the text of the header.

    Raises:
        WeightsError: the file is absent or damaged, or holds what `checked` refuses.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is not a readable safetensors file ({error}); check the path, copy or download it again"
        ) from None
    return checked(state, path), header


def checked(state: Mapping[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """The tensors, floats as float32.

    Raises:
        WeightsError: one is of a type that is no weight's (int8, say), or holds NaN or infinity.
    """
    for name, value in state.items():
        if value.dtype not in (*_FLOATS, *_COUNTS):
            kind = str(value.dtype).removeprefix("torch.")
            raise WeightsError(
                f"{path} holds {name} as {kind}; weights are float32, float16 or bfloat16: give the file "
                "from before it was quantised"
            )
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(
                f"{path} holds NaN or infinity in {name}; the training that wrote it went wrong, or the file "
                "is damaged: use an earlier checkpoint or another copy"
            )
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Names that both have where shapes differ, or where one holds floats and the other integers."""
    return [
        name
        for name in sorted(own.keys() & state.keys())
        if own[name].shape != state[name].shape
        or own[name].is_floating_point() != state[name].is_floating_point()
    ]
