"""Groups of words that belong together: one word, a line, a sign of several lines, a document."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from dld_core.data.synth.config import SynthConfig
from dld_core.data.synth.fonts import FontBook, ForeignBook
from dld_core.data.synth.glyphs import Inked, Line, ink_line, stack
from dld_core.data.synth.sampling import Weighted, integer, log_uniform, pick
from dld_core.data.synth.text import TextSource
from dld_core.data.synth.warp import Arc, Geometry, Matrix, Wave, camera_view

UNREADABLE = "###"
_TINY_RATE = 0.04
# How much higher than the group's letter height the letters of a line are: lowest and highest factor.
_EVEN, _BODY, _SIGN, _HEADLINE = (1.0, 1.0), (0.9, 1.1), (0.65, 1.5), (1.5, 3.0)
_SHAPES = Weighted(("word", "line", "block"), (36, 36, 28))


@dataclass(slots=True)
class Group:
    """Words inked on one canvas, and how the canvas lies, its centre at the page's origin.

    Attributes:
        ink: the canvas with its words.
        geometry: canvas to page, centred on (0, 0).
        height: letter height on the canvas, pixels.
        plate: whether a sign board belongs behind.
        ignore: whether its words are ignore regions.
    """

    ink: Inked
    geometry: Geometry
    height: float
    plate: bool
    ignore: bool = False


def supersampling(height: float) -> float:
    """Canvas pixels per page pixel: small letters need more to survive the warp."""
    return 1.6 if height < 20 else 1.3 if height < 40 else 1.0


class GroupMaker:
    """Samples groups."""

    def __init__(
        self, config: SynthConfig, fonts: FontBook, source: TextSource, foreign: ForeignBook | None = None
    ) -> None:
        self.config, self.fonts, self.source = config, fonts, source
        self.foreign = foreign if foreign and foreign.scripts else None

    def group(self, rng: Generator, most: int, tilt: float) -> Group:
        """A scattered word, line or sign of at most `most` words; `tilt` is the page's roll in radians."""
        shape = _SHAPES.sample(rng) if most > 1 else "word"
        height = rng.uniform(3.0, 7.0) if rng.random() < _TINY_RATE else self._height(rng)
        counts = [1] if shape == "word" else [integer(rng, 2, 4)]
        if shape == "block":
            widest = integer(rng, 1, 5)
            counts = [integer(rng, 1, widest) for _ in range(integer(rng, 2, 5))]
        lines = self._lines(rng, _limit(counts, most), height)
        plate = rng.random() < self.config.plate_rate * (1.3 if shape == "block" else 1.0)
        bend = shape != "block" and rng.random() < self.config.curved_rate
        return _finish(rng, lines, height, "plate" if plate else "free", bend=bend, tilt=tilt)

    def document(self, rng: Generator, most: int) -> Group:
        """A poster, page or screen: many lines, headline first, on one board or straight on the page."""
        smallest, largest = self.config.size_range
        height = log_uniform(rng, smallest, max(smallest, min(40.0, largest)), bias=1.8)
        per_line = integer(rng, 2, 6)
        counts = [integer(rng, max(1, per_line - 2), per_line) for _ in range(max(2, most // per_line))]
        lines = self._lines(rng, _limit(counts, most), height, document=True)
        return _finish(rng, lines, height, "plate" if rng.random() < 0.8 else "free", calm=True)

    def foreign_group(self, rng: Generator, tilt: float) -> Group | None:
        """Unreadable words in another script, or None where no font of this system has one."""
        if self.foreign is None:
            return None
        height = self._height(rng)
        lines = []
        for _ in range(integer(rng, 1, 3)):
            face, words = self.foreign.words(rng, integer(rng, 1, 3))
            lines.append(Line(words, face, height * supersampling(height)))
        group = _finish(rng, lines, height, "plate" if rng.random() < 0.5 else "free", tilt=tilt)
        group.ink.texts = [UNREADABLE] * len(group.ink.texts)
        group.ignore = True
        return group

    def single(self, rng: Generator, height: float) -> Group:
        """One word alone, slightly turned: the tile of a mosaic."""
        lines, bend = self._lines(rng, [1], height), rng.random() < self.config.curved_rate
        return _finish(rng, lines, height, "tile", bend=bend, calm=rng.random() >= 0.15)

    def _height(self, rng: Generator) -> float:
        return log_uniform(rng, *self.config.size_range, bias=self.config.small_bias)

    def _lines(self, rng: Generator, counts: list[int], height: float, document: bool = False) -> list[Line]:
        """Lines of these many words, about `height` high; in a document the first is the headline."""
        texts = self._texts(rng, counts, document)
        # A canvas much larger than the page would be shrunk anyway, after costing its size in time.
        longest = max(sum(map(len, line)) + len(line) for line in texts)
        room = 1.5 * max(self.config.page_size)
        height = min(height * supersampling(height), room / (0.6 * longest), room / (1.6 * len(texts)))
        face = self.fonts.sample(rng, "".join(word for line in texts for word in line))
        tracking = rng.uniform(0.05, 0.45) if rng.random() < 0.15 else 0.0
        spacing = rng.uniform(0.6 if tracking else 0.35, 0.9) + tracking
        body = _EVEN if rng.random() < 0.5 else _BODY if document else _SIGN
        lines = []
        for number, words in enumerate(texts):
            if rng.random() < 0.2:
                face = self.fonts.sample(rng, "".join(words))
            factor = rng.uniform(*(_HEADLINE if document and number == 0 else body))
            lines.append(Line(words, face, height * factor, spacing, tracking))
        return lines

    def _texts(self, rng: Generator, counts: list[int], document: bool) -> list[list[str]]:
        """Words per line; neighbouring lines mostly share their case."""
        case, texts = self.source.case(rng), []
        for number, count in enumerate(counts):
            if rng.random() < 0.25 or (document and number == 1):
                case = self.source.case(rng)
            texts.append([self.source.word(rng, case) for _ in range(count)])
        return texts


def _limit(counts: list[int], most: int) -> list[int]:
    """Words per line, cut so that they sum to at most `most`."""
    sums = np.minimum(np.cumsum(counts), most)
    return [int(count) for count in np.diff(sums, prepend=0) if count] or [1]


def _finish(
    rng: Generator,
    lines: list[Line],
    height: float,
    kind: Literal["plate", "free", "tile"],
    *,
    bend: bool = False,
    tilt: float = 0.0,
    calm: bool = False,
) -> Group:
    scale = supersampling(height)
    canvas_height = min(height * scale, max(line.height for line in lines))
    margin = {"plate": rng.uniform(0.25, 1.0), "tile": rng.uniform(0.15, 0.4), "free": 0.5}[kind]
    leading = canvas_height * rng.uniform(0.25, 0.9)
    inked = [ink_line(line) for line in lines]
    ink = stack(inked, leading, pick(rng, (0.0, 0.5, 0.5, 1.0)), max(3, round(canvas_height * margin)))
    size = (ink.mask.shape[1], ink.mask.shape[0])
    curve = _sample_bend(rng, size, canvas_height) if bend and size[0] > 2.5 * size[1] else None
    geometry = Geometry(size, _sample_view(rng, size, scale, tilt, calm), curve)
    return Group(ink, geometry, canvas_height, kind == "plate" and curve is None)


def _sample_bend(rng: Generator, size: tuple[int, int], height: float) -> Arc | Wave:
    width = float(size[0])
    if rng.random() < 0.2:
        length, phase = width * rng.uniform(0.8, 2.0), rng.uniform(0, 2 * math.pi)
        return Wave(height * rng.uniform(0.15, 0.5), length, phase)
    # A tight ring would fold the canvas over its own centre.
    radius = max(width / rng.uniform(0.5, 2.6), size[1] * 0.9)
    return Arc(radius, 1.0 if rng.random() < 0.65 else -1.0)


def _sample_roll(rng: Generator, calm: bool) -> float:
    """Degrees: mostly nearly level, at times slanted, upright or upside down."""
    kind = rng.random()
    if calm or kind < 0.62:
        return rng.normal(0, 3.0)
    if kind < 0.86:
        return rng.normal(0, 11.0)
    if kind < 0.955:
        return rng.uniform(-50, 50)
    return pick(rng, (-90, 90, -90, 90, 180) if kind > 0.992 else (-90, 90)) + rng.normal(0, 6)


def _sample_view(rng: Generator, size: tuple[int, int], scale: float, tilt: float, calm: bool) -> Matrix:
    slanted = rng.random() >= 0.35
    yaw = float(np.clip(rng.normal(0, 14 if calm else 26), -58, 58)) * slanted
    pitch = float(np.clip(rng.normal(0, 8 if calm else 13), -40, 40)) * slanted
    wide = rng.uniform(0.72, 1.3) if rng.random() < 0.45 else 1.0
    return camera_view(
        roll=math.radians(_sample_roll(rng, calm)) + tilt,
        yaw=math.radians(yaw),
        pitch=math.radians(pitch),
        distance=max(size) / scale * rng.uniform(1.3, 5.0),
        stretch=(wide / scale, 1 / scale),
        shear=rng.uniform(-0.12, 0.3) if rng.random() < 0.12 else 0.0,
    )
