"""The abstract parts: Spotter, TrainableSpotter, SequenceDecoder, ResolutionSelector, Distiller.

Everything in the core that selects resolutions or distils goes through these and nothing else, so a
backend that keeps the contracts (numbered in docs/contract.md) gets both without a line of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor, nn

from dld_core.config import PartConfig
from dld_core.types import Batch, Hypotheses, RecognitionTrace, SelectorBatch, TrainOutput, Word

BundledPart = Literal["student", "selector"]
BUNDLED = "bundled"
"""Weights (or a selector) that ship with a backend, as `weights=` and `selector=` name them."""
DEFAULT_GAMMA = 0.2
"""The price of cost where none is asked for, in words."""
DEFAULT_SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
"""Candidate scales where nothing else is asked for."""


class Spotter(ABC):
    """Finds and reads the words of images. Predict-only engines stop here.

    A spotter declares data, not behaviour, about itself:

    Attributes:
        config_type: the pydantic model of its options; `create(**options)` validates against it.
        size_divisor: images are fastest when height and width are multiples of this (pixels, >= 1).
        reference_short_side: the short side, in pixels, at which it reads best ("full" scale).
        thread_safe: whether `predict` may be called from several threads at once.
        charset: every character that it can read, in a fixed order.
        reads_native: whether it takes native images and a working size (`predict_at`): of two stages, only
            the detector needs to work small, and words are read from the pixels that there are.
        weights_are_its_own: whether weights that are given are an engine's own, wherever they lie: the
            selector that ships for the bundled ones (`bundled_part`) then serves for them, too.
    """

    config_type: ClassVar[type[PartConfig]] = PartConfig
    size_divisor: int = 1
    reference_short_side: int = 720
    thread_safe: bool = False
    charset: str = ""
    reads_native: bool = False
    weights_are_its_own: bool = False

    @classmethod
    def create(cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any) -> Spotter:
        """Build one ready to predict.

        Args:
            weights: "bundled" for those that ship with it, a file or folder, or None for none (random).
            device: a resolved torch device string such as "cpu" or "cuda:0".
            options: fields of `config_type`.

        Raises:
            ConfigError: an option is unknown or out of range.
            WeightsError: the weights are missing or do not fit.
        """
        del weights, device
        return cls(cls.config_type.parse(options))  # type: ignore[call-arg]

    @abstractmethod
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """Read images (RGB uint8 tensors [3, H, W], any and mixed sizes), one list of words for each.

        Polygons are in pixels of the image as given. Deterministic; the same image gives the same words
        alone and in any batch; the spotter itself is not changed.
        """

    def predict_at(self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[list[Word]]:
        """Read images for working sizes (height, width): what wrapper, selector and study call.

        Without `reads_native` the images have these sizes already. With it they are native, and the spotter
        overrides this: its detector works at `sizes`. Polygons are in pixels of the image as given.
        """
        del sizes
        return self.predict(images)

    def bundled_part(self, part: BundledPart) -> Path | None:
        """The file of the student or the selector that ships with its bundled weights, None where none does.

        "student": weights of the same architecture, distilled to read small images. "selector": a file
        of `dld_core.selection`.
        """
        del part
        return None

    def flops(self, height: int, width: int, words: int = 0) -> float | None:
        """FLOPs (a multiply-add counts 2) of reading one image of this size holding `words` words.

        Everything is included: trunk, heads, recogniser. None where the engine cannot tell.
        """
        del height, width, words
        return None


class SequenceDecoder(nn.Module, ABC):
    """Turns context states [N, T, D] into text. Attention and CTC stand behind this one interface.

    Attributes:
        pad_id: token that fills `targets` and hypotheses after their end.
        vocabulary_size: V, the size of the last dimension of logits.
    """

    pad_id: int
    vocabulary_size: int

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Token ids [N, L] int64 of texts, padded; characters outside the charset are left out."""

    @abstractmethod
    def decode(self, tokens: Tensor) -> list[str]:
        """The texts of token ids [N, L] (as in Hypotheses, not raw CTC alignments)."""

    @abstractmethod
    def logits(self, context: Tensor, targets: Tensor) -> Tensor:
        """Unnormalised scores [N, S, V], teacher-forced on targets [N, L] where the decoder is recurrent."""

    @abstractmethod
    def loss(self, context: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood of targets [N, L]; a zero that keeps the graph where N is 0."""

    def loss_of_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The same loss from logits [N, S, V] already at hand (a trace's), so that no step runs twice.

        As it stands: cross-entropy per step, for decoders whose logits line up with the targets. Decoders
        whose logits do not (CTC) override it.
        """
        if targets.shape[0] == 0:
            return logits.sum() * 0
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=self.pad_id)

    def counted_steps(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Which steps [N, S] of logits [N, S, V] say something: True where two readers may be compared.

        As it stands: the steps of targets [N, L] before padding, where the logits line up with them.
        Decoders whose logits do not (CTC: every column counts) override it.
        """
        if logits.shape[:2] == targets.shape:
            return targets != self.pad_id
        return torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)

    @abstractmethod
    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        """The k most probable token sequences per row; k = 1 is the reading that `predict` reports."""

    @abstractmethod
    def log_prob(self, context: Tensor, tokens: Tensor) -> Tensor:
        """log p(tokens | context), summed over steps: tokens [N, L] -> [N], or [N, k, L] -> [N, k]."""


class TrainableSpotter(Spotter, nn.Module):
    """A spotter that can be taught: teacher and student of distillation.

    Attributes:
        adaptation_settings: keys of a `dld distill` config for fitting it to a user's photos
            (`DLDWrapper.distill`), where the usual ones do not suit it. What the caller says goes first;
            data, teacher, start and time are the caller's anyway.
        region_jitter: how far the regions that it learns to read are moved at random, as a fraction of a
            word's height. It moves them itself where a batch has no `regions`; where it has, these are read.
    """

    decoder: SequenceDecoder
    adaptation_settings: ClassVar[Mapping[str, Any]] = {}
    region_jitter: float = 0.0

    @abstractmethod
    def forward_train(self, batch: Batch) -> TrainOutput:
        """All weighted losses of this batch by name, and the trace of its ground-truth regions.

        Don't-care words enter no loss; images without words are fine.
        """

    @abstractmethod
    def recognize(self, batch: Batch) -> RecognitionTrace:
        """The recognition branch alone, on the ground-truth regions of the batch (or its `regions`)."""

    def recognition_losses(self, batch: Batch) -> TrainOutput:
        """Losses of the recognition branch alone: the cheap warm-up of trunk and reader.

        Override it to add what training alone wants (jittered regions, auxiliary losses).
        """
        trace = self.recognize(batch)
        return TrainOutput({"recognition": self.decoder.loss(trace.context, trace.targets)}, trace)

    def teacher_outputs(self, batch: Batch) -> TrainOutput:
        """What a teacher gives its student, without losses: the trace of `recognize`, and dense maps.

        Override it where the detector has maps of probabilities that mean the same at every resolution,
        and let `forward_train` return those of the same names: detection can then be distilled too. A
        detector of two stages gives its outputs for boxes instead (`box_outputs`), and `forward_train`
        those for `batch.teacher_boxes`.
        """
        return TrainOutput({}, self.recognize(batch))


class SelectorConfig(PartConfig):
    """Options that every selector has; a selector's own config subclasses it.

    Attributes:
        scales: candidates, fractions of the reference short side: positive numbers, ascending.
        reference_short_side: the short side at scale 1, pixels; None for a selector that serves any.
        long_side: of the thumbnails that it gets, pixels.
        gamma: the price of cost at which it chooses where none is asked for, in words.
    """

    scales: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = DEFAULT_SCALES
    reference_short_side: float | None = Field(default=None, gt=0)
    long_side: int = Field(default=384, ge=64, le=1024)
    gamma: float = Field(default=DEFAULT_GAMMA, ge=0)

    @field_validator("scales")
    @classmethod
    def _ascending(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if not scales or list(scales) != sorted(set(scales)):
            raise ValueError("scales must be one or more distinct numbers, ascending")
        return scales


class ResolutionSelector(nn.Module, ABC):
    """Expects, from a thumbnail, how many words are lost at every candidate scale.

    Choosing under a budget is the policy's business. Any selector is trained, saved and loaded by its
    contract: `dld distill` with `selector: {name: NAME}`, then `DLDWrapper(selector="NAME")`.

    Args:
        config: its options; None for the defaults.

    Attributes:
        config_type: the model of its options.
        loss_weights: of all its losses, by name.
        learns_from_pages: whether annotated images that no spotter has read teach it anything.
        scales: candidates, ascending; any positive numbers.
        reference_short_side: the short side, in pixels, at scale 1. Joint training sets it to that of crops.
    """

    config_type: ClassVar[type[SelectorConfig]] = SelectorConfig
    loss_weights: ClassVar[Mapping[str, float]] = {"words": 1.0, "decision": 1.0}
    learns_from_pages: ClassVar[bool] = False
    scales: tuple[float, ...]

    def __init__(self, config: SelectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or self.config_type()
        self.scales = self.config.scales
        self.reference_short_side = self.config.reference_short_side

    @classmethod
    def create(cls, **options: Any) -> Self:
        """An untrained one. Raises ConfigError for options that are unknown or out of range."""
        return cls(cls.config_type.parse(options, where=f"selector {cls.__name__}"))

    @classmethod
    def weights_for(cls, backend: str) -> Path | None:
        """The file of one that is trained for a backend and ships with this class; None where none does."""
        del backend
        return None

    @abstractmethod
    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        """Expected loss [B, K] in words (finite, lower is better) of reading each image at each scale.

        Args:
            thumbnails: [B, 3, h, w] in [0, 1]; sides are multiples of 16.
            native_sizes: [B, 2] native height and width, pixels.
        """

    def expect(self, thumbnails: Tensor, native_sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """As `forward`, and how many words each image holds, [B], where the selector can tell."""
        return self(thumbnails, native_sizes), None

    def targets(
        self,
        polygons: Sequence[NDArray[np.float32]],
        cares: NDArray[np.bool_],
        lost: NDArray[np.float32],
        size: tuple[int, int],
    ) -> dict[str, NDArray[np.float32]]:
        """What `training_loss` needs of an image beside its losses: made once, kept, and stacked to batches.

        Args:
            polygons: of its N words, [n, 2] each, thumbnail pixels.
            cares: [N], whether a word counts (is no ignore region).
            lost: [N, K] in [0, 1], how often each word was lost at each scale.
            size: (height, width) of the thumbnail.

        Returns:
            Maps by name, whose last axis runs along the image's width: they are mirrored with it.
        """
        del polygons, cares, lost, size
        return {}

    def training_loss(self, batch: SelectorBatch, progress: float = 0.0) -> dict[str, Tensor]:
        """Named scalar losses, weighted by `loss_weights` (or a config's `fit.weights`) and added up.

        As it stands: the distance from the measured losses, divided by the root of the words at stake, and
        the loss of deciding.

        Args:
            batch: images; without `losses` only for a selector that `learns_from_pages`.
            progress: share in [0, 1] of the training that is done.
        """
        del progress
        expected = self(batch.thumbnails, batch.native_sizes)
        assert batch.losses is not None
        spread = (1 + batch.losses.amax(1, keepdim=True)).sqrt()
        return {
            "words": F.smooth_l1_loss(expected / spread, batch.losses / spread),
            "decision": batch.decision(expected),
        }


class Distiller(nn.Module, ABC):
    """Compares a teacher's and a student's trace.

    Attributes:
        zero_when_equal: terms that are 0 where student and teacher agree.
        hypotheses: how many of its own best readings the teacher is to put into its trace; 0 for none. A
            trace may come without them all the same.
    """

    zero_when_equal: frozenset[str] = frozenset()
    hypotheses: int = 0

    @abstractmethod
    def forward(
        self, teacher: RecognitionTrace, student: RecognitionTrace, student_decoder: SequenceDecoder
    ) -> dict[str, Tensor]:
        """Named scalar losses; every term of `zero_when_equal` is 0 where student and teacher agree."""


@runtime_checkable
class Exportable(Protocol):
    """A spotter that can be written as ONNX."""

    def export(self, file: Path, calibration: Sequence[NDArray[np.uint8]] | None = None) -> list[Path]:
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


def module_device(module: nn.Module) -> torch.device:
    """The device of a module's first parameter (cpu when it has none)."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))
