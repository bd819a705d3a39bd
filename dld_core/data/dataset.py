"""The endless stream of training batches: a pure function of (settings, seed, batch number).

Nothing about the stream needs saving: a run that stopped after batch n goes on with batch n + 1, whatever the
number of workers.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from dld_core.data.augment import Size
from dld_core.data.sources import Source, SourceConfig
from dld_core.errors import DataError, DLDError, ImageError
from dld_core.types import Batch, Sample

_PERIOD = 1000


class Mixture:
    """Which source each sample comes from, and its number within that source.

    One fixed shuffled sequence, repeated: the shares are exact over every period, and the number
    within a source needs no counting from the start.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        share = np.asarray(weights, dtype=np.float64) / float(np.sum(weights)) * _PERIOD
        counts = np.floor(share).astype(int)
        counts[np.argsort(counts - share, kind="stable")[: _PERIOD - counts.sum()]] += 1
        counts = np.maximum(counts, 1)
        self.table = np.random.default_rng((seed, 4)).permutation(np.repeat(np.arange(len(counts)), counts))
        self.counts = counts
        self.before = np.zeros(len(self.table), dtype=np.int64)
        for source in range(len(counts)):
            places = self.table == source
            self.before[places] = np.arange(places.sum())

    def __getitem__(self, index: int) -> tuple[int, int]:
        """(source, number within it) of sample `index`."""
        rounds, place = divmod(index, len(self.table))
        source = int(self.table[place])
        return source, int(rounds * self.counts[source] + self.before[place])


class BatchStream(Dataset[list[Sample]]):
    """Batch number -> its samples."""

    def __init__(
        self, configs: Sequence[SourceConfig], batch_size: int, sizes: Sequence[Size], seed: int
    ) -> None:
        self.sources: list[Source] = [config.open(seed + 7919 * i) for i, config in enumerate(configs)]
        self.mixture = Mixture([config.weight for config in configs], seed)
        self.batch_size = batch_size
        self.sizes = list(sizes)
        self.seed = seed
        self._complained: set[str] = set()

    def __getitem__(self, number: int) -> list[Sample]:
        return self._drawn(number)[1]

    def _drawn(self, number: int) -> tuple[Size, list[Sample]]:
        """The size that batch `number` takes, and its samples."""
        rng = np.random.default_rng((self.seed, 5, number))
        size = self.sizes[int(rng.integers(len(self.sizes)))]
        first = number * self.batch_size
        return size, [self._sample(index, size) for index in range(first, first + self.batch_size)]

    def collate(self, samples: list[Sample]) -> Batch:
        """What `__getitem__` gave as tensors."""
        return Batch.collate(samples)

    def _make(self, source: Source, number: int, size: Size) -> Sample:
        """Sample `number` of a source, as this stream wants it."""
        return source.sample(number, size)

    def _sample(self, index: int, size: Size) -> Sample:
        source, number = self.mixture[index]
        for attempt in range(20):
            try:
                return self._make(self.sources[source], number + attempt * 1_000_003, size)
            except (DataError, ImageError) as error:
                # One bad picture must not end a run of hours; another one of the same source takes its place.
                if str(error) not in self._complained:
                    self._complained.add(str(error))
                    print(f"warning: {error}; another picture is used instead", file=sys.stderr)
        raise DataError("20 pictures in a row could not be read; check the data with `dld data check`")


def batches(
    stream: BatchStream,
    *,
    start: int = 0,
    stride: int = 1,
    workers: int = 0,
    nice: int = 0,
    prefetch: int = 4,
    method: str | None = None,
) -> Iterator[Batch]:
    """Batches start, start + stride, ... of a stream, for ever; the workers start at once.

    Args:
        stream: what to read.
        start: number of the first batch.
        stride: how many processes share the stream.
        workers: worker processes; 0 reads in this one.
        nice: how far the workers stand back for the training itself (0-19).
        prefetch: batches each worker keeps ready.
        method: how workers start ("fork", "spawn", "forkserver"); None for the platform's default.
    """
    loader: DataLoader[list[Sample]] = DataLoader(
        stream,
        batch_size=None,
        sampler=count(start, stride),
        num_workers=workers,
        # Samples travel as numpy arrays and become tensors here: a tensor per polygon would cost a file
        # descriptor each on its way out of the worker.
        collate_fn=list,
        worker_init_fn=partial(_set_up_worker, nice=nice) if workers else None,
        prefetch_factor=prefetch if workers else None,
        multiprocessing_context=method if workers else None,
        persistent_workers=workers > 0,
    )
    # The workers start here, before the caller has threads of its own (a live display) to fork with.
    return _collated(iter(loader), stream.collate)


def _collated(source: Iterator[list[Sample]], collate: Callable[[list[Sample]], Batch]) -> Iterator[Batch]:
    try:
        for samples in source:
            yield collate(samples)
    except DLDError as error:
        # From a worker an error comes with its traceback in its text; the sentence is in the last line.
        last = str(error).strip().splitlines()[-1]
        raise type(error)(last.split("Error: ", 1)[-1]) from error


def _set_up_worker(worker: int, nice: int) -> None:
    """One thread per worker, and the parent alone answers Ctrl-C."""
    del worker
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if nice and hasattr(os, "nice"):
        os.nice(nice)
