"""Writing the spotter as ONNX: a graph that finds text and one that reads it, in float and in int8."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dld_backends.recognition.branch import RecognitionBranch
from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.network import Network
from dld_backends.segmentation.onnx_file import DETECTOR, READER, described, reader_file
from dld_backends.segmentation.quantization import quantize
from dld_core.config import write_file
from dld_core.decoders.ctc import CTCDecoder
from dld_core.decoders.roi_sampling import sample_points
from dld_core.errors import ConfigError, MissingExtraError, WeightsError
from dld_core.runtimes.digest import digest_of
from dld_core.runtimes.folding import fold_norms

OPSET = 18  # GridSample came with 16, Resize as torch has it with 18


class DetectorGraph(nn.Module):
    """Where text is: uint8 images [B, 3, H, W] (RGB, sides multiples of 32) to its probability [B, H/s, W/s],
    and what the reader needs, shared [B, C, H/4, W/4] and detail [B, D, H/2, W/2]."""

    outputs = ("probability", "shared", "detail")

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.trunk = network.trunk
        self.head = network.head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.trunk(images)
        return self.head.probability(maps.fine), maps.fine, maps.detail


class ReaderGraph(nn.Module):
    """What regions say: maps of B images and points [B, N, 8, w, 2] (x, y in pixels, see `region_grids`) of N
    regions in each to log-probabilities [B, N, w, V] of blank and characters in every column."""

    outputs = ("log_probs",)

    def __init__(self, reader: RecognitionBranch) -> None:
        super().__init__()
        self.smooth = reader.smooth
        self.encoder = reader.encoder
        decoder = reader.decoder
        assert isinstance(decoder, CTCDecoder)
        self.classify = decoder.classify
        self.stride = reader.stride

    def forward(self, shared: Tensor, detail: Tensor, points: Tensor) -> Tensor:
        image_size = shared.shape[2] * self.stride, shared.shape[3] * self.stride
        maps = (self.smooth(shared), detail)
        crops = torch.cat([sample_points(own, points, image_size) for own in maps], 1)
        columns = self.encoder.cnn(crops).squeeze(2).transpose(1, 2)
        scores: Tensor = self.classify(self.encoder.lstm(columns)[0])
        return scores.log_softmax(-1).reshape(points.shape[0], -1, *scores.shape[1:])


def export(
    weights: Mapping[str, Tensor],
    config: SegmentationConfig,
    file: Path,
    calibration: Sequence[NDArray[np.uint8]] | None = None,
) -> list[Path]:
    """Write NAME.onnx and NAME.reader.onnx and, with calibration, NAME.int8.onnx and NAME.int8.reader.onnx.

    Args:
        weights: a spotter's state dict.
        config: its options.
        file: NAME.onnx.
        calibration: RGB images [H, W, 3] like those to be read; see `quantization`.

    Returns:
        What `weights=` takes: NAME.onnx, then NAME.int8.onnx.

    Raises:
        ConfigError: its recogniser is another one than "ctc".
        MissingExtraError: a package that this needs is absent.
        WeightsError: the files cannot be written.
    """
    require_onnx()
    plain, digest, written = Network(config).eval(), digest_of(weights), [file]
    if config.recogniser != "ctc" or not isinstance(plain.reader, RecognitionBranch):
        raise ConfigError(f"only the recogniser 'ctc' can be exported as ONNX, not {config.recogniser!r}")
    plain.load_state_dict(weights)
    fold_norms(plain)
    with TemporaryDirectory() as folder:
        unfinished = Path(folder) / "float.onnx"
        _write(DetectorGraph(plain), _detector_example(), unfinished)
        _write(ReaderGraph(plain.reader), _reader_example(config), reader_file(unfinished))
        _publish(unfinished, file, described_pair(config, "float32", digest))
        if calibration is not None:
            small = file.with_suffix(".int8.onnx")
            quantize(unfinished, unfinished.with_name("int8.onnx"), config, calibration)
            _publish(unfinished.with_name("int8.onnx"), small, described_pair(config, "int8", digest))
            written.append(small)
    return written


def require_onnx() -> None:
    """Raises MissingExtraError where a package for exporting is absent."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f'the export needs {error.name}, which is not installed; run: pip install "dld[onnx]"'
        ) from None


def described_pair(config: SegmentationConfig, precision: str, digest: str) -> dict[str, dict[str, str]]:
    """What both files say about themselves, by part."""
    return {part: described(config, part, precision, digest) for part in (DETECTOR, READER)}


# Sides that are no powers of two, and more than one image, so that the exporter takes none of them for fixed.
_SIDES, _BATCH, _REGIONS = (96, 160), 2, 3


def _detector_example() -> tuple[tuple[Tensor, ...], Any]:
    """Inputs to trace with, and which of their sides vary."""
    batch, height, width = _dims("batch", "rows", "columns")
    images = torch.zeros((_BATCH, 3, *_SIDES), dtype=torch.uint8)
    return (images,), ({0: batch, 2: 32 * height, 3: 32 * width},)


def _reader_example(config: SegmentationConfig) -> tuple[tuple[Tensor, ...], Any]:
    batch, height, width, regions = _dims("batch", "rows", "columns", "regions")
    rows, columns = (side // 4 for side in _SIDES)
    shared = torch.zeros(_BATCH, config.pyramid_channels, rows, columns)
    detail = torch.zeros(_BATCH, config.detail_channels, 2 * rows, 2 * columns)
    points = torch.zeros(_BATCH, _REGIONS, *config.roi_size, 2)
    varying = (
        {0: batch, 2: height, 3: width},
        {0: batch, 2: 2 * height, 3: 2 * width},
        {0: batch, 1: regions},
    )
    return (shared, detail, points), varying


def _dims(*names: str) -> list[Any]:
    return [torch.export.Dim(name, min=1, max=1 << 14) for name in names]


@torch.no_grad()
def _write(graph: nn.Module, example: tuple[tuple[Tensor, ...], Any], file: Path) -> None:
    """Trace a graph and write it, without the names of source files that the exporter leaves in it."""
    import onnx  # optional

    inputs, varying = example
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides
        program = torch.onnx.export(
            graph.eval(),
            inputs,
            dynamo=True,
            dynamic_shapes=varying,
            output_names=list(graph.outputs),  # type: ignore[arg-type]
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())


def _publish(source: Path, file: Path, said: Mapping[str, Mapping[str, str]]) -> None:
    """Put a finished pair in its place, each file whole or not at all, with what it says about itself."""
    import onnx  # optional

    try:
        for origin, place, part in (
            (source, file, DETECTOR),
            (reader_file(source), reader_file(file), READER),
        ):
            model = onnx.load(origin)
            model.producer_name, model.producer_version = "dld", ""
            onnx.helper.set_model_props(model, dict(said[part]))
            write_file(place, model.SerializeToString())
    except OSError as error:
        raise WeightsError(f"cannot write {file} ({error.strerror}); choose another place") from error
