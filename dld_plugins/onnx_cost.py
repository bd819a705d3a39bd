"""Exact FLOPs of ONNX graphs: every convolution and matrix product, at the shapes of a real run.

Shapes are read off a run, not inferred: shape inference gives up on graphs that compute their own shapes
(attention). A multiply-add counts 2; biases, activations and norms count nothing, as everywhere in the field
(`dld_core.evaluation.cost`). Counting takes a second or two, so counts are kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dld_core.config import home
from dld_core.evaluation.cost import SizedCost
from dld_core.runtimes.operators import PRODUCTS
from dld_plugins.engine import require

Shape = tuple[int, ...]

# Operators that multiply too and are not counted here: a graph that holds one is refused.
_UNKNOWN = {"LSTM", "GRU", "RNN", "Einsum", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}


def flops(path: str | Path, shapes: Sequence[Sequence[int]]) -> list[int]:
    """FLOPs of one ONNX file for inputs of these shapes, from the cache folder or counted now.

    Raises:
        MissingExtraError: it has to be counted, and onnx or onnxruntime is not installed.
        ValueError: the graph holds an operator whose cost is unknown.
    """
    keys = ["x".join(map(str, shape)) for shape in shapes]
    cache = home() / "onnx-cost" / f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()}.json"
    known = _read(cache)
    if not known.keys() >= set(keys):
        counter = _Counter(path)
        known.update((key, counter.count(tuple(shape))) for key, shape in zip(keys, shapes, strict=True))
        _write(cache, known)
    return [known[key] for key in keys]


def _read(cache: Path) -> dict[str, int]:
    try:
        return {str(key): int(value) for key, value in json.loads(cache.read_text()).items()}
    except (OSError, ValueError, AttributeError):  # absent, or damaged: it can be made again
        return {}


def _write(cache: Path, counts: dict[str, int]) -> None:
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(counts))
    except OSError:  # a cache that cannot be written costs time, nothing else
        return


class _Counter:
    """A graph whose intermediate values are its outputs."""

    def __init__(self, path: str | Path) -> None:
        onnx, runtime = require("onnx", "rapidocr"), require("onnxruntime", "rapidocr")
        model = onnx.load(str(path))
        unknown = sorted({node.op_type for node in model.graph.node} & _UNKNOWN)
        if unknown:
            raise ValueError(f"the cost of {', '.join(unknown)} in {path} is unknown")
        self._nodes = [node for node in model.graph.node if node.op_type in PRODUCTS]
        self._constant = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        self._input = next(i.name for i in model.graph.input if i.name not in self._constant)
        names = {name for node in self._nodes for name in (*node.input[:2], node.output[0])}
        self._watched = sorted(names - self._constant.keys() - {self._input})
        self._session = _watching(onnx, runtime, model, self._watched)

    def count(self, shape: Shape) -> int:
        """FLOPs for an input of this shape, by running it on zeros."""
        values = self._session.run(self._watched, {self._input: np.zeros(shape, np.float32)})
        shapes = {**self._constant, self._input: shape}
        shapes.update((name, value.shape) for name, value in zip(self._watched, values, strict=True))
        products = 0
        for node in self._nodes:
            first, second, out = (shapes[name] for name in (*node.input[:2], node.output[0]))
            products += PRODUCTS[node.op_type](first, second, out)
        return 2 * products


def _watching(onnx: Any, runtime: Any, model: Any, names: Sequence[str]) -> Any:
    """A session of the model as it stands (nothing fused) whose outputs are the values of those names."""
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def sized_cost(path: str | Path, stride: int = 32) -> SizedCost:
    """FLOPs of a fully convolutional graph [1, 3, H, W] at any size, H and W multiples of the stride.

    Raises:
        ValueError: the graph is not of that kind.
    """
    sizes = SizedCost.sizes((stride,))
    counts = dict(zip(sizes, flops(path, [(1, 3, *size) for size in sizes]), strict=True))  # in one session
    try:
        return SizedCost(lambda height, width: [counts[height, width]], (stride,))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
