"""The exported graphs in int8: static quantisation, calibrated on images like those to be read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_backends.detection.images import rounded_up
from dld_backends.segmentation.config import SegmentationConfig
from dld_backends.segmentation.onnx_file import reader_file
from dld_backends.segmentation.pages import region_options
from dld_backends.segmentation.regions import find_regions
from dld_core.decoders.roi_sampling import region_grids

Inputs = Mapping[str, NDArray[Any]]

# Convolutions, and what lies between them. The recurrent layer, sampling and softmax stay in float.
_OPERATORS = ("Conv", "Relu", "Add", "Resize")
_REGIONS = 48  # of an image, at most, for the reader


def quantize(
    source: Path, target: Path, config: SegmentationConfig, images: Sequence[NDArray[np.uint8]]
) -> None:
    """Write the pair at `target` from the float pair at `source`; see `export.export`.

    Weights of convolutions are int8 with a scale per channel, activations uint8 with the range seen on the
    images.
    """
    import onnxruntime

    detector = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    seen = [_padded(image) for image in images]
    _quantize(source, target, ({"images": image} for image in seen))
    inputs = (_reader_inputs(detector, image, config) for image in seen)
    _quantize(reader_file(source), reader_file(target), inputs)


def _quantize(source: Path, target: Path, inputs: Iterator[Inputs]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Feed(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Inputs | None:
            return next(inputs, None)

    with _without_advice():
        quantize_static(
            source,
            target,
            Feed(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantiser from advising, on every call, a step that the export has taken: folded norms."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] to [1, 3, H', W'], sides multiples of 32."""
    height, width = image.shape[:2]
    space = np.zeros((1, 3, rounded_up(height, 32), rounded_up(width, 32)), np.uint8)
    space[0, :, :height, :width] = image.transpose(2, 0, 1)
    return space


def _reader_inputs(detector: Any, image: NDArray[np.uint8], config: SegmentationConfig) -> Inputs:
    """What the reader gets of an image: the regions that the detector finds, or all of it."""
    probability, shared, detail = detector.run(None, {"images": image})
    polygons, _ = find_regions(probability[0], region_options(config))
    height, width = image.shape[2:]
    everything = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    points = region_grids(polygons[:_REGIONS] or [everything], *config.roi_size)[None]
    return {"shared": shared, "detail": detail, "points": points}
