"""The pages that an int8 file is calibrated on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dld_core.data.synth import PageRenderer, SynthConfig
from dld_core.images import open_image, resize, scale_to
from dld_core.images.files import list_images

Image = NDArray[np.uint8]

PAGES = 16
"""Images that calibrate an int8 file, at most."""
_SEED = 20_000  # apart from the pages that trainings begin with


def calibration_pages(source: str | None, short_side: int, count: int = PAGES) -> list[Image]:
    """RGB images [H, W, 3] of a folder or pattern, at full size, or else rendered ones of that short side.

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
    size = short_side, short_side * 4 // 3
    renderer = PageRenderer(SynthConfig.parse({"page_size": size, "system_fonts": False}))
    return [renderer.page(_SEED + index).image for index in range(count)]
