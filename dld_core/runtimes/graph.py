"""Computation graphs read from ONNX files, kept as safetensors, cut, and run as PyTorch modules."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dld_core.errors import MissingExtraError, WeightsError
from dld_core.runtimes.fusing import fused
from dld_core.runtimes.operators import OPERATORS, PRODUCTS
from dld_core.runtimes.weight_files import read_safetensors

# Inputs, by place, that are floats of several elements and yet nothing to learn: statistics, scale factors.
_FIXED = {"BatchNormalization": (3, 4), "Resize": (1, 2)}


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: its ONNX name, its inputs and output by name, its attributes as JSON has them."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]

    @property
    def fixed(self) -> list[str]:
        """Inputs that are never learned."""
        return [self.inputs[i] for i in _FIXED.get(self.kind, ()) if i < len(self.inputs)]


@dataclass(frozen=True, slots=True)
class Graph:
    """What is computed from one input.

    Attributes:
        nodes: in an order in which they can run.
        constants: by name, weights among them.
        input, output: names of values.
        metadata: the text that an ONNX file carries beside the graph, such as the recogniser's characters.
        opset: the version of ONNX's operators that the nodes follow.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    input: str
    output: str
    metadata: dict[str, str]
    opset: int = 11

    @classmethod
    def of_onnx(cls, path: str | Path) -> Graph:
        """Read an ONNX file with one input and one output.

        Raises:
            WeightsError: it cannot be read, or holds an operator that is not converted.
        """
        model = read_onnx(path)
        onnx = _onnx()
        nodes = tuple(_node(onnx, node) for node in model.graph.node)
        unknown = sorted({node.kind for node in nodes} - OPERATORS.keys())
        if unknown:
            raise WeightsError(f"{path} holds {', '.join(unknown)}, which PP-OCR's published graphs do not")
        constants = {
            c.name: torch.as_tensor(np.array(onnx.numpy_helper.to_array(c))) for c in model.graph.initializer
        }
        (given,) = (value.name for value in model.graph.input if value.name not in constants)
        (output,) = (value.name for value in model.graph.output)
        metadata = {item.key: item.value for item in model.metadata_props}
        opset = next(item.version for item in model.opset_import if not item.domain)
        return cls(nodes, constants, given, output, metadata, opset)

    def to_onnx(self, shape: Sequence[str | int]) -> bytes:
        """An ONNX file of the graph.

        Args:
            shape: of the input; sizes that differ from run to run by name.

        Raises:
            MissingExtraError: onnx is not installed.
        """
        onnx = _onnx()
        helper, real = onnx.helper, onnx.TensorProto.FLOAT
        nodes = [helper.make_node(n.kind, n.inputs, [n.output], **n.attributes) for n in self.nodes]
        constants = [onnx.numpy_helper.from_array(v.numpy(), name) for name, v in self.constants.items()]
        given = helper.make_tensor_value_info(self.input, real, shape)
        made = helper.make_tensor_value_info(self.output, real, None)
        graph = helper.make_graph(nodes, "graph", [given], [made], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        helper.set_model_props(model, self.metadata)
        return bytes(model.SerializeToString())

    def save(self, path: Path, half: bool = False) -> None:
        """Write it as one safetensors file: the constants, and the rest in its header.

        Args:
            half: store floats of two dimensions or more in 16 bits; `load` gives float32 all the same.
        """
        nodes = [[n.kind, n.inputs, n.output, n.attributes] for n in self.nodes]
        rest: dict[str, Any] = {
            "nodes": nodes,
            "input": self.input,
            "output": self.output,
            "metadata": self.metadata,
        }
        rest["opset"] = self.opset
        constants = {name: _stored(value, half) for name, value in self.constants.items()}
        save_file(constants, path, {"graph": json.dumps(rest)})

    @classmethod
    def load(cls, path: Path) -> Graph:
        """Read what `save` wrote, floats as float32. Raises WeightsError for anything else."""
        constants, header = read_safetensors(path)
        try:
            rest = json.loads(header["graph"])
            nodes = tuple(Node(kind, tuple(inputs), output, a) for kind, inputs, output, a in rest["nodes"])
            return cls(
                nodes, constants, rest["input"], rest["output"], rest["metadata"], rest.get("opset", 11)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{path} holds no computation graph ({error!r}); install it again") from None

    def until(self, output: str) -> Graph:
        """What is needed to compute this value, and nothing more."""
        wanted, kept = {output}, []
        for node in reversed(self.nodes):
            if node.output in wanted:
                kept.append(node)
                wanted.update(node.inputs)
        constants = {name: value for name, value in self.constants.items() if name in wanted}
        return replace(self, nodes=tuple(reversed(kept)), constants=constants, output=output)

    def maker(self, value: str) -> Node:
        """The node whose output this is, nodes that only pass values on being passed over."""
        node = next((node for node in self.nodes if node.output == value), None)
        if node is None:
            raise WeightsError(f"no node of the graph makes '{value}'; these are not the files of PP-OCR")
        return self.maker(node.inputs[0]) if node.kind == "Identity" else node


def _stored(value: Tensor, half: bool) -> Tensor:
    halved = half and value.is_floating_point() and value.ndim > 1
    return (value.half() if halved else value).contiguous()


def read_onnx(path: str | Path) -> Any:
    """The model of an ONNX file. Raises WeightsError where there is none, MissingExtraError without onnx."""
    onnx = _onnx()
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf has many ways to say that a file is none
        raise WeightsError(f"{path} is no ONNX file that can be read ({type(error).__name__})") from error


def _onnx() -> Any:
    try:
        import onnx  # an optional dependency
    except ImportError:
        raise MissingExtraError('ONNX files need onnx; run: `pip install "dld[onnx]"`') from None
    return onnx


def _node(onnx: Any, node: Any) -> Node:
    attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
    return Node(node.op_type, tuple(node.input), node.output[0], attributes)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


class OnnxModule(nn.Module):
    """A graph that computes with torch, and so has gradients.

    Floating-point constants are parameters, save scalars, the statistics of batch norms and factors of
    resizing; these (shapes, the 0.5 of a GELU) are buffers, which belong to the graph and are in no state.

    Attributes:
        shape: of the input, sizes that differ from run to run by name.
        places: names of the constants in the graph -> names of the parameters and buffers here.
    """

    shape: ClassVar[tuple[str | int, ...]] = ("n", 3, "h", "w")

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.input, self.output = graph.input, graph.output
        self._graph = replace(graph, constants={})
        self._nodes = fused(graph.nodes, graph.constants, graph.output)
        self._last = _last_uses(self._nodes, graph.constants)
        self.places = {name: self._place(name) for name in graph.constants}
        fixed = {name for node in graph.nodes for name in node.fixed}
        for name, value in graph.constants.items():
            if value.is_floating_point() and (value.ndim > 1 or value.numel() > 1) and name not in fixed:
                self.register_parameter(self.places[name], nn.Parameter(value.clone()))
            else:
                self.register_buffer(self.places[name], value.clone(), persistent=False)

    @classmethod
    def _place(cls, constant: str) -> str:
        """A name that no attribute of the module has."""
        name = constant.replace(".", "_")
        return f"{name}_" if hasattr(cls, name) else name

    def as_graph(self) -> Graph:
        """The graph as it was given, with the constants as they are now."""
        constants = {name: getattr(self, here).detach().cpu() for name, here in self.places.items()}
        return replace(self._graph, constants=constants)

    def flops(self, shape: Sequence[int]) -> int:
        """FLOPs for an input of this shape, from the shapes of a run on zeros; a multiply-add counts 2."""
        shapes: dict[str, Sequence[int]] = {
            name: getattr(self, here).shape for name, here in self.places.items()
        }
        shapes[self.input] = shape
        with torch.inference_mode():
            zeros = torch.zeros(*shape, device=next(self.parameters()).device)
            self.watch(zeros, lambda name, value: shapes.update({name: value.shape}))
        counted = [node for node in self._nodes if node.kind in PRODUCTS]
        return 2 * sum(
            PRODUCTS[n.kind](*(shapes[name] for name in (*n.inputs[:2], n.output))) for n in counted
        )

    def forward(self, x: Tensor) -> Tensor:
        """The output of the graph."""
        return self.values(x, [self.output])[0]

    def values(
        self, x: Tensor, names: Sequence[str], added: Mapping[str, Tensor] = MappingProxyType({})
    ) -> list[Tensor]:
        """The values of these names in the graph, such as what the last layer sees.

        Args:
            added: what is added to values of the graph, by name, before anything sees them.
        """
        found: dict[str, Tensor] = {}
        self.watch(x, lambda name, value: found.update({name: value}) if name in names else None, added)
        return [found[name] for name in names]

    def watch(
        self,
        x: Tensor,
        see: Callable[[str, Tensor], None],
        added: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Run the graph, showing every value by its name; `added` as in `values`."""
        known: dict[str, Tensor] = {name: getattr(self, here) for name, here in self.places.items()}
        # Convolutions of this order of memory take a fifth less time, and what follows keeps it.
        known[self.input] = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
        for node, done in zip(self._nodes, self._last, strict=True):
            inputs = [known[name] if name else None for name in node.inputs]
            value = OPERATORS[node.kind](inputs, node.attributes)
            known[node.output] = value + added[node.output] if node.output in added else value
            see(node.output, known[node.output])
            for name in done:
                del known[name]


def _last_uses(nodes: Sequence[Node], constants: Collection[str]) -> list[list[str]]:
    """For every node the values that nobody needs after it, so that memory is given back."""
    seen: set[str] = set(constants)
    last: list[list[str]] = []
    for node in reversed(nodes):
        used = {name for name in (*node.inputs, node.output) if name} - seen
        seen |= used
        last.append(sorted(used))
    return last[::-1]
