"""A spotter whose limits are known, pages for it, and a selector that says what it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from dld_core.interfaces import ResolutionSelector, SelectorConfig, Spotter
from dld_core.selection import DenseConfig
from dld_core.training.selector.config import SelectorTrainingConfig
from dld_core.types import Sample, Word

SCALES = (0.25, 0.5, 1.0)
NETWORK = {"scales": [0.5, 1.0], "long_side": 96, "options": {"width": 8, "hidden": 8}}


def small(**changes: object) -> DenseConfig:
    """A tiny dense selector's options, for `BarSpotter`."""
    return DenseConfig.parse(
        {"scales": SCALES, "long_side": 96, "width": 8, "hidden": 8, "reference_short_side": 240, **changes}
    )


class BarSpotter(Spotter):
    """Finds red bars, and reads those that are at least 16 pixels high."""

    reference_short_side = 240
    thread_safe = True

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: object
    ) -> Spotter:
        return cls()

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        return [self._read(image) for image in images]

    def _read(self, image: Tensor) -> list[Word]:
        rows = ((image[0] > 150) & (image[1] < 110)).any(1)
        edges = torch.diff(torch.cat([torch.zeros(1), rows.float(), torch.zeros(1)])).nonzero()[:, 0].tolist()
        words = []
        for top, bottom in zip(edges[::2], edges[1::2], strict=True):
            columns = ((image[0] > 150) & (image[1] < 110))[top:bottom].any(0).nonzero()[:, 0]
            left, right = float(columns[0]), float(columns[-1]) + 1
            corners = ((left, float(top)), (right, float(top)), (right, float(bottom)), (left, float(bottom)))
            text = "bar" if bottom - top >= 16 else "blur"
            words.append(Word(text, 0.95 if text == "bar" else 0.4, corners))
        return words

    def flops(self, height: int, width: int, words: int = 0) -> float:
        return 2.5e4 * height * width + 1e6 * words


class FixedScores(ResolutionSelector):
    """Loses as many words as it is told to; dark pictures lose none."""

    def __init__(self, config: SelectorConfig | None = None, lost: Sequence[float] = (4.0, 1.0, 0.0)) -> None:
        super().__init__(config or SelectorConfig(scales=SCALES))
        self.lost = torch.nn.Parameter(torch.tensor(lost))

    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        bright = (thumbnails.mean((1, 2, 3)) > 0.4).to(self.lost.dtype)
        return bright.unsqueeze(1) * self.lost


def page(heights: Sequence[int], seed: int = 0, size: tuple[int, int] = (240, 320), gap: int = 12) -> Sample:
    """Red bars of these heights on noise, one below the other, at native size."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 140, (*size, 3)).astype(np.uint8)
    polygons, top = [], 10
    for height in heights:
        left = int(rng.integers(5, 60))
        right = min(size[1] - 5, left + max(40, 3 * height))
        image[top : top + height, left:right] = (255, 0, 0)
        corners = [[left, top], [right, top], [right, top + height], [left, top + height]]
        polygons.append(np.array(corners, np.float32))
        top += height + gap
    return Sample(image, polygons, ["bar"] * len(heights), np.zeros(len(heights), bool), f"page-{seed}")


def photos(folder: Path, count: int = 10) -> Path:
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        Image.fromarray(page([20, 50], seed=number).image).save(folder / "images" / f"img_{number}.png")
    return folder / "images"


def written(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def bars_on_disk(folder: Path, **measured: Any) -> SelectorTrainingConfig:
    """Twelve pages of bars in a folder, and the settings of a selector that learns from them."""
    (folder / "images").mkdir(parents=True)
    (folder / "gt").mkdir()
    for number in range(12):
        sample = page([[12, 30, 60][number % 3]] * 2, seed=number)
        Image.fromarray(sample.image).save(folder / "images" / f"img_{number}.png")
        lines = [",".join(str(int(v)) for v in p.ravel()) + ",bar\n" for p in sample.polygons]
        (folder / "gt" / f"gt_img_{number}.txt").write_text("".join(lines))
    source = {"kind": "icdar", "images": str(folder / "images"), "gt": str(folder / "gt")}
    return SelectorTrainingConfig.parse(
        {
            **{"scales": SCALES, "long_side": 96, "options": NETWORK["options"]},
            "pages": {"data": [source], "images": 4, "zooms": 1},
            "measured": {"data": [source], "images": 12, "runs": 2, **measured},
            "fit": {"steps": 20},
        }
    )
