"""An ONNX graph as a PyTorch module: the same numbers, with gradients.

The weights of the graph become parameters; the graph itself is walked node by node. Converted modules are
compared with onnxruntime once for each file, and the proof is kept in the cache folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dld_core.errors import WeightsError
from dld_core.home import home
from dld_plugins.engine import require
from dld_plugins.ppocr.operators import OPERATORS

# Inputs, by place, that are floats of several elements and yet nothing to learn: statistics, scale factors.
_FIXED = {"BatchNormalization": (3, 4), "Resize": (1, 2)}
TOLERANCE = 1e-3  # of the largest output; what is seen is some 1e-5


class OnnxModule(nn.Module):
    """The graph of an ONNX file with one input and one output.

    Floating-point constants of more than one element are parameters, save the statistics of batch norms and
    factors of resizing; all other constants (shapes, the 0.5 of a GELU) are buffers.

    Attributes:
        metadata: the text that the file carries beside the graph, such as the recogniser's characters.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        onnx = require("onnx", "rapidocr")
        model = _load(onnx, Path(path))
        self.metadata: dict[str, str] = {item.key: item.value for item in model.metadata_props}
        self._nodes = [_Node(onnx, node) for node in model.graph.node]
        unknown = sorted({node.kind for node in self._nodes} - OPERATORS.keys())
        if unknown:
            raise WeightsError(f"{path} holds {', '.join(unknown)}, which PP-OCR's published graphs do not")
        self._names = self._take(onnx, model.graph)
        (self.input,) = (given.name for given in model.graph.input if given.name not in self._names)
        (self.output,) = (given.name for given in model.graph.output)

    def _take(self, onnx: Any, graph: Any) -> dict[str, str]:
        """Make the constants members of this module: names in the graph -> names here."""
        fixed = {name for node in self._nodes for name in node.fixed}
        names = {}
        for index, constant in enumerate(graph.initializer):
            value = torch.as_tensor(np.array(onnx.numpy_helper.to_array(constant)))
            here = f"c{index}_{constant.name.replace('.', '_')}"
            if value.is_floating_point() and value.numel() > 1 and constant.name not in fixed:
                self.register_parameter(here, nn.Parameter(value))
            else:
                self.register_buffer(here, value)
            names[constant.name] = here
        return names

    def forward(self, x: Tensor) -> Tensor:
        """The output of the graph."""
        return self.values(x, [self.output])[0]

    def values(self, x: Tensor, names: Sequence[str]) -> list[Tensor]:
        """The values of these names in the graph, such as what the last layer sees."""
        known: dict[str, Tensor] = {name: getattr(self, here) for name, here in self._names.items()}
        known[self.input] = x
        for node in self._nodes:
            known[node.output] = node.run(known)
        return [known[name] for name in names]


class _Node:
    """One operator: its kind, the names of its inputs and output, and its attributes."""

    def __init__(self, onnx: Any, node: Any) -> None:
        self.kind: str = node.op_type
        self.inputs: list[str] = list(node.input)
        self.output: str = node.output[0]
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    @property
    def fixed(self) -> list[str]:
        """Inputs that are never learned."""
        return [self.inputs[i] for i in _FIXED.get(self.kind, ()) if i < len(self.inputs)]

    def run(self, known: dict[str, Tensor]) -> Tensor:
        return OPERATORS[self.kind]([known[name] if name else None for name in self.inputs], self._attributes)


def _load(onnx: Any, path: Path) -> Any:
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf has many ways to say that a file is none
        raise WeightsError(f"{path} is no ONNX file that can be read ({type(error).__name__})") from error


def convert(path: str | Path, shape: Sequence[int]) -> OnnxModule:
    """The module of an ONNX file in eval mode, proven once against onnxruntime on noise of this shape.

    Raises:
        MissingExtraError: onnx, or for the proof onnxruntime, is not installed.
        WeightsError: the file cannot be read or converted, or the module answers differently.
    """
    module = OnnxModule(path).eval()
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    proof = home() / "ppocr" / f"{digest}-torch{torch.__version__}.proven"
    if not proof.exists():
        error = difference(module, path, shape)
        if not error <= TOLERANCE:
            raise WeightsError(
                f"{path} converted to PyTorch answers differently from onnxruntime (by {error:.1e} of its "
                "largest output); use the backend rapidocr, and report the versions of torch and the file"
            )
        _keep(proof, error)
    return module


def difference(module: OnnxModule, path: str | Path, shape: Sequence[int]) -> float:
    """The largest difference to onnxruntime on seeded noise, as a fraction of the largest output."""
    runtime = require("onnxruntime", "rapidocr")
    noise = np.random.default_rng(0).uniform(-1, 1, tuple(shape)).astype(np.float32)
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run([module.output], {module.input: noise})
    with torch.no_grad():
        found = module(torch.from_numpy(noise)).numpy()
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-9))


def _keep(proof: Path, error: float) -> None:
    try:
        proof.parent.mkdir(parents=True, exist_ok=True)
        proof.write_text(f"{error:.3e}\n")
    except OSError:  # without a cache the proof is made again next time
        return
