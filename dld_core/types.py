"""The values that travel between the parts: results (Word, Page) and training data (Sample, Batch, traces).

Only numpy is needed at run time; torch appears in annotations alone, so that importing results stays cheap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Point = tuple[float, float]
SCHEMA_VERSION = "1"  # of Page.to_dict; raised when a key changes its meaning or goes, not when one is added


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
class Page:
    """What was read in one image, and what it took.

    Attributes:
        words: in the order of the spotter; polygons in pixels of the original image as seen (after EXIF
            turning), whatever size was read.
        width, height: of that image, pixels. 0 where it could not be opened (see `error`).
        image: its path or name; None for what came from memory.
        backend, weights: what read it.
        scale: the short side fed to the spotter, as a fraction of its reference short side.
        working_size: (width, height) fed to the spotter, pixels.
        gflops: FLOPs / 1e9 of reading it, a multiply-add counted as 2; None where the engine cannot tell.
        gflops_full: the same at full scale.
        timings_ms: milliseconds by stage ("decode", "resize", "spot", "total"); in a batch, "spot" is the
            time of the batch divided by its images.
        device: what really computed it ("cpu", "cuda:0").
        escalated_from: the scale of a first reading that came out unsure; None where there was one reading.
        notes: sentences about what was done to the image, such as a capped working size.
        error: why there are no words, for an image of a list that could not be read; else None.
    """

    words: list[Word]
    width: int
    height: int
    image: str | None = None
    backend: str = ""
    scale: float = 1.0
    working_size: tuple[int, int] = (0, 0)
    gflops: float | None = None
    gflops_full: float | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    device: str = ""
    weights: str | None = None
    escalated_from: float | None = None
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    schema_version: str = SCHEMA_VERSION

    @property
    def text(self) -> str:
        """All words, one a line."""
        return "\n".join(word.text for word in self.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the `--json` of `dld spot` prints them; `from_dict` is the way back."""
        return {
            "schema_version": self.schema_version,
            "image": self.image,
            "width": self.width,
            "height": self.height,
            "backend": self.backend,
            "weights": self.weights,
            "device": self.device,
            "scale": self.scale,
            "escalated_from": self.escalated_from,
            "working_size": list(self.working_size),
            "gflops": self.gflops,
            "gflops_full": self.gflops_full,
            "timings_ms": dict(self.timings_ms),
            "words": [
                {"text": w.text, "score": w.score, "polygon": [list(p) for p in w.polygon]}
                for w in self.words
            ],
            "notes": list(self.notes),
            "error": self.error,
        }

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as JSON (strict: no NaN), text kept as it is."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Page:
        """A page from `to_dict`. Unknown keys (of a later version) are left out.

        Raises:
            DataError: a key is missing or has another shape, or the schema version is not known.
        """
        from dld_core.errors import DataError

        version = str(values.get("schema_version", SCHEMA_VERSION))
        if version != SCHEMA_VERSION:
            raise DataError(
                f"this page has schema version {version!r}, and only {SCHEMA_VERSION!r} is known; "
                "read it with the version of dld that wrote it"
            )
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        try:
            known["words"] = [_word_from_dict(word) for word in values["words"]]
            known["working_size"] = tuple(int(side) for side in values.get("working_size", (0, 0)))
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"this is not a page ({type(error).__name__}: {error}); "
                "give what Page.to_dict or dld spot --json wrote"
            ) from error

    def draw(self, image: Any = None, path: str | Path | None = None) -> NDArray[np.uint8]:
        """The picture with its words outlined and labelled, RGB uint8 [H, W, 3].

        Args:
            image: the picture (anything `open_image` takes, any size); by default the file `self.image`.
            path: where to save the result as well.

        Raises:
            ImageError: the picture cannot be opened, or none is known.
        """
        from dld_core.drawing import draw_page, save_picture

        picture = draw_page(self, image)
        if path is not None:
            save_picture(picture, path)
        return picture

    def save(self, path: str | Path, image: Any = None) -> None:
        """Write the page: as JSON where `path` ends in .json, else as the drawn picture."""
        target = Path(path)
        if target.suffix.lower() == ".json":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self.to_json(indent=2) + "\n", encoding="utf-8")
        else:
            self.draw(image, target)


def _word_from_dict(values: Mapping[str, Any]) -> Word:
    polygon = tuple((float(x), float(y)) for x, y in values["polygon"])
    return Word(str(values["text"]), float(values["score"]), polygon)


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
        shown_boxes: per image boxes [n, 4] (x0, y0, x1, y1) that a teacher has judged, in pixels of that
            image tensor; a spotter that judges boxes gives its own opinion of them. None where nobody asks.
    """

    images: list[Tensor]
    polygons: list[list[Tensor]]
    texts: list[list[str]]
    ignore: list[Tensor]
    names: list[str] = field(default_factory=list)
    shown_boxes: list[Tensor] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: object) -> Batch:
        """The same batch with every tensor on `device`."""
        return Batch(
            images=[i.to(device) for i in self.images],  # type: ignore[call-overload]
            polygons=[[p.to(device) for p in polys] for polys in self.polygons],  # type: ignore[call-overload]
            texts=self.texts,
            ignore=[i.to(device) for i in self.ignore],  # type: ignore[call-overload]
            names=self.names,
            shown_boxes=None if self.shown_boxes is None else [b.to(device) for b in self.shown_boxes],  # type: ignore[call-overload]
        )

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
class BoxOpinion:
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
        opinion: of the batch's `shown_boxes`, or in a teacher's output of boxes of its own; None where the
            detector judges no boxes.
    """

    losses: dict[str, Tensor]
    trace: RecognitionTrace
    maps: dict[str, DenseMap] = field(default_factory=dict)
    opinion: BoxOpinion | None = None


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
