"""EasyOCR as a spotter, read at exactly the size that it is given, word by word, without network.

Its detector works on the image as it is: no magnification, and a canvas that is never smaller than the image.
Neighbouring words are not joined into lines, and small words are not dropped for being small.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from dld_core.config import PartConfig
from dld_core.errors import ConfigError, MissingExtraError, WeightsError
from dld_core.interfaces import BundledPart, Spotter
from dld_core.pipeline.models import bundled_part_file
from dld_core.types import Word
from dld_plugins.engines import engine

_EXTRA = "easyocr"
_SELECTORS = Path(__file__).parent / "weights"


class EasyOCRConfig(PartConfig):
    """Options of the EasyOCR spotter.

    Attributes:
        languages: EasyOCR's language codes; those that share a recogniser can be given together.
        download: whether models that are not there may be fetched when the spotter is made (never later).
        quantize: whether EasyOCR may turn its recogniser into int8 on the CPU.
        precision: of the detector, where nearly all the time goes: "bfloat16" takes about half of it on CPUs
            that have such instructions, and finds a few other words.
        text_threshold, low_text, link_threshold: of the detector's maps of letters and links.
        join: words nearer than this times their height become one, split again at blanks; 0 for never.
        min_size: words whose longer side has fewer pixels, of the image as read, are left out.
        min_score: words read with less confidence are left out.
        allowed: the only characters that may be answered, or None for those of the languages.
        reference_short_side: the short side in pixels that "full" stands for.
    """

    languages: tuple[str, ...] = Field(("en",), min_length=1)
    download: bool = False
    quantize: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"
    text_threshold: float = Field(0.7, gt=0, lt=1)
    low_text: float = Field(0.4, gt=0, lt=1)
    link_threshold: float = Field(0.4, gt=0, lt=1)
    join: float = Field(0.0, ge=0)
    min_size: int = Field(8, ge=0)
    min_score: float = Field(0.0, ge=0, le=1)
    allowed: str | None = Field(None, min_length=1)
    reference_short_side: int = Field(960, ge=32)


class EasyOCRSpotter(Spotter):
    """Reads words with EasyOCR (CRAFT and a CRNN with CTC, on torch). Predict-only.

    Not declared thread-safe: EasyOCR promises nothing of the kind. Callers take turns.
    """

    config_type = EasyOCRConfig
    size_divisor = 32
    thread_safe = False
    weights_are_its_own = True

    def __init__(self, config: EasyOCRConfig, folder: Path | None = None, device: str = "cpu") -> None:
        self.config = config
        self.device = device
        self.reference_short_side = config.reference_short_side
        self._reader = _build(config, folder, device)
        self.charset = _characters(self._reader, config.allowed)
        self._readable = frozenset(self.charset)

    @classmethod
    def missing(cls) -> str | None:
        """What it needs and is not installed, with the install line."""
        return engine.absent(("easyocr",), _EXTRA)

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any
    ) -> EasyOCRSpotter:
        """Load the networks.

        Args:
            weights: the folder that holds EasyOCR's `.pth` files; "bundled" or None for its own
                (`EASYOCR_MODULE_PATH`, else ~/.EasyOCR/model).
            device: where torch computes.

        Raises:
            MissingExtraError: easyocr is not installed.
            WeightsError: the models are not there and `download` is off, or they are damaged.
        """
        config = EasyOCRConfig.parse(options, where="backend easyocr")
        lacking = cls.missing()
        if lacking:
            raise MissingExtraError(lacking)
        return cls(config, None if weights in (None, "bundled") else Path(str(weights)), device)

    def bundled_part(self, part: BundledPart) -> Path | None:
        """The selector made with its English networks."""
        return bundled_part_file(_SELECTORS, "easyocr", part) if self.config.languages == ("en",) else None

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """Read image by image, each at the size that it has."""
        return [[] if engine.too_small(image) else self._read(image) for image in images]

    def _read(self, image: Tensor) -> list[Word]:
        pixels = engine.to_rgb(image)
        height, width = pixels.shape[:2]
        with torch.random.fork_rng(devices=()):  # its loader of crops draws a seed
            found = self._reader.readtext(pixels, canvas_size=max(height, width), **_arguments(self.config))
        return list(words_of(found, width, height, self._readable, self.config.min_score))


def _arguments(config: EasyOCRConfig) -> dict[str, Any]:
    return {
        "mag_ratio": 1.0,
        "batch_size": 1,
        "workers": 0,
        "text_threshold": config.text_threshold,
        "low_text": config.low_text,
        "link_threshold": config.link_threshold,
        "width_ths": config.join,
        "min_size": config.min_size,
        "allowlist": config.allowed,
    }


def _build(config: EasyOCRConfig, folder: Path | None, device: str) -> Any:
    library = engine.require("easyocr", _EXTRA)
    # Its loader of crops complains of a machine without a GPU, for every image that it reads.
    warnings.filterwarnings("ignore", message=".*pin_memory")
    place = None if folder is None else str(folder)
    if folder is not None and not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}; give weights= the folder of EasyOCR's .pth files")
    try:
        reader = library.Reader(
            list(config.languages),
            gpu=False if device == "cpu" else device,
            model_storage_directory=place,
            user_network_directory=place,
            download_enabled=config.download,
            verbose=False,
            quantize=config.quantize,
        )
        reader.detector = _faster(reader.detector, device, config.precision)
        return reader
    except FileNotFoundError as error:
        raise WeightsError(
            f"EasyOCR's models are not there ({error}); pass download=true once while there is a network "
            "(--option download=true), or put the .pth files in a folder and give it as weights="
        ) from error
    except ValueError as error:
        told = " ".join(str(part) for part in error.args)
        raise ConfigError(f"EasyOCR refuses languages={list(config.languages)}: {told}") from error


def _faster(detector: Any, device: str, precision: str) -> Any:
    """The detector with its channels last (a sixth faster on CPUs, the same words), and in that precision."""
    detector.to(memory_format=torch.channels_last)
    half = precision == "bfloat16"

    def detect(image: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            maps: tuple[Tensor, ...] = detector(image.contiguous(memory_format=torch.channels_last))
        return tuple(part.float() for part in maps)

    return detect


def _characters(reader: Any, allowed: str | None) -> str:
    known = dict.fromkeys(c for c in reader.character if not c.isspace())
    return "".join(c for c in known if allowed is None or c in allowed)


def words_of(
    found: Any, width: int, height: int, charset: Collection[str], min_score: float = 0.0
) -> Iterator[Word]:
    """The words of EasyOCR's answer, a list of (four points, text, confidence); blanks split them."""
    for item in found if isinstance(found, list | tuple) else ():
        try:
            quad, text, score = item
            pieces = list(engine.split_line(text, quad)) if len(text.split()) > 1 else [(text, quad)]
        except (AttributeError, TypeError, ValueError):
            continue
        for piece, points in pieces:
            word = engine.word(piece, score, points, width, height, charset)
            if word is not None and word.score >= min_score:
                yield word
