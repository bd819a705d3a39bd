"""The smallest spotter that can be taught, for tests of the training engine: milliseconds a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_core.config import PartConfig
from dld_core.interfaces import SequenceDecoder, TrainableSpotter
from dld_core.types import Batch, Hypotheses, RecognitionTrace, TrainOutput, Word

LETTERS = "abcdefghij"
STEPS = 3


class TinyConfig(PartConfig):
    width: int = 4


class TinyDecoder(SequenceDecoder):
    """Reads the first three letters, each from its own state."""

    pad_id = 0
    vocabulary_size = len(LETTERS) + 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, self.vocabulary_size)

    def encode(self, texts: Sequence[str]) -> Tensor:
        rows = [[LETTERS.index(c) + 1 for c in text if c in LETTERS][:STEPS] for text in texts]
        return torch.tensor([row + [0] * (STEPS - len(row)) for row in rows], dtype=torch.int64).reshape(
            -1, STEPS
        )

    def decode(self, tokens: Tensor) -> list[str]:
        return ["".join(LETTERS[i - 1] for i in row if i) for row in tokens.tolist()]

    def logits(self, context: Tensor, targets: Tensor) -> Tensor:
        return self.head(context)

    def loss(self, context: Tensor, targets: Tensor) -> Tensor:
        if not len(targets):
            return self.head(context).sum() * 0
        return F.cross_entropy(self.head(context).flatten(0, 1).float(), targets.flatten())

    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        best = self.head(context).float().log_softmax(-1).max(-1)
        lengths = torch.full((len(context), 1), STEPS)
        return Hypotheses(best.indices[:, None], lengths, best.values.sum(-1, keepdim=True))

    def log_prob(self, context: Tensor, tokens: Tensor) -> Tensor:
        scores = self.head(context).float().log_softmax(-1)
        if tokens.dim() == 3:
            scores = scores[:, None].expand(-1, tokens.shape[1], -1, -1)
        return scores.gather(-1, tokens[..., None])[..., 0].sum(-1)


class TinySpotter(TrainableSpotter):
    """A convolution, a norm, dropout; words are read from the mean of their box."""

    config_type = TinyConfig

    def __init__(self, config: TinyConfig | None = None) -> None:
        super().__init__()
        width = (config or TinyConfig()).width
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 8, 8), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.1)
        )
        self.states = nn.Linear(width, STEPS * width)
        self.decoder = TinyDecoder(width)
        self.finder = nn.Conv2d(width, 1, 1)
        self.poison = False  # a test makes the losses NaN with it

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        return [[] for _ in images]

    def _features(self, batch: Batch) -> Tensor:
        return self.trunk(torch.stack(batch.images).float() / 255)

    def _trace(self, batch: Batch, features: Tensor) -> RecognitionTrace:
        rows, texts, index = [], [], []
        for i, polygons in enumerate(batch.polygons):
            for polygon, text, ignored in zip(
                polygons, batch.texts[i], batch.ignore[i].tolist(), strict=True
            ):
                if ignored or not text:
                    continue
                x, y = (polygon.mean(0) / 8).long().clamp(0, features.shape[-1] - 1).tolist()
                rows.append(features[i, :, y, x])
                texts.append(text)
                index.append(i)
        pooled = torch.stack(rows) if rows else features.new_zeros(0, features.shape[1])
        context = self.states(pooled).reshape(len(pooled), STEPS, pooled.shape[1])
        targets = self.decoder.encode(texts).to(context.device)
        logits = self.decoder.logits(context, targets)
        return RecognitionTrace(pooled[..., None, None], context, logits, targets, torch.tensor(index))

    def recognize(self, batch: Batch) -> RecognitionTrace:
        return self._trace(batch, self._features(batch))

    def forward_train(self, batch: Batch) -> TrainOutput:
        features = self._features(batch)
        trace = self._trace(batch, features)
        losses = {
            "find": self.finder(features).float().square().mean(),
            "read": self.decoder.loss(trace.context, trace.targets),
        }
        if self.poison:
            losses["read"] = losses["read"] * float("nan")
        return TrainOutput(losses, trace)


def write_photos(folder: Path, count: int = 4, side: int = 96) -> Path:
    """A folder with images/ and gt/ of flat pictures with two words and a don't-care each."""
    rng = np.random.default_rng(1)
    (folder / "images").mkdir(parents=True)
    (folder / "gt").mkdir()
    for number in range(count):
        image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"img_{number}.png"), image)
        words = "".join(rng.choice(list(LETTERS), 3))
        lines = [f"8,8,40,8,40,24,8,24,{words}", "50,50,90,50,90,66,50,66,bad", "8,60,40,60,40,80,8,80,###"]
        (folder / "gt" / f"gt_img_{number}.txt").write_text("\r\n".join(lines), encoding="utf-8")
    return folder
