"""A recogniser of text lines that comes as a graph, cut before its classifier, which a CTC decoder holds.

The graphs are PP-OCRv6's. One of them is bundled: `small`, its classifier cut to Latin rows (see weights/).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dld_core.decoders.charset import Charset
from dld_core.decoders.ctc import CTCDecoder
from dld_core.errors import WeightsError
from dld_core.runtimes.graph import Graph, Node, OnnxModule

HEIGHT = 48
"""Pixels of a line."""
COLUMN = 8
"""Pixels of a line for each column of the context."""
STEM = 4
"""Pixels of a line for each position of the first stage's features."""
LATIN = Path(__file__).parent / "weights" / "ppocrv6_small_latin.safetensors"
CHARACTERS = "character"  # of a graph's metadata: the characters of its classifier, one a line, no blank


class States(NamedTuple):
    """What the encoder makes of N lines.

    Attributes:
        features: [N, C, 12, W / 4], after its stem and first stage.
        context: [N, W / 8, D], what the classifier sees.
    """

    features: Tensor
    context: Tensor


class Classifier(NamedTuple):
    """The end of a recogniser's graph: names of what it sees, of its weights [D, V] and of its bias [V]."""

    context: str
    weight: str
    bias: str

    @classmethod
    def of(cls, graph: Graph) -> Classifier:
        """Raises WeightsError where the graph ends otherwise."""
        softmax = expect(graph.maker(graph.output), "Softmax")
        adding = expect(graph.maker(softmax.inputs[0]), "Add")
        product = expect(graph.maker(adding.inputs[0]), "MatMul")
        return cls(product.inputs[0], product.inputs[1], adding.inputs[1])


class LineEncoder(OnnxModule):
    """Lines [N, 3, 48, W] in [-1, 1], blue first, to States. W is a multiple of 8.

    Args:
        graph: of the whole recogniser.

    Attributes:
        channels: C of the features.
        width: D of the context.
    """

    shape = ("n", 3, HEIGHT, "w")

    def __init__(self, graph: Graph) -> None:
        self.end = Classifier.of(graph)
        super().__init__(graph.until(self.end.context))
        self.width = graph.constants[self.end.weight].shape[0]
        self._stem, self.channels = self._find_stem()

    def _find_stem(self) -> tuple[str, int]:
        """The last value at a quarter of a line's size, and its channels."""
        shapes: dict[str, torch.Size] = {}
        with torch.no_grad(), torch.device("cpu"):
            probe = torch.zeros(1, 3, HEIGHT, 2 * HEIGHT)
            self.watch(probe, lambda name, value: shapes.update({name: value.shape}))
        wanted = (HEIGHT // STEM, 2 * HEIGHT // STEM)
        found = [(name, s[1]) for name, s in shapes.items() if len(s) == 4 and tuple(s[2:]) == wanted]
        if not found:
            raise WeightsError(
                "the recogniser has no features at a quarter of its input; use PP-OCRv6's files"
            )
        return found[-1]

    def states(self, lines: Tensor, added: Tensor | None = None) -> States:
        """See States; no lines are fine.

        Args:
            added: [N, C, 12, W / 4], added to the features before the later stages see them.
        """
        if len(lines):
            more = {} if added is None else {self._stem: added}
            return States(*self.values(lines, [self._stem, self.output], more))
        rows, columns = HEIGHT // STEM, lines.shape[3] // STEM
        features = lines.new_zeros((0, self.channels, rows, columns))
        return States(features, lines.new_zeros((0, lines.shape[3] // COLUMN, self.width)))


def make_decoder(graph: Graph, charset: str, max_length: int, beam_width: int = 8) -> CTCDecoder:
    """The decoder that holds a recogniser's classifier.

    Raises:
        WeightsError: the characters are not those that it was trained with.
    """
    end = Classifier.of(graph)
    weight, bias = graph.constants[end.weight], graph.constants[end.bias]
    if len(charset) + 1 != len(bias) or len(set(charset)) != len(charset):
        raise WeightsError(
            f"the recogniser answers with {len(bias) - 1} characters, and {len(charset)} are listed "
            f"({len(set(charset))} different ones); install the package with the models again"
        )
    with weight.device:
        decoder = CTCDecoder(Charset(charset), len(weight), max_length, beam_width)
    decoder.classify.load_state_dict({"weight": weight.t(), "bias": bias})
    return decoder


def characters_of(graph: Graph) -> str:
    """The characters of a recogniser's classifier in its order, the blank left out, the space last."""
    listed = graph.metadata.get(CHARACTERS, "")
    return "".join(line.rstrip("\r") for line in listed.split("\n")) + " "


def with_characters(graph: Graph, wanted: Collection[str]) -> Graph:
    """The same recogniser with the rows of these characters and the blank alone.

    The order stays. The space, which ends every list, stays without being named.
    """
    characters = characters_of(graph)
    rows = [i for i, c in enumerate(characters[:-1]) if c in wanted]
    kept = torch.tensor([0, *(i + 1 for i in rows), len(characters)])
    end = Classifier.of(graph)
    cut = {end.weight: graph.constants[end.weight][:, kept], end.bias: graph.constants[end.bias][kept]}
    named = {CHARACTERS: "\n".join(characters[i] for i in rows)}
    return replace(graph, constants={**graph.constants, **cut}, metadata={**graph.metadata, **named})


@cache
def latin_recogniser() -> Graph:
    """The bundled recogniser. Its constants are shared: copy before writing to them.

    Raises:
        WeightsError: the file is missing or damaged; the package has to be installed again.
    """
    return Graph.load(LATIN)


def expect(node: Node, kind: str) -> Node:
    """The node, or WeightsError where it is of another kind."""
    if node.kind != kind:
        raise WeightsError(
            f"the graph has {node.kind} where PP-OCRv6 has {kind}; use the published files of PP-OCRv6"
        )
    return node
