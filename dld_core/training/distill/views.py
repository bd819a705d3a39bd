"""One native crop, seen at the teacher's resolution and at a student's.

At inference an image of short side S is resized once, from its native pixels, to s times the reference R: by
the factor s * R / S. So a training crop is cut from native pixels, and each view of it is made by one
antialiased resize: by R / S for the teacher (times a random factor, for variety), by s times that for the
student. (The authors' code shrinks the tensor that the teacher gets, which is resized and normalised already,
without antialiasing: pixels that a student never meets in use.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dld_core.data.augment import AugmentConfig, Size, augment, crop, word_height
from dld_core.data.photometric import damage
from dld_core.images import resize
from dld_core.types import Batch, Sample


@dataclass(slots=True)
class PairedBatch(Batch):
    """The teacher's view of some crops, with those of students by their scale.

    Attributes:
        views: the crops at the scales that are learnt from.
        others: and at those that are only looked at.
    """

    views: dict[float, Batch] = field(default_factory=dict)
    others: dict[float, Batch] = field(default_factory=dict)

    def to(self, device: object) -> PairedBatch:
        """The same with every tensor on `device`."""
        return PairedBatch.of(
            Batch.to(self, device),
            {scale: view.to(device) for scale, view in self.views.items()},
            {scale: view.to(device) for scale, view in self.others.items()},
        )

    @classmethod
    def of(cls, teacher: Batch, views: Mapping[float, Batch], others: Mapping[float, Batch]) -> Self:
        """From the views that there are."""
        own = (teacher.images, teacher.polygons, teacher.texts, teacher.ignore, teacher.names)
        return cls(*own, views=dict(views), others=dict(others))


@dataclass(frozen=True, slots=True)
class NativeView:
    """Which part of an image is looked at, and how.

    Attributes:
        size: height and width of the teacher's view, pixels.
        reference: R, the short side in pixels to which a whole image is resized at full scale.
        factor: drawn evenly in its logarithm from this range and multiplied onto R / S.
    """

    size: Size
    reference: int
    factor: tuple[float, float] = (1.0, 1.0)

    def cut(self, sample: Sample, rng: Generator, views: AugmentConfig | None, turn: bool) -> Sample:
        """A random window of native pixels that fills the teacher's view once it is resized.

        Args:
            sample: a whole image at native resolution.
            views: photometric damage and how the window is placed; None for neither. Its `scale` plays no
                part, and words that would be lower than its `min_height` for the teacher become don't-care.
            turn: also its rotation, perspective and stretch: one (bilinear) resampling at native resolution.
        """
        low, high = (math.log(factor) for factor in self.factor)
        scale = self.reference / min(sample.image.shape[:2]) * math.exp(rng.uniform(low, high))
        window = max(round(self.size[0] / scale), 1), max(round(self.size[1] / scale), 1)
        if views is None:
            return crop(sample, window, rng)
        if turn:
            native = {"scale": (1.0, 1.0), "min_height": views.min_height / scale}
            return augment(sample, window, rng, views.model_copy(update=native))
        view = crop(sample, window, rng, views.tries, views.focus)
        image, coarser = damage(view.image, rng, views.photometric)
        return ignore_low(
            Sample(image, view.polygons, view.texts, view.ignore, view.name),
            views.min_height * coarser / scale,
        )


def resized(sample: Sample, size: Size) -> Sample:
    """The sample at another size (height, width), as inference resizes, polygons with it."""
    factor = np.array([size[1], size[0]], np.float32) / np.array(sample.image.shape[1::-1], np.float32)
    polygons = [(polygon * factor).astype(np.float32) for polygon in sample.polygons]
    return Sample(resize(sample.image, size=size), polygons, sample.texts, sample.ignore, sample.name)


def scaled_size(size: Size, scale: float) -> Size:
    """(height, width) times the scale, whole pixels, at least one."""
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def ignore_low(sample: Sample, height: float) -> Sample:
    """The sample with words lower than `height` pixels as don't-care."""
    low = np.array([word_height(polygon) < height for polygon in sample.polygons], dtype=np.bool_)
    return Sample(sample.image, sample.polygons, sample.texts, sample.ignore | low, sample.name)


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
            min_height: words lower than this at the smallest of `scales` become don't-care for teacher and
                students alike, so that the rows of their traces line up.
        """
        if min_height:
            least = size[0] * min(scales)
            crops = [ignore_low(c, min_height * c.image.shape[0] / least) for c in crops]

        made = {s: [resized(c, scaled_size(size, s)) for c in crops] for s in {1.0, *scales, *others}}
        return cls(made[1.0], {s: made[s] for s in scales}, {s: made[s] for s in others})

    def collate(self) -> PairedBatch:
        """As tensors."""
        views = {scale: Batch.collate(samples) for scale, samples in self.views.items()}
        others = {scale: Batch.collate(samples) for scale, samples in self.others.items()}
        return PairedBatch.of(Batch.collate(self.teacher), views, others)


def draw_scales(scales: Sequence[float], count: int, rng: Generator) -> tuple[list[float], list[float]]:
    """`count` of the scales at random, and the rest; both in the order given."""
    order: NDArray[np.int64] = rng.permutation(len(scales))
    drawn = {int(i) for i in order[:count]}
    return (
        [s for i, s in enumerate(scales) if i in drawn],
        [s for i, s in enumerate(scales) if i not in drawn],
    )
