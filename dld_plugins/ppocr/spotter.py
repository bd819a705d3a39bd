"""PP-OCR as a spotter that can be taught: two networks, what the engine does round them, and their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_core.decoders.ctc import CTCDecoder
from dld_core.decoders.line_encoder import (
    COLUMN,
    HEIGHT,
    LineEncoder,
    characters_of,
    make_decoder,
    with_characters,
)
from dld_core.decoders.map_losses import balanced_cross_entropy, dice_loss
from dld_core.decoders.words import Regions, readable_words
from dld_core.errors import ConfigError, WeightsError
from dld_core.evaluation.cost import SizedCost
from dld_core.images import resize
from dld_core.interfaces import BundledPart, TrainableSpotter, module_device
from dld_core.pipeline.models import bundled_part_file
from dld_core.types import Batch, DenseMap, RecognitionTrace, TrainOutput, Word
from dld_plugins.engines import engine
from dld_plugins.ppocr import charsets
from dld_plugins.ppocr.config import PPOCRConfig
from dld_plugins.ppocr.files import WEIGHTS, Networks
from dld_plugins.ppocr.lines import (
    Line,
    Pixels,
    Reading,
    as_input,
    batches,
    best_path,
    cut_out,
    words_of,
)
from dld_plugins.ppocr.networks import Detector
from dld_plugins.ppocr.regions import Map, find_lines
from dld_plugins.ppocr.sessions import Sessions, choose
from dld_plugins.ppocr.training import STRIDE, sample_lines, stack, text_targets

# As PP-OCR weights the cross-entropy of its map; the dice term is what keeps small words in it.
_PROBABILITY_WEIGHT = 5.0


class PPOCRSpotter(TrainableSpotter):
    """PP-OCRv6: a detector of lines (differentiable binarisation) and a recogniser with CTC.

    Args:
        config: its options.
        networks: its graphs.

    Attributes:
        detector, reader, decoder: what is trained; the decoder holds the recogniser's classifier.
        taught: whether the detector has learnt from the targets of `training`; its regions are cut otherwise.
        first: rows of the classifier that are computed for every column; None for all.
    """

    config_type: ClassVar[type[PPOCRConfig]] = PPOCRConfig
    weights_folder: ClassVar[Path] = WEIGHTS
    size_divisor = STRIDE
    thread_safe = True
    decoder: CTCDecoder
    taught: Tensor
    first: Tensor | None

    def __init__(self, config: PPOCRConfig, networks: Networks) -> None:
        super().__init__()
        self.config = config
        self.mean, self.std = networks.mean, networks.std
        self.reference_short_side = config.reference_short_side
        self.region_jitter = config.region_jitter
        self.reads_native = config.shrink == "detector"
        reading = networks.reader
        if config.charset not in ("auto", "all"):
            reading = with_characters(reading, charsets.wanted(config.charset, characters_of(reading)))
        self.charset = characters_of(reading)
        self.detector = Detector(networks.detector)
        self.reader = LineEncoder(reading)
        self.decoder = make_decoder(reading, self.charset, config.max_length, config.beam_width)
        self.register_buffer("taught", torch.zeros((), dtype=torch.bool))
        chosen = config.charset == "auto" and config.preset == "small"
        first = [0, *(i + 1 for i, c in enumerate(self.charset) if charsets.is_first(c))]
        self.register_buffer("first", torch.tensor(first) if chosen else None, persistent=False)
        self._readable = frozenset(self.charset)
        self._runtime = choose(config.runtime)
        self._sessions = Sessions(self._runtime, config.threads)

    # The detector learns; lines are read from native pixels.
    adaptation_settings: ClassVar[Mapping[str, Any]] = {
        "options": {"max_length": 1},
        "freeze": ["reader.*", "decoder.*"],
        "losses": {"recognition": 0},
        "detection": 5,
        "text_share": None,
        "distiller_options": {"roi_features": 0, "context": 1e-6, "sequence": 0},
        "sizes": [512],
        "batch_size": 4,
        "lr": 1e-4,
    }

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any
    ) -> PPOCRSpotter:
        """Build one in eval mode.

        Args:
            weights: "bundled" or None for PP-OCR's own; else a safetensors file, or a folder that holds
                model.safetensors, of a spotter of this preset that was trained. A file of some of the
                networks (`detector.*` alone, say) leaves the others as PP-OCR has them.
            device: where torch computes.

        Raises:
            ConfigError: an option is wrong.
            MissingExtraError: the preset's package or the runtime is not installed.
            WeightsError: the weights are missing, damaged or of another preset.
        """
        config = PPOCRConfig.parse(options, where="backend ppocr")
        spotter = cls(config, Networks.of(config.preset))
        if weights not in (None, "bundled"):
            spotter._load(Path(str(weights)))
        return spotter.to(device).eval()

    def _load(self, path: Path) -> None:
        from dld_core.training.weights import copy_matching, read_weights

        source = read_weights(path)
        with torch.no_grad():
            report = copy_matching(self, source)
        networks = {_network(name) for name in source}
        missing = [name for name in report.missing if _network(name) in networks]
        if missing or report.mismatched or report.unused or not report.loaded:
            raise WeightsError(
                f"{path} does not fit the preset '{self.config.preset}': {report}; use the preset and "
                "the version of the package that it was trained with"
            )

    def bundled_part(self, part: BundledPart) -> Path | None:
        """`PRESET_student.safetensors` or `PRESET_selector.safetensors` in the weights folder, if there.

        They were made for `shrink: detector`; with `both` there is none.
        """
        return bundled_part_file(self.weights_folder, self.config.preset, part) if self.reads_native else None

    def export(self, file: Path, calibration: Sequence[NDArray[np.uint8]] | None = None) -> list[Path]:
        """Write ONNX files for RapidOCR; see `Exportable`. There is no int8 file."""
        from dld_plugins.ppocr.export import export

        if calibration is not None:
            raise ConfigError("ppocr exports no int8 file; leave out --int8")
        return [export(self, file)]

    # --- reading ----------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """Read image by image, each at its own size, rounded to multiples of 32 for the detector."""
        return self.predict_at(images, [(image.shape[1], image.shape[2]) for image in images])

    @torch.no_grad()
    def predict_at(self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[list[Word]]:
        """Read with the detector at these sizes, rounded to multiples of 32; lines from the images given."""
        if self.training:
            raise RuntimeError("call .eval() before predict")
        pairs = zip(images, sizes, strict=True)
        return [[] if engine.too_small(image) else list(self._read(image, size)) for image, size in pairs]

    def _read(self, image: Tensor, size: tuple[int, int]) -> Iterator[Word]:
        pixels = engine.to_bgr(image)  # both networks take blue first
        height, width = pixels.shape[:2]
        options = self.config.region_options(bool(self.taught))
        boxes = find_lines(self._probability(pixels, size), (height, width), options)
        lines = [cut_out(pixels, box, smooth=self.reads_native) for box in boxes]
        for line, reading in zip(lines, self._readings(lines), strict=True):
            if reading.score >= self.config.min_score:
                for text, score, points in words_of(line, reading):
                    word = engine.word(text, score, points, width, height, self._readable)
                    if word is not None:
                        yield word

    def _probability(self, pixels: Pixels, size: tuple[int, int]) -> Map:
        """The detector's map of an image for a working size."""
        own = engine.nearest_multiples(*size, STRIDE)
        if self.reads_native:
            small = resize(pixels, size=own)
        else:
            small = np.asarray(cv2.resize(pixels, own[::-1]), np.uint8)
        mean, std = (np.array(values, np.float32) for values in (self.mean, self.std))
        x = ((small.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
        if self._in_session:
            return np.asarray(self._sessions.run(self.detector, x)[0, 0])
        logits = self.detector(torch.from_numpy(np.ascontiguousarray(x)).to(module_device(self)))
        return np.asarray(logits[0, 0].sigmoid().float().cpu().numpy())

    def _readings(self, lines: Sequence[Line]) -> list[Reading]:
        """What every line says, in order."""
        found: dict[int, Reading] = {}
        for group, width in batches(lines, self.config.reader_area, self.config.reader_width):
            columns = self._columns(as_input([lines[index] for index in group], width))
            for index, tokens, sure, spaces in zip(group, *columns, strict=True):
                found[index] = best_path(tokens, sure, spaces, self.charset)
        return [found[index] for index in range(len(lines))]

    def _columns(self, x: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Of every column the best token, its probability, and the probability of a space, [n, T] each."""
        if self._in_session:
            context = torch.from_numpy(self._sessions.run(self.reader, x))
        else:
            context = self.reader(torch.from_numpy(x).to(module_device(self)))
        tokens, sure, spaces = charsets.best_tokens(self.decoder.classify, context, self.first)
        return tokens.cpu().numpy(), sure.cpu().numpy(), spaces.cpu().numpy()

    @property
    def _in_session(self) -> bool:
        return self._runtime != "torch" and module_device(self).type == "cpu"

    # --- training ---------------------------------------------------------------------------------

    def forward_train(self, batch: Batch) -> TrainOutput:
        """Losses: probability and binary, of the detector's map, and recognition."""
        logits = self._text_logits(batch)
        if logits.requires_grad:
            self.taught.fill_(True)
        size = int(logits.shape[1]), int(logits.shape[2])
        text, care = text_targets(batch, size, self.config.min_side, logits.device)
        reading = self.recognition_losses(batch)
        losses = {
            "probability": _PROBABILITY_WEIGHT * balanced_cross_entropy(logits, text, care),
            "binary": dice_loss(logits.sigmoid(), text, care),
        }
        return TrainOutput({**losses, **reading.losses}, reading.trace, {"text": DenseMap(logits, 1)})

    def teacher_outputs(self, batch: Batch) -> TrainOutput:
        """The trace of the true regions and the map of text."""
        return TrainOutput({}, self.recognize(batch), {"text": DenseMap(self._text_logits(batch), 1)})

    def recognize(self, batch: Batch) -> RecognitionTrace:
        """The recogniser on the ground-truth regions, without jitter."""
        return self._trace(batch, *self._readable_words(batch))

    def recognition_losses(self, batch: Batch) -> TrainOutput:
        """The loss of the recogniser alone, on jittered regions."""
        trace = self._trace(batch, *self._readable_words(batch, self.region_jitter))
        loss = self.decoder.loss_of_logits(trace.logits, trace.targets)
        return TrainOutput({"recognition": loss}, trace)

    def _readable_words(self, batch: Batch, jitter: float = 0.0) -> tuple[Regions, list[list[str]]]:
        columns = self.config.region_width // COLUMN
        return readable_words(batch, self.decoder.charset, min(self.config.max_length, columns), jitter)

    def _text_logits(self, batch: Batch) -> Tensor:
        images = stack(batch.images, self.mean, self.std, module_device(self))
        logits: Tensor = self.detector(images)
        return logits.squeeze(1).float()

    def _trace(self, batch: Batch, regions: Regions, texts: Sequence[Sequence[str]]) -> RecognitionTrace:
        device = module_device(self)
        states = self.reader.states(sample_lines(batch.images, regions, self.config.region_width, device))
        targets = self.decoder.encode([text for image in texts for text in image]).to(device)
        counts = torch.tensor([len(image) for image in texts], device=device)
        rows = torch.repeat_interleave(torch.arange(len(texts), device=device), counts)
        logits = self.decoder.logits(states.context, targets)
        return RecognitionTrace(states.features, states.context, logits, targets, rows)

    # --- cost -------------------------------------------------------------------------------------

    def flops(self, height: int, width: int, words: int = 0) -> float:
        """FLOPs of the graphs: the detector at its size, and for each word the recogniser at its usual width.

        Lines of several words cost less than this, lines longer than `reader_width` more.
        """
        sides = engine.nearest_multiples(height, width, STRIDE)
        return float(self._detector_cost.at(*sides)[0] + words * self._line_cost)

    @cached_property
    def _detector_cost(self) -> SizedCost:
        return SizedCost(lambda *size: [self.detector.flops((1, 3, *size))], (STRIDE,))

    @cached_property
    def _line_cost(self) -> int:
        width, classify = self.config.reader_width, self.decoder.classify
        rows = classify.out_features if self.first is None else len(self.first)
        return self.reader.flops((1, 3, HEIGHT, width)) + 2 * (width // COLUMN) * rows * classify.in_features


def _network(name: str) -> str:
    """Which network a weight belongs to."""
    return name.partition(".")[0]
