"""What a spotter that can be exported offers, and the pages that an int8 file is calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dld_core.imaging import open_image, resize, scale_to
from dld_core.imaging.files import list_images

Image = NDArray[np.uint8]

PAGES = 16
"""Images that calibrate an int8 file, at most."""
_SEED = 20_000  # apart from the pages that trainings begin with


@runtime_checkable
class Exportable(Protocol):
    """A spotter that can be written as ONNX."""

    def export(self, file: Path, calibration: Sequence[Image] | None = None) -> list[Path]:
        """Write a float file and, with calibration, an int8 one.

        Args:
            file: NAME.onnx; other files may be written beside it, named NAME.*.
            calibration: RGB images [H, W, 3] at the size they are read at.

        Returns:
            What `weights=` takes, of this backend or of the engine exported for; the float file first.

        Raises:
            MissingExtraError: a package that this needs is absent.
            WeightsError: the files cannot be written.
        """


def calibration_pages(source: str | None, short_side: int, count: int = PAGES) -> list[Image]:
    """RGB images [H, W, 3] whose short side is `short_side`: of a folder or pattern, or else rendered ones.

    Of many images every n-th is taken. Raises ImageError where there is none.
    """
    if source is None:
        return _rendered(short_side, count)
    files = list_images(source)
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, count).round().astype(int))]
    return [_at_size(open_image(file), short_side) for file in chosen]


def _at_size(image: Image, short_side: int) -> Image:
    fit = scale_to(image.shape[0], image.shape[1], short_side)
    return resize(image, size=(fit.height, fit.width))


def _rendered(short_side: int, count: int) -> list[Image]:
    from dld_core.data.synth import PageRenderer, SynthConfig

    size = short_side, short_side * 4 // 3
    renderer = PageRenderer(SynthConfig.parse({"page_size": size, "system_fonts": False}))
    return [renderer.page(_SEED + index).image for index in range(count)]
