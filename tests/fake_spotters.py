"""Spotters without heavy weights: they find the red rectangle of an image."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dld_core.config import PartConfig
from dld_core.interfaces import Spotter, TrainableSpotter
from dld_core.types import Batch, RecognitionTrace, TrainOutput, Word


def red_words(image: Tensor) -> list[Word]:
    """One word round the red pixels, named after the size of the image; none where nothing is red."""
    red = (image[0] > 180) & (image[1] < 80)
    rows, columns = red.any(1).nonzero()[:, 0], red.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        return []
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    text = f"{image.shape[2]}x{image.shape[1]}"
    return [Word(text, 0.9, tuple((float(x), float(y)) for x, y in corners))]


class RedConfig(PartConfig):
    """Options of the fakes."""

    gain: float = 1.0


class RedSpotter(Spotter):
    """Predict-only. Keeps a list of the batch shapes that it saw, and whether calls ever overlapped."""

    config_type = RedConfig
    reference_short_side = 120
    charset = "0123456789x"

    def __init__(self, config: RedConfig | None = None) -> None:
        self.config = config or RedConfig()
        self.seen: list[list[tuple[int, ...]]] = []
        self.overlapped = False
        self._busy = threading.Lock()

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            self._busy.acquire()
        try:
            time.sleep(0.001)
            self.seen.append([tuple(image.shape) for image in images])
            return [red_words(image) for image in images]
        finally:
            self._busy.release()

    def flops(self, height: int, width: int, words: int = 0) -> float:
        return 2e6 * height * width + 1e9 * words


class NativeSpotter(RedSpotter):
    """Wants native images, and keeps a list of the working sizes that it was asked for."""

    reads_native = True

    def __init__(self, config: RedConfig | None = None) -> None:
        super().__init__(config)
        self.sizes: list[tuple[int, int]] = []

    def predict_at(self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[list[Word]]:
        self.sizes += sizes
        return self.predict(images)


class SilentSpotter(Spotter):
    """Knows no cost and no device, and breaks on images of one width."""

    reference_short_side = 60
    thread_safe = True
    breaks_at = 240

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any
    ) -> SilentSpotter:
        return cls()

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        if any(image.shape[2] == self.breaks_at for image in images):
            raise RuntimeError("this engine dislikes the picture")
        return [red_words(image) for image in images]


class TinySpotter(TrainableSpotter):
    """Its one weight is the score of its words."""

    config_type = RedConfig
    reference_short_side = 60

    def __init__(self, config: RedConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.score = nn.Parameter(torch.tensor(0.25))
        self.tied = self.score  # safetensors refuses shared memory: saving has to cope
        self.register_buffer("table", torch.ones(3, 2).half().t())

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any
    ) -> TinySpotter:
        spotter = cls(RedConfig.parse(options))
        if weights not in (None, "bundled"):
            spotter.load_state_dict(load_file(weights))
        return spotter.to(device)

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        score = float(self.score) * self.config.gain
        return [[Word(w.text, score, w.polygon) for w in red_words(image)] for image in images]

    def forward_train(self, batch: Batch) -> TrainOutput:
        raise NotImplementedError

    def recognize(self, batch: Batch) -> RecognitionTrace:
        raise NotImplementedError
