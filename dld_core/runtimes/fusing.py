"""Chains of operators that torch computes in one: fewer passes over memory, the same numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from dld_core.runtimes.graph import Node

# GELU as converters write it: x / sqrt(2), erf, + 1, times x, times 1/2.
_GELU = (("Div", math.sqrt(2)), ("Erf", None), ("Add", 1.0), ("Mul", None), ("Mul", 0.5))


def fused(nodes: Sequence[Node], constants: Mapping[str, Tensor], output: str) -> tuple[Node, ...]:
    """The nodes of a graph, chains of them made one, and without those that pass values on.

    A chain is a GELU, or a convolution and its bias. Names of values and of constants that can be
    learned stay.

    Args:
        nodes: in an order in which they can run.
        constants: by name.
        output: the value that is wanted; its name stays, too.
    """
    nodes = _without_identities(nodes, output)
    uses = Counter(name for node in nodes for name in node.inputs)
    users = {name: node for node in nodes for name in node.inputs if uses[name] == 1}
    done: set[str] = set()
    kept: list[Node] = []
    for node in nodes:
        if node.output in done:
            continue
        following = users.get(node.output)
        chain = _gelu(node, users, constants)
        if chain:
            done.update(link.output for link in chain)
            node = replace(node, kind="Gelu", inputs=node.inputs[:1], output=chain[-1].output, attributes={})
        elif node.kind == "Conv" and len(node.inputs) == 2 and following and following.kind == "Add":
            bias = following.inputs[1]
            if bias in constants and constants[bias].shape == (1, constants[node.inputs[1]].shape[0], 1, 1):
                done.add(following.output)
                node = replace(node, inputs=(*node.inputs, bias), output=following.output)
        kept.append(node)
    return tuple(kept)


def _without_identities(nodes: Sequence[Node], output: str) -> list[Node]:
    origin: dict[str, str] = {}
    kept = []
    for node in nodes:
        node = replace(node, inputs=tuple(origin.get(name, name) for name in node.inputs))
        if node.kind == "Identity" and node.output != output:
            origin[node.output] = node.inputs[0]
        else:
            kept.append(node)
    return kept


def _gelu(node: Node, users: Mapping[str, Node], constants: Mapping[str, Tensor]) -> list[Node]:
    """The five nodes of the GELU that begins here; none where none does."""
    chain: list[Node] = []
    link: Node | None = node
    for kind, number in _GELU:
        if link is None or link.kind != kind:
            return []
        if number is not None and not _is(constants.get(link.inputs[1]), number):
            return []
        chain.append(link)
        link = users.get(link.output)
    return chain if node.inputs[0] in chain[3].inputs else []


def _is(constant: Tensor | None, number: float) -> bool:
    if constant is None or constant.numel() != 1:
        return False
    return math.isclose(float(constant), number, rel_tol=1e-3)
