"""Read the images of a config at every scale, by one process or by several, and keep what came out.

Each measurement is a file of its own, so that a run that was stopped goes on, and processes that share the
images need tell each other nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from dld_core.errors import DataError, ImageError
from dld_core.evaluation.words import ImageWords
from dld_core.interfaces import Spotter
from dld_core.pipeline.models import Models, Source
from dld_core.runtimes.devices import resolve_device
from dld_core.runtimes.digest import digest_of
from dld_core.selection.thumbnail import thumbnail, thumbnail_size
from dld_core.training.selector.config import SelectorTrainingConfig
from dld_core.training.selector.measure import Measurement, Measurer
from dld_core.training.selector.sampling import contents
from dld_core.types import Sample

Log = Callable[[str], None]
Build = Callable[[], Spotter]
"""Makes one more spotter like the one at work; can be pickled."""

_EVERY = 20  # images between two lines of progress
_PAUSE = 1.0  # seconds between two looks at what other processes have done


def another(
    backend: str, weights: str | Path | None = "bundled", device: str = "auto", **options: Any
) -> Build:
    """What builds the spotter of `DLDWrapper(backend, weights, device, **options)`, in any process."""
    return partial(_build, backend, weights, device, options)


def _build(backend: str, weights: str | Path | None, device: str, options: Mapping[str, Any]) -> Spotter:
    return Models.of(Source(backend, weights, resolve_device(device), dict(options))).student


def measure(
    spotter: Spotter, config: SelectorTrainingConfig, folder: Path, log: Log, build: Build | None = None
) -> list[Measurement]:
    """Read the images at every scale; those that were read before are taken as they were.

    Measurements lie in a folder of `folder` of their own for each spotter and each way of reading, so that
    a changed one never meets stale ones. With `build` and `measured.workers` of two and more, that many
    processes share the images and the CPU's threads; should they fail, this one does what they have left. A
    picture that cannot be opened is left out.
    """
    job = _Job(config, folder / fingerprint(spotter, config))
    if build is not None and config.measured.workers > 1 and job.missing():
        _share(build, job, log)
    for _ in job.run(spotter, warn=True):
        job.report(log)
    return job.load()


def fingerprint(spotter: Spotter, config: SelectorTrainingConfig) -> str:
    """A name for what is measured: the spotter with its weights, the images and the way of reading them."""
    measured = config.measured
    settings = {
        "spotter": f"{type(spotter).__module__}.{type(spotter).__qualname__}",
        "options": [
            repr(getattr(spotter, name, None)) for name in ("config", "files", "reference_short_side")
        ],
        "weights": digest_of(spotter.state_dict()) if isinstance(spotter, nn.Module) else None,
        "data": [source.model_dump(mode="json") for source in measured.data],
        "contents": contents(measured.data),  # numbers mean other images where some were added or taken away
        "how": [config.scales, config.seed, measured.runs, measured.labels],
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


@dataclass
class _Job:
    """What is to be measured, and where it goes.

    Attributes:
        config: how.
        folder: one file for each image.
        until: when to stop, seconds since the epoch.
    """

    config: SelectorTrainingConfig
    folder: Path
    until: float = field(init=False)
    reported: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        minutes = self.config.measured.max_minutes
        self.until = math.inf if minutes is None else time.time() + 60 * minutes

    @cached_property
    def images(self) -> Sequence[Sample]:
        """In order."""
        return self.config.measured.draw(self.config.seed)

    def path(self, number: int) -> Path:
        """Where the measurement of an image goes."""
        return self.folder / f"{number:06d}.npz"

    def missing(self) -> list[int]:
        """Numbers of the images that were not read yet."""
        return [number for number in range(len(self.images)) if not self.path(number).exists()]

    def load(self) -> list[Measurement]:
        """What there is, in order, with thumbnails of the size that is asked for."""
        found = []
        for number in range(len(self.images)):
            if not self.path(number).exists():
                continue
            known = Measurement.load(self.path(number))
            height, width = known.size.tolist()
            if known.thumbnail.shape[:2] != thumbnail_size(height, width, self.config.long_side):
                known = replace(known, thumbnail=thumbnail(self.images[number].image, self.config.long_side))
            found.append(known)
        return found

    def run(self, spotter: Spotter, share: int = 0, shares: int = 1, warn: bool = False) -> Iterator[int]:
        """Measure what is missing of a share of the images; the number of each, once it is there."""
        config, measured = self.config, self.config.measured
        measurer = Measurer(spotter, config.scales, measured.runs, config.long_side)
        for number in (n for n in self.missing() if n % shares == share):
            if time.time() > self.until:
                return
            try:
                sample = self.images[number]
            except (DataError, ImageError) as error:
                if warn:
                    print(f"warning: {error}; it is left out", file=sys.stderr)
                continue
            truth = ImageWords.from_sample(sample) if measured.labels == "given" else None
            measurer(sample.name, sample.image, truth).save(self.path(number))
            yield number

    def report(self, log: Log) -> None:
        """How far it is, every so many images."""
        there = len(self.images) - len(self.missing())
        if there // _EVERY > self.reported:
            self.reported = there // _EVERY
            log(f"read {there} of {len(self.images)} images at {len(self.config.scales)} scales")


def _share(build: Build, job: _Job, log: Log) -> None:
    """Have other processes measure what is missing, each its share of the numbers, and wait for them."""
    workers = job.config.measured.workers
    threads = max(torch.get_num_threads() // workers, 1)
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_work, args=(build, job, share, threads), daemon=True)
        for share in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            time.sleep(_PAUSE)
            job.report(log)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(build: Build, job: _Job, share: int, threads: int) -> None:
    """One process's share."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    for _ in job.run(build(), share, job.config.measured.workers):
        pass
