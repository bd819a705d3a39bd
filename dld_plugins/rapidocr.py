"""RapidOCR (PP-OCR on onnxruntime) as a spotter, read at exactly the size that it is given.

Left to itself RapidOCR enlarges every image to a short side of 736 pixels, shrinks long ones to 2000 and pads
flat ones, which undoes any choice of resolution. All of that is off here; only the rounding of both sides to
multiples of 32, which the network needs, stays. The models are those inside the wheel, or a folder of yours;
they are given by path, so nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from dld_core.config import PartConfig
from dld_core.errors import MissingExtraError, WeightsError
from dld_core.evaluation.cost import SizedCost
from dld_core.images import resize
from dld_core.interfaces import BundledPart, Spotter
from dld_core.pipeline.models import bundled_part_file
from dld_core.types import Word
from dld_plugins.engines import engine
from dld_plugins.engines.onnx_cost import flops, sized_cost

_EXTRA = "rapidocr"
_NEVER = 2**30  # pixels: longer than any image, so that the detector's own limit never acts
_STRIDE = 32
_SELECTORS = Path(__file__).parent / "ppocr" / "weights"
_UNCLIP, _OWN_UNCLIP = 1.2, 1.6
_AS_GIVEN = {
    "Global.use_preprocess_img": False,
    "Global.use_vertical_padding": False,
    "Det.limit_type": "max",
    "Det.limit_side_len": _NEVER,
}
_READER_INPUT = (1, 3, 48, 320)  # the engine pads every line to this width, or to its longest line
_TURNER_INPUT = (1, 3, 48, 192)


class RapidOCRConfig(PartConfig):
    """Options of the RapidOCR spotter.

    Attributes:
        threads: CPU threads of onnxruntime; as many as torch uses when left out.
        min_score: lines read with less confidence are left out.
        pixel_threshold: the probability from which a pixel counts as text.
        box_threshold: the mean probability from which a region counts as text.
        unclip_ratio: how far regions grow beyond what was detected; 1.2 when left out, or the engine's own
            1.6 with `own_resizing`. The blur of small images makes regions grow by itself.
        turn: whether lines that stand on their head are found and turned.
        shrink: what works at the scale that is chosen: the "detector" alone, and lines are read from the
            native image; or "both" networks.
        own_resizing: let the engine resize as it does by default, to compare with: short sides of at least
            736 and long ones of at most 2,000 pixels, whatever was asked for. Its cost is not declared.
        reference_short_side: the short side in pixels that "full" stands for; the engine's own is 736.
    """

    threads: int | None = Field(None, ge=1)
    min_score: float = Field(0.5, ge=0, le=1)
    pixel_threshold: float = Field(0.3, gt=0, lt=1)
    box_threshold: float = Field(0.5, ge=0, le=1)
    unclip_ratio: float | None = Field(None, gt=0)
    turn: bool = True
    shrink: Literal["both", "detector"] = "detector"
    own_resizing: bool = False
    reference_short_side: int = Field(736, ge=_STRIDE)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The ONNX files of detector, recogniser (with its characters inside) and line classifier."""

    detector: Path
    reader: Path
    turner: Path

    @classmethod
    def find(cls, folder: Path) -> ModelFiles:
        """Those of a folder, by `det`, `rec` and `cls` in their names; the wheel's classifier if it has none.

        Raises:
            WeightsError: there is no detector or recogniser, or there are several.
        """
        found = [_one(folder, part) for part in ("det", "rec")]
        turners = sorted(folder.glob("*cls*.onnx")) or sorted(_wheel_folder().glob("*cls*.onnx"))
        return cls(found[0], found[1], turners[0] if turners else folder / "cls.onnx")


def _one(folder: Path, part: str) -> Path:
    files = sorted(folder.glob(f"*{part}*.onnx"))
    if len(files) != 1:
        told = ", ".join(file.name for file in files) or "none"
        raise WeightsError(
            f"the folder {folder} must hold one ONNX file with '{part}' in its name, and holds {told}; "
            "give weights= a folder with one detector (*det*.onnx) and one recogniser (*rec*.onnx)"
        )
    return files[0]


def _wheel_folder() -> Path:
    return Path(engine.require("rapidocr", _EXTRA).__file__).parent / "models"


class RapidOCRSpotter(Spotter):
    """Reads words with RapidOCR. Predict-only.

    Not declared thread-safe: the engine keeps its preprocessing on itself between steps. Callers take turns.
    """

    config_type = RapidOCRConfig
    size_divisor = _STRIDE
    thread_safe = False

    def __init__(self, config: RapidOCRConfig, files: ModelFiles, device: str = "cpu") -> None:
        self.config = config
        self.files = files
        self.reference_short_side = config.reference_short_side
        self.device = device if device.startswith("cuda") and _has_cuda() else "cpu"
        self._engine = _build(config, files, self.device)
        self.charset = _characters(self._engine)
        self._readable = frozenset(self.charset)
        self.reads_native = config.shrink == "detector" and not config.own_resizing
        self._detector_input = _DetectorInput(self._engine.text_det) if self.reads_native else None

    @classmethod
    def missing(cls) -> str | None:
        """What it needs and is not installed, with the install line."""
        return engine.absent(("rapidocr", "onnxruntime"), _EXTRA)

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any
    ) -> RapidOCRSpotter:
        """Load the models.

        Args:
            weights: "bundled" or None for those inside the wheel, or a folder with `*det*.onnx`,
                `*rec*.onnx` and, if wanted, `*cls*.onnx`, as RapidOCR publishes them.
            device: "cuda:N" where onnxruntime was built for it, else the CPU is used (see `device`).

        Raises:
            MissingExtraError: rapidocr or onnxruntime is not installed.
        """
        config = RapidOCRConfig.parse(options, where="backend rapidocr")
        lacking = cls.missing()
        if lacking:
            raise MissingExtraError(lacking)
        folder = _wheel_folder() if weights in (None, "bundled") else Path(str(weights))
        return cls(config, ModelFiles.find(folder), device)

    def bundled_part(self, part: BundledPart) -> Path | None:
        """A selector made with `ppocr`'s own weights, which are the same. None with `shrink: both` and
        `own_resizing`."""
        suits = part == "selector" and self.reads_native
        return bundled_part_file(_SELECTORS, "engine", part) if suits else None

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """Read image by image, each at the size that it has."""
        return self.predict_at(images, [(image.shape[1], image.shape[2]) for image in images])

    def predict_at(self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[list[Word]]:
        """Read image by image; with `shrink: detector` the detector works at these sizes."""
        pairs = zip(images, sizes, strict=True)
        return [[] if engine.too_small(image) else self._read(image, size) for image, size in pairs]

    def _read(self, image: Tensor, size: tuple[int, int]) -> list[Word]:
        pixels = engine.to_bgr(image)  # which is what RapidOCR takes arrays for
        with self._detector_input.at(size) if self._detector_input else nullcontext():
            found = self._engine(pixels)
        return list(words_of(found, pixels.shape[1], pixels.shape[0], self._readable))

    def flops(self, height: int, width: int, words: int = 0) -> float | None:
        """FLOPs of the ONNX graphs: the detector, and for each word the recogniser at its usual width.

        The engine reads lines, so a line of several words costs less than this, one longer than 320 pixels
        at a height of 48 more.
        """
        if self.config.own_resizing:
            return None
        sides = engine.nearest_multiples(height, width, _STRIDE)
        return float(self._detector_cost.at(*sides)[0] + words * self._word_cost)

    @cached_property
    def _detector_cost(self) -> SizedCost:
        return sized_cost(self.files.detector, _STRIDE)

    @cached_property
    def _word_cost(self) -> int:
        turning = flops(self.files.turner, [_TURNER_INPUT])[0] if self.config.turn else 0
        return flops(self.files.reader, [_READER_INPUT])[0] + turning


class _DetectorInput:
    """What resizes images for the engine's detector; `at` gives it a size of our choice for a while."""

    def __init__(self, detector: Any) -> None:
        self._engines_own = detector.get_preprocess
        self._size: tuple[int, int] | None = None
        detector.get_preprocess = self._step

    @contextmanager
    def at(self, size: tuple[int, int]) -> Iterator[None]:
        """Inside, the detector works at this (height, width), rounded to what the network takes."""
        self._size = engine.nearest_multiples(*size, _STRIDE)
        try:
            yield
        finally:
            self._size = None

    def _step(self) -> Any:
        step, size = self._engines_own(), self._size
        if size is not None:
            step.resize = partial(resize, size=size)
        return step


def _build(config: RapidOCRConfig, files: ModelFiles, device: str) -> Any:
    params = {
        "Global.log_level": "critical",  # it logs a warning for every image without words
        "Global.use_cls": config.turn,
        "Global.text_score": config.min_score,
        "Global.return_word_box": True,
        "Det.thresh": config.pixel_threshold,
        "Det.box_thresh": config.box_threshold,
        "Det.unclip_ratio": config.unclip_ratio or (_OWN_UNCLIP if config.own_resizing else _UNCLIP),
        "Det.model_path": str(files.detector),
        "Rec.model_path": str(files.reader),
        "Cls.model_path": str(files.turner),
        "EngineConfig.onnxruntime.intra_op_num_threads": config.threads or torch.get_num_threads(),
        "EngineConfig.onnxruntime.use_cuda": device.startswith("cuda"),
        "EngineConfig.onnxruntime.cuda_ep_cfg.device_id": int(device.partition(":")[2] or 0),
    }
    if not config.own_resizing:
        params |= _AS_GIVEN
    try:
        made = engine.require("rapidocr", _EXTRA).RapidOCR(params=params)
        made(np.full((64, 64, 3), 255, np.uint8))  # loads the detector now, so that a bad file is told now
        made(np.full((48, 96, 3), 255, np.uint8), use_det=False)
    except Exception as error:
        raise WeightsError(
            f"RapidOCR cannot be built from {files.detector.parent}: {error}; "
            "give weights= a folder of ONNX models that RapidOCR publishes"
        ) from error
    made.use_det = True  # the engine keeps what a call asks for
    return made


def _has_cuda() -> bool:
    return "CUDAExecutionProvider" in engine.require("onnxruntime", _EXTRA).get_available_providers()


def _characters(made: Any) -> str:
    """What the recogniser can answer, in the order of its outputs, without blank and space."""
    return "".join(
        dict.fromkeys(c for c in made.text_rec.postprocess_op.character if len(c) == 1 and c != " ")
    )


def words_of(found: Any, width: int, height: int, charset: Collection[str]) -> Iterator[Word]:
    """The words of what RapidOCR answered for one image.

    Every word has the score of its line: what RapidOCR 3.10 gives beside a word is the confidence of some
    single character of the line.
    """
    lines = [getattr(found, name, None) for name in ("boxes", "txts", "scores")]
    if any(line is None for line in lines):
        return
    cut = _Cut(getattr(found, "word_results", None))
    for quad, text, score in zip(*lines, strict=False):
        if not isinstance(text, str) or np.shape(quad) != (4, 2):
            continue
        for piece, points in cut.words(text, quad):
            word = engine.word(piece, score, points, width, height, charset)
            if word is not None:
                yield word


class _Cut:
    """RapidOCR's own cuts of lines into words, taken line by line.

    It leaves lines without cuts out, so cuts and lines are matched by their letters.
    """

    def __init__(self, results: Any) -> None:
        self._results = [r for r in results if _is_cut(r)] if isinstance(results, list | tuple) else []

    def words(self, text: str, quad: NDArray[Any]) -> Iterator[tuple[str, Any]]:
        """Words and their points. Where the engine cut none, the line is cut in proportion."""
        letters = "".join(text.split())
        for place, pieces in enumerate(self._results):
            if "".join(piece[0] for piece in pieces) == letters:
                del self._results[: place + 1]
                yield from _joined(text, pieces)
                return
        yield from engine.split_line(text, quad)


def _is_cut(pieces: Any) -> bool:
    """Whether these are (text, confidence, four points) of one line or more."""
    return bool(pieces) and all(
        isinstance(piece, list | tuple) and len(piece) == 3 and isinstance(piece[0], str) for piece in pieces
    )


def _joined(text: str, pieces: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Pieces as they are; single characters, which is how lines with Chinese come, joined between blanks."""
    if any(len(piece[0]) > 1 for piece in pieces) or len(pieces) == 1:
        yield from ((piece[0], piece[2]) for piece in pieces)
        return
    start = 0
    for word in text.split():
        boxes = [np.asarray(piece[2], dtype=np.float64) for piece in pieces[start : start + len(word)]]
        start += len(word)
        yield word, np.array([boxes[0][0], boxes[-1][1], boxes[-1][2], boxes[0][3]])
