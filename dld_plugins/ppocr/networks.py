"""The detector, cut before its sigmoid, and what of both networks can be trained, by name."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from dld_core.decoders.ctc import CTCDecoder
from dld_core.decoders.line_encoder import LineEncoder, expect
from dld_core.runtimes.graph import Graph, OnnxModule


class Detector(OnnxModule):
    """Images [B, 3, H, W], normalised, sides multiples of 32, to logits of text [B, 1, H, W]."""

    def __init__(self, graph: Graph) -> None:
        last = expect(graph.maker(graph.output), "Sigmoid")
        super().__init__(graph.until(last.inputs[0]))


def constants_of(module: OnnxModule) -> dict[str, Tensor]:
    """What can be trained, by its name in the ONNX file."""
    own = dict(module.named_parameters())
    return {name: own[here] for name, here in module.places.items() if here in own}


def reader_constants(reader: LineEncoder, decoder: CTCDecoder) -> Mapping[str, Tensor]:
    """The same of the whole recogniser, its classifier included."""
    end, classify = reader.end, decoder.classify
    return {**constants_of(reader), end.weight: classify.weight.t(), end.bias: classify.bias}
