"""One native crop, seen at the teacher's resolution and at a student's.

At inference an image is resized once, from its native pixels, to s times its full size: by the factor s * f,
where f (`images.full_factor`) is 1, or more for images smaller than the spotter's reference. So a training
crop is cut from native pixels, and each view of it is made by one antialiased resize: by f for the teacher
(times a random factor, for variety), by s times that for the student. (The authors' code shrinks the tensor
that the teacher gets, which is resized and normalised already, without antialiasing: pixels that a student
never meets in use.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.augment import AugmentConfig, Size, augment, crop, word_height
from dld_core.data.dataset import BatchStream
from dld_core.data.photometric import damage
from dld_core.data.sources import Source, SourceConfig
from dld_core.images import full_factor, resize
from dld_core.training.distill.config import DistillConfig
from dld_core.types import Batch, Sample


@dataclass(slots=True)
class PairedBatch(Batch):
    """The teacher's view of some crops, with those of students by their scale.

    Attributes:
        views: the crops at the scales that are learnt from.
        others: and at those that are only read.
    """

    views: dict[float, Batch] = field(default_factory=dict)
    others: dict[float, Batch] = field(default_factory=dict)

    def to(self, device: object) -> PairedBatch:
        """The same with every tensor on `device`."""
        views, others = (
            {scale: view.to(device) for scale, view in kind.items()} for kind in (self.views, self.others)
        )
        moved = Batch.to(self, device)
        assert isinstance(moved, PairedBatch)
        return replace(moved, views=views, others=others)


@dataclass(frozen=True, slots=True)
class PairedSamples:
    """The views of a batch of crops, before they are tensors; see PairedBatch."""

    teacher: list[Sample]
    views: dict[float, list[Sample]]
    others: dict[float, list[Sample]]

    @classmethod
    def of(
        cls,
        crops: Sequence[Sample],
        size: Size,
        scales: Sequence[float],
        others: Sequence[float] = (),
        min_height: float = 0.0,
    ) -> Self:
        """Resize native crops, each view from the native pixels.

        Args:
            size: height and width of the teacher's view.
            scales, others: of the students' views, as fractions of the teacher's.
            min_height: words lower than this at the smallest of `scales` are ignored, for teacher and
                students alike, so that the rows of their traces line up.
        """
        if min_height:
            least = size[0] * min(scales)
            crops = [ignore_low(c, min_height * c.image.shape[0] / least) for c in crops]
        sizes = {s: (max(round(size[0] * s), 1), max(round(size[1] * s), 1)) for s in {1.0, *scales, *others}}
        made = {scale: [resized(c, own) for c in crops] for scale, own in sizes.items()}
        return cls(made[1.0], {s: made[s] for s in scales}, {s: made[s] for s in others})

    def collate(self) -> PairedBatch:
        """As tensors."""
        teacher = Batch.collate(self.teacher)
        views, others = (
            {scale: Batch.collate(samples) for scale, samples in kind.items()}
            for kind in (self.views, self.others)
        )
        own = {f.name: getattr(teacher, f.name) for f in fields(Batch)}
        return PairedBatch(**own, views=views, others=others)


@dataclass(frozen=True, slots=True)
class NativeView:
    """Which part of an image is looked at, and how.

    Attributes:
        size: height and width of the teacher's view, pixels.
        reference: the short side, in pixels, up to which whole images are enlarged at full scale.
        factor: drawn evenly in its logarithm from this range and multiplied onto that of the full size.
    """

    size: Size
    reference: int
    factor: tuple[float, float] = (1.0, 1.0)

    def cut(self, sample: Sample, rng: Generator, views: AugmentConfig | None, turn: bool) -> Sample:
        """A random window of native pixels that fills the teacher's view once it is resized.

        Args:
            sample: a whole image at native resolution.
            views: photometric damage and how the window is placed; None for neither. Its `scale` plays no
                part, and words that would be lower than its `min_height` for the teacher are ignored.
            turn: also its rotation, perspective and stretch: one (bilinear) resampling at native resolution.
        """
        low, high = (math.log(factor) for factor in self.factor)
        full = full_factor(sample.image.shape[0], sample.image.shape[1], self.reference)
        scale = full * math.exp(rng.uniform(low, high))
        window = max(round(self.size[0] / scale), 1), max(round(self.size[1] / scale), 1)
        if views is None:
            return crop(sample, window, rng)
        if turn:
            native = {"scale": (1.0, 1.0), "min_height": views.min_height / scale}
            return augment(sample, window, rng, views.model_copy(update=native))
        view = crop(sample, window, rng, views.tries, views.focus)
        image, coarser = damage(view.image, rng, views.photometric)
        return ignore_low(replace(view, image=image), views.min_height * coarser / scale)


class PairedStream(BatchStream):
    """Batch number -> the same crops for teacher and student, at one or a few scales for the whole batch.

    Args:
        config: of the run.
        sources: its data, where those without labels know where theirs are.
        reference: the short side at full scale, pixels.
    """

    def __init__(self, config: DistillConfig, sources: Sequence[SourceConfig], reference: int) -> None:
        super().__init__(sources, config.batch_size, config.sizes, config.seed)
        self.config = config
        self.reference = reference
        self.turns = [source.augmentation is not None for source in sources]

    def __getitem__(self, number: int) -> PairedSamples:  # type: ignore[override]
        size, crops = self._drawn(number)
        config = self.config
        rng = np.random.default_rng((self.seed, 6, number))
        scales, others = draw_scales(config.scales, config.scales_per_step, rng)
        return PairedSamples.of(crops, size, scales, others if config.read_others else (), config.min_height)

    def collate(self, samples: PairedSamples) -> PairedBatch:  # type: ignore[override]
        """As tensors."""
        return samples.collate()

    def _make(self, source: Source, number: int, size: Size) -> Sample:
        """A native crop. (Words cut or turned by it are treated as in training.)"""
        index = self.sources.index(source)
        rng = np.random.default_rng((self.seed, 7, index, number))
        view = NativeView(size, self.reference, self.config.teacher_scale)
        return view.cut(source.whole(number, size), rng, source.views, self.turns[index])


def resized(sample: Sample, size: Size) -> Sample:
    """The sample at another size (height, width), as inference resizes, polygons with it."""
    factor = np.array([size[1], size[0]], np.float32) / np.array(sample.image.shape[1::-1], np.float32)
    polygons = [(polygon * factor).astype(np.float32) for polygon in sample.polygons]
    return replace(sample, image=resize(sample.image, size=size), polygons=polygons)


def ignore_low(sample: Sample, height: float) -> Sample:
    """The sample with words lower than `height` pixels as ignore regions."""
    low = np.array([word_height(polygon) < height for polygon in sample.polygons], dtype=np.bool_)
    return replace(sample, ignore=sample.ignore | low)


def draw_scales(scales: Sequence[float], count: int, rng: Generator) -> tuple[list[float], list[float]]:
    """`count` of the scales at random, and the rest; both in the order given."""
    order: NDArray[np.int64] = rng.permutation(len(scales))
    drawn = {int(i) for i in order[:count]}
    return (
        [s for i, s in enumerate(scales) if i in drawn],
        [s for i, s in enumerate(scales) if i not in drawn],
    )
