"""The bridge: a pretrained recogniser reads a region's pixels, and the spotter's own features help it.

After Bridging Text Spotting (CVPR 2024, arXiv 2404.04624): the recogniser stays as it was trained, and an
adapter that starts at zero adds the features which the detector shares, so that training starts at the
recogniser's own accuracy. Departures: pixels are cut along the polygon by one warp, not from its upright box,
and the features are added after the recogniser's first stage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dld_backends.recognition.crops import Pixels, bucket, cut_lines, grown, line_grids, line_width
from dld_backends.recognition.maps import ReadingMaps
from dld_backends.recognition.recogniser import AnyRegions, Recogniser, Regional
from dld_backends.recognition.words import Points, Spans
from dld_core.decoders.charset import Charset
from dld_core.decoders.ctc import CTCDecoder
from dld_core.decoders.line_encoder import (
    COLUMN,
    HEIGHT,
    STEM,
    LineEncoder,
    characters_of,
    latin_recogniser,
    make_decoder,
    with_characters,
)
from dld_core.decoders.roi_sampling import sample_points
from dld_core.errors import ConfigError
from dld_core.evaluation.cost import flops_of

LONGEST = 1536
"""Pixels of the longest line; longer ones are squeezed."""
NOMINAL = 128
"""Pixels of an average word's line, for the cost."""
_TOGETHER = 2560  # pixels of width that are read at once


class BridgeRecogniser(Recogniser):
    """PP-OCRv6 small's recogniser on pixels, and an adapter from the shared maps.

    Args:
        fine, detail: channels of the maps.
        charset: characters to read; None for all that the recogniser knows.
        max_length: characters of the longest word that is taught.
        beam_width: of the decoder's search.
        region_width: pixels to which regions of a training batch are padded; longer ones are squeezed.
        margin: what is read around a region, as a fraction of its height.
        frozen: leave the recogniser as it was trained; the adapter alone learns.

    Raises:
        ConfigError: the charset holds what the recogniser does not know.
    """

    reads_pixels = True

    def __init__(
        self,
        fine: int,
        detail: int,
        charset: str | None,
        max_length: int,
        beam_width: int,
        region_width: int,
        margin: float,
        frozen: bool,
    ) -> None:
        super().__init__()
        graph = latin_recogniser()
        if charset is not None:
            strange = "".join(sorted(set(charset) - set(characters_of(graph))))
            if strange or " " not in charset:
                raise ConfigError(
                    f"the recogniser 'bridge' cannot read {strange!r}; take it out of 'charset'"
                    if strange
                    else "the recogniser 'bridge' needs the space in 'charset'"
                )
            graph = with_characters(graph, charset)
        self.encoder = LineEncoder(graph)
        self.charset = Charset(characters_of(graph))
        self.decoder = make_decoder(graph, self.charset.characters, max_length, beam_width)
        self.adapter = nn.Conv2d(fine + detail, self.encoder.channels, 1, bias=False)
        nn.init.zeros_(self.adapter.weight)
        self.region_width = region_width
        self.margin = margin
        if frozen:
            self.encoder.requires_grad_(False)
            self.decoder.requires_grad_(False)

    def states(self, maps: ReadingMaps, regions: AnyRegions) -> Regional:
        """Features of the first stage [N, 96, 12, w/4] and context [N, w/8, 120] of regions of one width."""
        polygons = [[grown(as_points(polygon), self.margin) for polygon in own] for own in regions]
        widths = [[line_width(polygon, self.region_width) for polygon in own] for own in polygons]
        lines = [
            line for index, own in enumerate(polygons) for line in _lines(maps, index, own, widths[index])
        ]
        pixels = _stacked(lines, self.region_width).to(maps.fine.device)
        added = self._added(maps, polygons, widths, self.region_width)
        features, context = self.encoder.states(pixels, added)
        # Without words the graph ends in the adapter's zero rows, and is kept.
        return Regional(features if lines else added, context)

    def contexts(self, maps: ReadingMaps, polygons: Sequence[Points]) -> Iterator[tuple[list[int], Tensor]]:
        """Regions of like width together, sorted by it."""
        polygons = [grown(polygon, self.margin) for polygon in polygons]
        widths = [line_width(polygon, LONGEST) for polygon in polygons]
        lines = _lines(maps, 0, polygons, widths)
        idle = not bool(self.adapter.weight.any())
        for rows, width in batches(widths):
            pixels = _stacked([lines[i] for i in rows], width).to(maps.fine.device)
            some, its = [polygons[i] for i in rows], [widths[i] for i in rows]
            added = None if idle else self._added(maps, [some], [its], width)
            yield rows, self.encoder.states(pixels, added).context

    def spans(self, context: Tensor, texts: Sequence[str], polygons: Sequence[Points]) -> list[Spans]:
        """From the columns of the best path; known where that path says the text, and the text has blanks."""
        if not any(" " in text.strip() for text in texts):
            return [() for _ in texts]
        assert isinstance(self.decoder, CTCDecoder)
        paths = self.decoder.classify(context).argmax(2).cpu().numpy()
        edge = HEIGHT * self.margin / (1 + 2 * self.margin)
        widths = [line_width(grown(polygon, self.margin), LONGEST) for polygon in polygons]
        return [
            word_spans(path, text, self.charset, COLUMN / (width - 2 * edge), edge / COLUMN)
            for path, text, width in zip(paths, texts, widths, strict=True)
        ]

    def _added(
        self,
        maps: ReadingMaps,
        regions: Sequence[Sequence[Points]],
        widths: Sequence[Sequence[int]],
        width: int,
    ) -> Tensor:
        """What the adapter makes of the shared maps, [N, 96, 12, width / 4], zero beyond each line."""
        kinds = [maps.fine] if maps.detail is None else [maps.fine, maps.detail]
        extent = maps.fine.shape[2] * STEM, maps.fine.shape[3] * STEM
        found = []
        for index, (polygons, own) in enumerate(zip(regions, widths, strict=True)):
            grid = torch.from_numpy(line_grids(polygons, own, width, STEM)).to(maps.fine.device)[None]
            some = [sample_points(kind[index : index + 1], grid, extent) for kind in kinds]
            found.append(torch.cat(some, 1))
        added: Tensor = self.adapter(torch.cat(found))
        return added

    def map_flops(self, maps: ReadingMaps) -> float:
        """Nothing: what is read is cut from pixels."""
        del maps
        return 0.0

    @torch.no_grad()
    def word_flops(self) -> float:
        """Of a line of nominal width, adapter included."""
        rows, columns = HEIGHT // STEM, NOMINAL // STEM
        maps = torch.empty(1, self.adapter.in_channels, rows, columns, device=self.adapter.weight.device)
        line = torch.zeros(1, 3, HEIGHT, NOMINAL)
        none = torch.zeros(1, 1, dtype=torch.int64)
        return flops_of(lambda: self.adapter(maps)) + flops_of(
            lambda: self.decoder.logits(self.encoder.states(line).context, none)
        )


def word_spans(path: NDArray[np.int64], text: str, charset: Charset, column: float, start: float) -> Spans:
    """Where each word of a text begins and ends, as fractions of the region; () for one word.

    Words reach half a letter beyond the columns of their first and last letters, and meet half-way.

    Args:
        path: the best token of every column, [T].
        column: fraction of the region's length that a column covers.
        start: columns of the line before the region begins.
    """
    columns = np.flatnonzero((path != 0) & np.insert(path[1:] != path[:-1], 0, True))
    if charset.text(path[columns] - 1) != text or len(text.split()) < 2:
        return ()
    places = (columns + 0.5 - start) * column
    words = [(found.start(), found.end() - 1) for found in re.finditer(r"\S+", text)]
    pitch = float(np.median(np.diff(places)))
    ends = [(places[first] - pitch / 2, places[last] + pitch / 2) for first, last in words]
    lows, highs = (np.array(side) for side in zip(*ends, strict=True))
    shared = np.maximum(highs[:-1] - lows[1:], 0) / 2
    lows[1:] += shared
    highs[:-1] -= shared
    lows[0], highs[-1] = 0.0, 1.0
    return tuple(zip(lows.clip(0, 1).tolist(), highs.clip(0, 1).tolist(), strict=True))


def as_points(polygon: Tensor | Points) -> Points:
    """A polygon as numbers on the CPU."""
    return np.asarray(polygon.detach().cpu() if isinstance(polygon, Tensor) else polygon, np.float32)


def batches(widths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Indices of lines that are read together, and the width to which they are padded.

    The width that a line gets depends on its own alone, so that company changes no reading.
    """
    padded = [bucket(width) for width in widths]
    order = sorted(range(len(widths)), key=padded.__getitem__)
    for width, group in groupby(order, key=padded.__getitem__):
        rows, most = list(group), max(_TOGETHER // width, 1)
        yield from ((rows[start : start + most], width) for start in range(0, len(rows), most))


def _lines(maps: ReadingMaps, index: int, polygons: Sequence[Points], widths: Sequence[int]) -> list[Pixels]:
    """The lines of one image of the batch, from the pixels that there are."""
    image = maps.images[index]
    height, width = maps.sizes[index]
    factor = np.array([image.shape[2] / width, image.shape[1] / height], np.float32)
    return cut_lines(image.permute(1, 2, 0).cpu().numpy(), [p * factor for p in polygons], widths)


def _stacked(lines: Sequence[Pixels], width: int) -> Tensor:
    """Lines as the recogniser takes them: [n, 3, 48, width] in [-1, 1], blue first, padded with zeros."""
    stack = np.zeros((len(lines), HEIGHT, width, 3), np.float32)
    for row, line in zip(stack, lines, strict=True):
        row[:, : line.shape[1]] = line[:, :, ::-1].astype(np.float32) / 127.5 - 1
    return torch.from_numpy(stack).permute(0, 3, 1, 2)  # channels last in memory
