"""The networks on onnxruntime, with whatever weights the PyTorch modules have at the moment."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_core.runtimes.graph import read_onnx
from dld_plugins.engine import require
from dld_plugins.ppocr.files import EXTRA

Weights = Mapping[str, Tensor]
"""Constants of a graph by name."""


class Sessions:
    """One session for each file, made when first needed and again when the weights have changed.

    It holds nothing that belongs to the weights: copies start empty.

    Args:
        threads: of each session; None for as many as torch uses.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._made: dict[Path, tuple[tuple[float, ...], Any]] = {}
        self._untouched: dict[Path, tuple[float, ...]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Sessions], tuple[int | None]]:
        return Sessions, (self._threads,)

    def untouched(self, path: Path, weights: Weights) -> None:
        """Note that the weights are those of the file, so that the file itself can be run."""
        self._untouched[path] = _stamp(weights)

    def run(self, path: Path, weights: Weights, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output of the file's graph with these weights."""
        session = self._session(path, weights)
        (found,) = session.run(None, {session.get_inputs()[0].name: x})
        return np.asarray(found, np.float32)

    def _session(self, path: Path, weights: Weights) -> Any:
        stamp = _stamp(weights)
        with self._lock:
            known = self._made.get(path)
            if known is None or known[0] != stamp:
                same = self._untouched.get(path) == stamp
                known = stamp, _open(str(path) if same else with_weights(path, weights), self._threads)
                self._made[path] = known
            return known[1]


def _stamp(weights: Weights) -> tuple[float, ...]:
    """Differs after a move of the memory and after a change in place: torch counts these, but for those of
    fused optimisers, which show in the values.
    """
    places = (number for value in weights.values() for number in (value.data_ptr(), value._version))
    return *places, *(value.detach().flatten()[0].item() for value in weights.values() if value.numel())


def with_weights(path: Path, weights: Weights) -> bytes:
    """The ONNX file with other values in it; constants that are not named stay."""
    onnx = require("onnx", EXTRA)
    model = read_onnx(path)
    for constant in model.graph.initializer:
        if constant.name in weights:
            value = weights[constant.name].detach().cpu().contiguous().numpy()
            constant.CopyFrom(onnx.numpy_helper.from_array(value, constant.name))
    return bytes(model.SerializeToString())


def _open(model: str | bytes, threads: int | None) -> Any:
    runtime = require("onnxruntime", EXTRA)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.enable_cpu_mem_arena = False  # pages are of many sizes; the arena would keep the largest of each
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
