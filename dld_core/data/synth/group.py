"""Groups of words that belong together: one word, a line, a sign of several lines, a document."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from dld_core.data.synth.config import SynthConfig
from dld_core.data.synth.fonts import Face, FontBook
from dld_core.data.synth.foreign import ForeignBook
from dld_core.data.synth.glyphs import Inked, Line, ink_line, stack
from dld_core.data.synth.sampling import Weighted, chance, integer, log_uniform, pick, uniform
from dld_core.data.synth.text import TextSource
from dld_core.data.synth.warp import Arc, Bend, Geometry, Wave, camera_view

UNREADABLE = "###"
_TINY_RATE = 0.04
# How much higher than the group's letter height the letters of a line are: lowest and highest factor.
_EVEN, _BODY, _SIGN, _HEADLINE = (1.0, 1.0), (0.9, 1.1), (0.65, 1.5), (1.5, 3.0)
_SHAPES = Weighted([("word", 36), ("line", 36), ("block", 28)])


@dataclass(slots=True)
class Group:
    """Words inked on one canvas, and how the canvas lies, its centre at the page's origin.

    Attributes:
        ink: the canvas with its words.
        geometry: canvas to page, centred on (0, 0).
        height: letter height on the canvas, pixels.
        plate: whether a sign board belongs behind.
        ignore: whether its words are don't-care.
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
    """Draws groups."""

    def __init__(
        self, config: SynthConfig, fonts: FontBook, source: TextSource, foreign: ForeignBook | None = None
    ) -> None:
        self.config, self.fonts, self.source = config, fonts, source
        self.foreign = foreign if foreign and foreign.scripts else None

    def group(self, rng: Generator, most: int, tilt: float) -> Group:
        """A scattered word, line or sign of at most `most` words; `tilt` is the page's roll in radians."""
        shape = _SHAPES.draw(rng) if most > 1 else "word"
        height = log_uniform(rng, *self.config.size_range, bias=self.config.small_bias)
        if chance(rng, _TINY_RATE):
            height = uniform(rng, 3.0, 7.0)
        counts = {"word": [1], "line": [integer(rng, 2, 4)]}.get(shape) or self._block_counts(rng)
        lines = self._lines(rng, _limit(counts, most), height * supersampling(height))
        plate = chance(rng, self.config.plate_rate * (1.3 if shape == "block" else 1.0))
        bend = shape != "block" and chance(rng, self.config.curved_rate)
        return self._finish(rng, lines, height, plate=plate, bend=bend, tilt=tilt)

    def document(self, rng: Generator, most: int) -> Group:
        """A poster, page or screen: many lines, headline first, on one board or straight on the page."""
        smallest, largest = self.config.size_range
        height = log_uniform(rng, smallest, max(smallest, min(40.0, largest)), bias=1.8)
        per_line = integer(rng, 2, 6)
        counts = [integer(rng, max(1, per_line - 2), per_line) for _ in range(max(2, most // per_line))]
        lines = self._lines(rng, _limit(counts, most), height * supersampling(height), document=True)
        return self._finish(rng, lines, height, plate=chance(rng, 0.8), bend=False, tilt=0.0, calm=True)

    def foreign_group(self, rng: Generator, tilt: float) -> Group | None:
        """Don't-care words in another script, or None where no font of this system has one."""
        if self.foreign is None:
            return None
        height = log_uniform(rng, *self.config.size_range, bias=self.config.small_bias)
        lines = []
        for _ in range(integer(rng, 1, 3)):
            face, words = self.foreign.words(rng, integer(rng, 1, 3))
            lines.append(Line(words, face, height * supersampling(height)))
        group = self._finish(rng, lines, height, plate=chance(rng, 0.5), bend=False, tilt=tilt)
        group.ink.texts = [UNREADABLE] * len(group.ink.texts)
        group.ignore = True
        return group

    def single(self, rng: Generator, height: float) -> Group:
        """One word alone, slightly turned: the tile of a mosaic."""
        lines = self._lines(rng, [1], height * supersampling(height))
        bend = chance(rng, self.config.curved_rate)
        return self._finish(
            rng, lines, height, plate=False, bend=bend, tilt=0.0, calm=not chance(rng, 0.15), tight=True
        )

    def _block_counts(self, rng: Generator) -> list[int]:
        most = integer(rng, 1, 5)
        return [integer(rng, 1, most) for _ in range(integer(rng, 2, 5))]

    def _face(self, rng: Generator, words: list[str]) -> Face:
        return self.fonts.draw_for(rng, "".join(words))

    def _lines(self, rng: Generator, counts: list[int], height: float, document: bool = False) -> list[Line]:
        """Lines of these many words, about `height` high; in a document the first is the headline."""
        texts = self._texts(rng, counts, document)
        # A canvas much larger than the page would be shrunk anyway, after costing its size in time.
        longest = max(sum(map(len, line)) + len(line) for line in texts)
        room = 1.5 * max(self.config.page_size)
        height = min(height, room / (0.6 * longest), room / (1.6 * len(texts)))
        face = self._face(rng, [word for line in texts for word in line])
        tracking = uniform(rng, 0.05, 0.45) if chance(rng, 0.15) else 0.0
        spacing = uniform(rng, 0.6 if tracking else 0.35, 0.9) + tracking
        even = chance(rng, 0.5)
        lines = []
        for number, words in enumerate(texts):
            if chance(rng, 0.2):
                face = self._face(rng, words)
            spread = (
                _HEADLINE if document and number == 0 else _EVEN if even else _BODY if document else _SIGN
            )
            lines.append(Line(words, face, height * uniform(rng, *spread), spacing, tracking))
        return lines

    def _texts(self, rng: Generator, counts: list[int], document: bool) -> list[list[str]]:
        """Words per line; neighbouring lines mostly share their case."""
        case, texts = self.source.case(rng), []
        for number, count in enumerate(counts):
            if chance(rng, 0.25) or (document and number == 1):
                case = self.source.case(rng)
            texts.append([self.source.word(rng, case) for _ in range(count)])
        return texts

    def _finish(
        self,
        rng: Generator,
        lines: list[Line],
        height: float,
        *,
        plate: bool,
        bend: bool,
        tilt: float,
        calm: bool = False,
        tight: bool = False,
    ) -> Group:
        scale = supersampling(height)
        canvas_height = min(height * scale, max(line.height for line in lines))
        margin = uniform(rng, 0.25, 1.0) if plate else uniform(rng, 0.15, 0.4) if tight else 0.5
        pad = max(3, round(canvas_height * margin))
        leading = canvas_height * uniform(rng, 0.25, 0.9)
        ink = stack([ink_line(line) for line in lines], leading, pick(rng, (0.0, 0.5, 0.5, 1.0)), pad)
        size = (ink.mask.shape[1], ink.mask.shape[0])
        curve = _draw_bend(rng, size, canvas_height) if bend and size[0] > 2.5 * size[1] else None
        geometry = Geometry(size, _draw_view(rng, size, scale, tilt, calm), curve)
        return Group(ink, geometry, canvas_height, plate and curve is None)


def _limit(counts: list[int], most: int) -> list[int]:
    """Words per line, cut so that they sum to at most `most`."""
    kept: list[int] = []
    for count in counts:
        count = min(count, most - sum(kept))
        if count > 0:
            kept.append(count)
    return kept or [1]


def _draw_bend(rng: Generator, size: tuple[int, int], height: float) -> Bend:
    width = float(size[0])
    if chance(rng, 0.2):
        return Wave(
            height * uniform(rng, 0.15, 0.5), width * uniform(rng, 0.8, 2.0), uniform(rng, 0, 2 * math.pi)
        )
    turn = uniform(rng, 0.5, 2.6)
    # A tight ring would fold the canvas over its own centre.
    return Arc(max(width / turn, size[1] * 0.9), 1.0 if chance(rng, 0.65) else -1.0)


def _draw_roll(rng: Generator, calm: bool) -> float:
    dice = float(rng.random())
    if calm or dice < 0.62:
        return float(rng.normal(0, 3.0))
    if dice < 0.86:
        return float(rng.normal(0, 11.0))
    if dice < 0.955:
        return uniform(rng, -50, 50)
    return float(pick(rng, (-90, 90, -90, 90, 180)) if dice > 0.992 else pick(rng, (-90, 90))) + float(
        rng.normal(0, 6)
    )


def _draw_view(
    rng: Generator, size: tuple[int, int], scale: float, tilt: float, calm: bool
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    frontal = chance(rng, 0.35)
    yaw = 0.0 if frontal else float(np.clip(rng.normal(0, 14 if calm else 26), -58, 58))
    pitch = 0.0 if frontal else float(np.clip(rng.normal(0, 8 if calm else 13), -40, 40))
    wide = uniform(rng, 0.72, 1.3) if chance(rng, 0.45) else 1.0
    shear = uniform(rng, -0.12, 0.3) if chance(rng, 0.12) else 0.0
    return camera_view(
        roll=math.radians(_draw_roll(rng, calm)) + tilt,
        yaw=math.radians(yaw),
        pitch=math.radians(pitch),
        distance=max(size) / scale * uniform(rng, 1.3, 5.0),
        stretch=(wide / scale, 1 / scale),
        shear=shear,
    )
