"""The networks on the runtime that is installed, with whatever weights their modules have at the moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dld_core.errors import MissingExtraError
from dld_core.runtimes.graph import OnnxModule
from dld_plugins.engines.engine import absent, require

Pixels = NDArray[np.float32]
Session = Callable[[Pixels], Pixels]
RUNTIMES = {"openvino": "openvino", "onnxruntime": "onnx"}
"""Fastest first, and the extras that install them."""
_SHAPES = 256  # kernels that OpenVINO keeps; of pages of many sizes it would keep thousands


def choose(runtime: str) -> str:
    """What "auto" stands for here: the fastest runtime that is installed, else "torch".

    Raises:
        MissingExtraError: a runtime that is named is not installed.
    """
    lacking = {name: absent((name, "onnx"), extra) for name, extra in RUNTIMES.items()}
    if runtime == "auto":
        return next((name for name, lack in lacking.items() if lack is None), "torch")
    if (lack := lacking.get(runtime)) is not None:
        raise MissingExtraError(lack)
    return runtime


class Sessions:
    """One session for each network, made when first needed and again when the weights have changed.

    It holds nothing that belongs to the weights: copies start empty.

    Args:
        runtime: one of RUNTIMES.
        threads: of each session; None for as many as torch uses.
    """

    def __init__(self, runtime: str, threads: int | None = None) -> None:
        self._arguments = runtime, threads
        self._made: dict[int, tuple[tuple[float, ...], Session]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Sessions], tuple[str, int | None]]:
        return Sessions, self._arguments

    def run(self, network: OnnxModule, x: Pixels) -> Pixels:
        """The output of the network's whole graph."""
        stamp = _stamp(network)
        with self._lock:
            known = self._made.get(id(network))
            if known is None or known[0] != stamp:
                runtime, threads = self._arguments
                model = network.as_graph().to_onnx(network.shape)
                known = stamp, _OPENERS[runtime](model, threads or torch.get_num_threads())
                self._made[id(network)] = known
        return known[1](x)


def _stamp(network: OnnxModule) -> tuple[float, ...]:
    """Differs after a move of the memory and after a change in place: torch counts these, but for those of
    fused optimisers, which show in the values.
    """
    weights = list(network.parameters())
    places = (number for value in weights for number in (value.data_ptr(), value._version))
    return *places, *(value.detach().flatten()[0].item() for value in weights)


def _onnxruntime(model: bytes, threads: int) -> Session:
    runtime: Any = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False  # pages are of many sizes; the arena would keep the largest of each
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(session.run(None, {name: x})[0], np.float32)


def _openvino(model: bytes, threads: int) -> Session:
    core: Any = require("openvino", "openvino").Core()
    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "CPU_RUNTIME_CACHE_CAPACITY": _SHAPES,
    }
    compiled = core.compile_model(core.read_model(model), "CPU", hints)
    own = threading.local()  # a request serves one thread at a time

    def run(x: Pixels) -> Pixels:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return np.array(own.request.infer([x])[0], np.float32)  # a copy: the request writes over its own

    return run


_OPENERS: dict[str, Callable[[bytes, int], Session]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}
