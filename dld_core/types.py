"""The values that travel between the parts: results (Word, Page) and training data (Sample, Batch, traces).

Only numpy is needed at run time; torch appears in annotations alone, so that importing results stays cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Word:
    """One word read in an image.

    Attributes:
        text: what it says, characters of the spotter's charset.
        score: confidence in [0, 1] that the word is there and reads so.
        polygon: at least three (x, y) points, clockwise from the start of the text, in pixels of the
            image as it was given to whoever returned the word.
    """

    text: str
    score: float
    polygon: tuple[Point, ...]

    @property
    def array(self) -> NDArray[np.float32]:
        """The polygon as float32 [n, 2]."""
        return np.asarray(self.polygon, dtype=np.float32).reshape(-1, 2)


@dataclass(slots=True)
class Sample:
    """One annotated image, as data sets and the renderer give it.

    Attributes:
        image: RGB uint8 [H, W, 3], raw pixels (no EXIF turning: labels refer to stored pixels).
        polygons: one float32 [n, 2] per word, n >= 3, clockwise from the start of the text, in pixels.
        texts: one transcription per polygon; anything where `ignore` is set.
        ignore: bool [N], True for don't-care words (unreadable; no loss may touch them).
        name: where it comes from (a path or a seed), for messages.
    """

    image: NDArray[np.uint8]
    polygons: list[NDArray[np.float32]]
    texts: list[str]
    ignore: NDArray[np.bool_]
    name: str = ""

    def __post_init__(self) -> None:
        if not len(self.polygons) == len(self.texts) == len(self.ignore):
            raise ValueError(
                f"sample {self.name!r}: {len(self.polygons)} polygons, {len(self.texts)} texts and "
                f"{len(self.ignore)} ignore flags; there must be one of each per word"
            )


@dataclass(slots=True)
class Batch:
    """Images and their annotations as tensors, for training.

    Attributes:
        images: B RGB uint8 tensors [3, H, W]; sizes may differ.
        polygons: per image a list of float32 [n, 2] tensors, in pixels of that image tensor.
        texts: per image one string per polygon.
        ignore: per image a bool tensor [N].
        names: per image where it comes from.
        teacher_boxes: per image boxes [n, 4] (x0, y0, x1, y1) that a teacher has judged, in pixels of that
            image tensor; a two-stage spotter gives its own `box_outputs` for them. None without distillation.
        regions: per image one region [n, 2] for each polygon, which the recogniser reads instead of it. The
            loop of distillation moves each word's region once at random, for teacher and student alike.
    """

    images: list[Tensor]
    polygons: list[list[Tensor]]
    texts: list[list[str]]
    ignore: list[Tensor]
    names: list[str] = field(default_factory=list)
    teacher_boxes: list[Tensor] | None = None
    regions: list[list[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: object) -> Batch:
        """The same batch with every tensor on `device`."""

        def moved(value: Any) -> Any:
            return [moved(item) for item in value] if isinstance(value, list) else value.to(device)

        tensors = {name: getattr(self, name) for name in ("images", "polygons", "ignore")}
        given = {name: getattr(self, name) for name in ("teacher_boxes", "regions")}
        tensors |= {name: value for name, value in given.items() if value is not None}
        return replace(self, **{name: moved(value) for name, value in tensors.items()})

    @staticmethod
    def collate(samples: Sequence[Sample]) -> Batch:
        """Stack samples into a batch; tensors share no memory with the samples."""
        import torch

        return Batch(
            images=[torch.from_numpy(np.ascontiguousarray(s.image.transpose(2, 0, 1))) for s in samples],
            polygons=[[torch.tensor(p, dtype=torch.float32) for p in s.polygons] for s in samples],
            texts=[list(s.texts) for s in samples],
            ignore=[torch.tensor(s.ignore, dtype=torch.bool) for s in samples],
            names=[s.name for s in samples],
        )


@dataclass(slots=True)
class RecognitionTrace:
    """What the recognition branch saw and said for N ground-truth regions, row by row.

    A teacher's and a student's rows line up because both read the same regions (same order: images of
    the batch, then words of the image, don't-care and unreadable words left out).

    Attributes:
        roi_features: [N, C, h, w] features sampled along each region.
        context: [N, T, D] states that the decoder attends to (or labels, for CTC).
        logits: [N, S, V] per step; teacher-forced on `targets` for attention, per column for CTC.
        targets: [N, L] int64 token ids, padded with the decoder's pad id.
        sample_index: [N] int64, the image of the batch that each row comes from.
        hypotheses: in a teacher's trace, its k best readings of every row by its own decoder; else None.
    """

    roi_features: Tensor
    context: Tensor
    logits: Tensor
    targets: Tensor
    sample_index: Tensor
    hypotheses: Hypotheses | None = None


@dataclass(slots=True)
class DenseMap:
    """Where a detector sees something, position by position: what its student may be compared by.

    Attributes:
        logits: [B, h, w] of independent probabilities (a sigmoid gives them), over the batch as padded.
        stride: pixels of the padded batch per position.
    """

    logits: Tensor
    stride: int


@dataclass(slots=True)
class BoxOutputs:
    """What a two-stage detector makes of some boxes: what its student may be compared by.

    Attributes:
        boxes: per image [n, 4] (x0, y0, x1, y1), pixels of the image.
        logits: [N, C] of classes (a softmax gives their probabilities); class 0 is background.
        deltas: [N, 4] corrections of the boxes, in units of the boxes, so that they mean the same at every
            resolution.
    """

    boxes: list[Tensor]
    logits: Tensor
    deltas: Tensor


@dataclass(slots=True)
class TrainOutput:
    """Named scalar losses (summed by the caller, weights already applied) and the recognition trace.

    Attributes:
        losses: by name.
        trace: of the ground-truth regions.
        maps: of the detector, by name; empty where it has none that mean the same at every resolution.
        box_outputs: for the batch's `teacher_boxes`, or in a teacher's output for its own boxes; None where
            the detector has one stage.
    """

    losses: dict[str, Tensor]
    trace: RecognitionTrace
    maps: dict[str, DenseMap] = field(default_factory=dict)
    box_outputs: BoxOutputs | None = None


@dataclass(slots=True)
class SelectorBatch:
    """What a selector learns from: B images with thumbnails of one size, and what was lost at K scales.

    Attributes:
        thumbnails: [B, 3, h, w] float in [0, 1].
        native_sizes: [B, 2] native height and width, pixels.
        targets: maps of `ResolutionSelector.targets` by name, [B, ...] each.
        losses: [B, K] words lost at each scale, measured; None for images that no spotter has read.
        costs: [B, K] of reading at each scale, as shares of the dearest; None likewise.
        decision: expected loss [B, K] -> the loss (a scalar) of choosing scales by it under random prices.
    """

    thumbnails: Tensor
    native_sizes: Tensor
    targets: dict[str, Tensor]
    losses: Tensor | None
    costs: Tensor | None
    decision: Callable[[Tensor], Tensor]


@dataclass(slots=True)
class Hypotheses:
    """The k best readings of N words, best first.

    Attributes:
        tokens: [N, k, L] int64, end token included where it fits, then padding.
        lengths: [N, k] int64, tokens that count (the end token included).
        log_probs: [N, k] float, log-probability of the whole sequence; -inf where fewer than k exist.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor
