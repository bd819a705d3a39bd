"""The detector, cut before its sigmoid, and the recogniser as one graph again."""

from __future__ import annotations

from dataclasses import replace

from dld_core.decoders.ctc import CTCDecoder
from dld_core.decoders.line_encoder import LineEncoder, expect
from dld_core.runtimes.graph import Graph, Node, OnnxModule


class Detector(OnnxModule):
    """Images [B, 3, H, W], normalised, sides multiples of 32, to logits of text [B, 1, H, W]."""

    def __init__(self, graph: Graph) -> None:
        self._end = expect(graph.maker(graph.output), "Sigmoid")
        super().__init__(graph.until(self._end.inputs[0]))

    def as_graph(self) -> Graph:
        """The whole graph, to probabilities, with the weights as they are now."""
        logits = super().as_graph()
        return replace(logits, nodes=(*logits.nodes, self._end), output=self._end.output)


def reader_graph(reader: LineEncoder, decoder: CTCDecoder) -> Graph:
    """The whole recogniser, to probabilities of characters, with the weights as they are now."""
    graph, end, classify = reader.as_graph(), reader.end, decoder.classify
    tail = (
        Node("MatMul", (end.context, end.weight), "products", {}),
        Node("Add", ("products", end.bias), "logits", {}),
        Node("Softmax", ("logits",), "probabilities", {"axis": 2}),
    )
    rows = {
        end.weight: classify.weight.detach().cpu().t().contiguous(),
        end.bias: classify.bias.detach().cpu(),
    }
    return replace(
        graph, nodes=(*graph.nodes, *tail), constants={**graph.constants, **rows}, output="probabilities"
    )
