"""Detector and recogniser, cut where training needs them: before the sigmoid, and before the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from dld_core.decoders.charset import Charset
from dld_core.decoders.ctc import CTCDecoder
from dld_core.errors import WeightsError
from dld_core.runtimes.graph import Graph, Node, OnnxModule
from dld_plugins.ppocr.config import COLUMN
from dld_plugins.ppocr.lines import HEIGHT

_STEM_STRIDE = 4  # pixels of a line for each position of its region features


class Detector(OnnxModule):
    """Images [B, 3, H, W], normalised, sides multiples of 32, to logits of text [B, 1, H, W]."""

    def __init__(self, graph: Graph) -> None:
        last = _expect(graph.maker(graph.output), "Sigmoid")
        super().__init__(graph.until(last.inputs[0]))


class States(NamedTuple):
    """What the recogniser makes of N lines.

    Attributes:
        features: [N, C, 12, W / 4], after its stem and first stage.
        context: [N, W / 8, D], what its classifier sees.
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
        softmax = _expect(graph.maker(graph.output), "Softmax")
        adding = _expect(graph.maker(softmax.inputs[0]), "Add")
        product = _expect(graph.maker(adding.inputs[0]), "MatMul")
        return cls(product.inputs[0], product.inputs[1], adding.inputs[1])


class Reader(OnnxModule):
    """Lines [N, 3, 48, W] in [-1, 1] to States.

    Args:
        graph: of the whole recogniser.
    """

    def __init__(self, graph: Graph) -> None:
        self.end = Classifier.of(graph)
        super().__init__(graph.until(self.end.context))
        self._width = graph.constants[self.end.weight].shape[0]
        self._stem, self._channels = self._find_stem()

    def _find_stem(self) -> tuple[str, int]:
        """The last value at a quarter of a line's size, and its channels."""
        shapes: dict[str, torch.Size] = {}
        with torch.no_grad():
            self.watch(
                torch.zeros(1, 3, HEIGHT, 2 * HEIGHT), lambda name, value: shapes.update({name: value.shape})
            )
        wanted = (HEIGHT // _STEM_STRIDE, 2 * HEIGHT // _STEM_STRIDE)
        found = [(name, s[1]) for name, s in shapes.items() if len(s) == 4 and tuple(s[2:]) == wanted]
        if not found:
            raise WeightsError(
                "the recogniser has no features at a quarter of its input; use PP-OCRv6's files"
            )
        return found[-1]

    def states(self, lines: Tensor) -> States:
        """See States; no lines are fine."""
        if len(lines):
            return States(*self.values(lines, [self._stem, self.output]))
        rows, columns = HEIGHT // _STEM_STRIDE, lines.shape[3] // _STEM_STRIDE
        features = lines.new_zeros((0, self._channels, rows, columns))
        return States(features, lines.new_zeros((0, lines.shape[3] // COLUMN, self._width)))


def make_decoder(graph: Graph, charset: str, max_length: int, beam_width: int) -> CTCDecoder:
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
    decoder = CTCDecoder(Charset(charset), len(weight), max_length, beam_width)
    decoder.classify.load_state_dict({"weight": weight.t(), "bias": bias})
    return decoder


def constants_of(module: OnnxModule) -> dict[str, Tensor]:
    """What can be trained, by its name in the ONNX file."""
    own = dict(module.named_parameters())
    return {name: own[here] for name, here in module.places.items() if here in own}


def reader_constants(reader: Reader, decoder: CTCDecoder) -> Mapping[str, Tensor]:
    """The same of the whole recogniser, its classifier included."""
    end, classify = reader.end, decoder.classify
    return {**constants_of(reader), end.weight: classify.weight.t(), end.bias: classify.bias}


def _expect(node: Node, kind: str) -> Node:
    if node.kind != kind:
        raise WeightsError(
            f"the graph has {node.kind} where PP-OCRv6 has {kind}; use the published files of PP-OCRv6"
        )
    return node
