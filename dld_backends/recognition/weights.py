"""Weights of a spotter from a file: which recogniser they hold, and how they fill it.

    python -m dld_backends.recognition.weights TRAINED.safetensors BUNDLED.safetensors

makes what is bundled of what was trained (see `strip`).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from dld_core.errors import WeightsError
from dld_core.pipeline.folder import model_file
from dld_core.runtimes.norms import match_norms
from dld_core.runtimes.weight_files import misfits, read_safetensors
from dld_core.training.weights import save_weights

_LOG = logging.getLogger(__name__)
READER = "reader."
# A parameter that only this kind of recogniser has.
_MARKS = {
    "bridge": "adapter.weight",
    "attention": "decoder.from_context.weight",
    "ctc": "encoder.lstm.weight_ih_l0",
}


class Found(NamedTuple):
    """Tensors by name, and the file that they came from."""

    state: dict[str, Tensor]
    path: Path


def read_state(weights: str | Path | None, bundled: Path, preset: str) -> Found | None:
    """What a file holds.

    Args:
        weights: "bundled", a .safetensors file, a folder holding model.safetensors, or None (gives None).
        bundled: the folder of the weights that ship with the library.
        preset: whose bundled file is NAME.safetensors.

    Raises:
        WeightsError: absent, damaged, or not made of finite floats.
    """
    if weights is None:
        return None
    path = bundled / f"{preset}.safetensors" if str(weights) == "bundled" else Path(weights)
    if path.is_dir():
        path = model_file(path)
    if not path.is_file():
        raise WeightsError(_absent(path, weights, bundled, preset))
    return Found(read_safetensors(path)[0], path)


def _absent(path: Path, weights: str | Path, bundled: Path, preset: str) -> str:
    if str(weights) != "bundled":
        return f"there are no weights at {path}; check the path, or use weights='bundled'"
    have = ", ".join(sorted(f.stem for f in bundled.glob("*.safetensors"))) or "none"
    return (
        f"no weights are bundled for the preset '{preset}' (bundled: {have}); give a file with weights=PATH, "
        "train one with `dld train`, or pass weights=None for random ones"
    )


def kind_of(state: Mapping[str, Tensor]) -> str | None:
    """The recogniser that a state holds; None where it holds none."""
    return next((kind for kind, mark in _MARKS.items() if READER + mark in state), None)


def assign(spotter: nn.Module, found: Found) -> None:
    """Fill a spotter.

    A bridge that is not in the file stays as it ships. A recogniser in the file that is not the spotter's is
    left out, and the log says so.

    Raises:
        WeightsError: the tensors are of another architecture.
    """
    state, path = found
    own_kind, kind = kind_of(spotter.state_dict()), kind_of(state)
    if kind is not None and kind != own_kind:
        unused = [name for name in state if name.startswith(READER)]
        state = {name: value for name, value in state.items() if name not in set(unused)}
        _LOG.warning("%s: %d tensors of its recogniser (%s) are not used", path, len(unused), kind)
        kind = None
    match_norms(spotter, state)  # weights with norms per scale bring their sets along
    own = spotter.state_dict()
    missing = sorted(own.keys() - state.keys())
    if own_kind == "bridge" and kind is None:
        missing = [name for name in missing if not name.startswith(READER)]
    unexpected, shapes = sorted(state.keys() - own.keys()), misfits(own, state)
    if missing or unexpected or shapes:
        raise WeightsError(
            f"{path} does not fit this model: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(unexpected)} unknown {unexpected[:3]}, {len(shapes)} of another shape {shapes[:3]}; "
            "use the options it was trained with"
        )
    spotter.load_state_dict(state, strict=False)


def strip(source: Path, target: Path) -> None:
    """Write weights to be bundled: 16 bits, and of the recogniser the bridge's adapter alone.

    A recogniser of features is left out, so that the bridge reads; the bridge's own is bundled already.
    """
    state, header = read_safetensors(source)
    kept = {k: v for k, v in state.items() if not k.startswith(READER) or k == READER + _MARKS["bridge"]}
    options = json.loads(header.get("options", "{}"))
    save_weights(target, kept, header.get("backend", ""), options, half=True)


if __name__ == "__main__":
    strip(*map(Path, sys.argv[1:]))
