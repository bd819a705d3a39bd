"""Loading safetensors weights into a spotter, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dld_core.errors import WeightsError
from dld_core.pipeline.folder import model_file
from dld_core.runtimes.norms import match_norms


def load_weights(module: nn.Module, weights: str | Path | None, bundled: Path, preset: str) -> None:
    """Fill `module` from a file.

    Args:
        weights: "bundled", a .safetensors file, a folder holding model.safetensors, or None (left as it is).
        bundled: the folder of the weights that ship with the library.
        preset: whose bundled file is NAME.safetensors.

    Raises:
        WeightsError: absent, damaged, or of another architecture.
    """
    if weights is None:
        return
    path = bundled / f"{preset}.safetensors" if str(weights) == "bundled" else Path(weights)
    if path.is_dir():
        path = model_file(path)
    if not path.is_file():
        raise WeightsError(_absent(path, weights, bundled, preset))
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is not a readable safetensors file ({error}); copy or download it again"
        ) from None
    _assign(module, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, path)


def _absent(path: Path, weights: str | Path, bundled: Path, preset: str) -> str:
    if str(weights) != "bundled":
        return f"there are no weights at {path}; check the path, or use weights='bundled'"
    have = ", ".join(sorted(f.stem for f in bundled.glob("*.safetensors"))) or "none"
    return (
        f"no weights are bundled for the preset '{preset}' (bundled: {have}); give a file with weights=PATH, "
        "train one with `dld train`, or pass weights=None for random ones"
    )


def _assign(module: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    match_norms(module, state)  # weights with norms per scale bring their sets along
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = [k for k in sorted(own.keys() & state.keys()) if own[k].shape != state[k].shape]
    if missing or unexpected or shapes:
        raise WeightsError(
            f"{path} does not fit this model: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(unexpected)} unknown {unexpected[:3]}, {len(shapes)} of another shape {shapes[:3]}; "
            "use the options it was trained with"
        )
    module.load_state_dict(state)
