"""The endless stream of paired batches, a pure function of settings, seed and number as in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dld_core.data.augment import Size
from dld_core.data.dataset import BatchStream
from dld_core.data.sources import Source, SourceConfig
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.views import NativeView, PairedBatch, PairedSamples, draw_scales
from dld_core.types import Sample


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
        seed = self.sources.index(source)
        rng = np.random.default_rng((self.seed, 7, seed, number))
        view = NativeView(size, self.reference, self.config.teacher_scale)
        return view.cut(source.whole(number, size), rng, source.views, self.turns[seed])
