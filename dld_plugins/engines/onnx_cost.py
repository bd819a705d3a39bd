"""Exact FLOPs of ONNX graphs: every convolution and matrix product, at the shapes of a real run.

Shapes are read off a run, not inferred: shape inference gives up on graphs that compute their own shapes
(attention). A multiply-add counts 2; biases, activations and norms count nothing, as everywhere in the field
(`dld_core.evaluation.cost`). Counting takes a second or two, so counts are kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from dld_core.config import home, write_file
from dld_core.evaluation.cost import SizedCost
from dld_core.runtimes.operators import PRODUCTS
from dld_plugins.engines.engine import require

Shape = tuple[int, ...]

# Operators that multiply too and are not counted here: a graph that holds one is refused.
_UNKNOWN = {"LSTM", "GRU", "RNN", "Einsum", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}


def flops(path: str | Path, shapes: Sequence[Shape]) -> list[int]:
    """FLOPs of one ONNX file for inputs of these shapes, from the cache folder or counted now.

    Raises:
        MissingExtraError: it has to be counted, and onnx or onnxruntime is not installed.
        ValueError: the graph holds an operator whose cost is unknown.
    """
    keys = ["x".join(map(str, shape)) for shape in shapes]
    cache = home() / "onnx-cost" / f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()}.json"
    try:
        known = {str(key): int(value) for key, value in json.loads(cache.read_text()).items()}
    except (OSError, ValueError, AttributeError):  # absent, or damaged: it can be made again
        known = {}
    if not known.keys() >= set(keys):
        known.update(zip(keys, _counted(path, shapes), strict=True))
        with suppress(OSError):  # a cache that cannot be written costs time, nothing else
            write_file(cache, json.dumps(known))
    return [known[key] for key in keys]


def _counted(path: str | Path, shapes: Sequence[Shape]) -> Iterator[int]:
    """FLOPs for inputs of these shapes, by running the graph as it stands (nothing fused) on zeros."""
    onnx, runtime = require("onnx", "rapidocr"), require("onnxruntime", "rapidocr")
    model = onnx.load(str(path))
    unknown = sorted({node.op_type for node in model.graph.node} & _UNKNOWN)
    if unknown:
        raise ValueError(f"the cost of {', '.join(unknown)} in {path} is unknown")
    nodes = [node for node in model.graph.node if node.op_type in PRODUCTS]
    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    source = next(value.name for value in model.graph.input if value.name not in known)
    watched = sorted({name for n in nodes for name in (*n.input[:2], n.output[0])} - {*known, source})
    del model.graph.output[:]  # the values whose shapes are wanted become the outputs
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in watched)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for shape in shapes:
        values = session.run(watched, {source: np.zeros(shape, np.float32)})
        sizes = {**known, source: shape} | {n: v.shape for n, v in zip(watched, values, strict=True)}
        yield 2 * sum(
            PRODUCTS[node.op_type](*(sizes[name] for name in (*node.input[:2], node.output[0])))
            for node in nodes
        )


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
