"""Read the images of a config at every scale, by one process or by several, and keep what came out.

Each measurement is a file of its own, so that a run that was stopped goes on, and processes that share the
images need tell each other nothing.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_core.evaluation.words import ImageWords
from dld_core.interfaces import Spotter
from dld_core.resolution.measure import Measurement, Measurer, describe

if TYPE_CHECKING:
    from dld_core.resolution.training import SelectorTrainingConfig

Say = Callable[[str], None]
Build = Callable[[], Spotter]
"""Makes one more spotter like the one at work; can be pickled."""

_EVERY = 20  # images between two lines of progress
_PAUSE = 1.0  # seconds between two looks at what other processes have done


def another(
    backend: str, weights: str | Path | None = "bundled", device: str = "auto", **options: Any
) -> Build:
    """What builds the spotter of `DLDWrapper(backend, weights, device, **options)` in another process."""
    return partial(_build, backend, weights, device, options)


def _build(backend: str, weights: str | Path | None, device: str, options: dict[str, Any]) -> Spotter:
    from dld_core.wrapper import DLDWrapper

    return DLDWrapper(backend, weights, device, selector=None, **options).spotter


def measure(
    spotter: Spotter, config: SelectorTrainingConfig, folder: Path, say: Say, build: Build | None = None
) -> list[Measurement]:
    """Read the images at every scale; those that stand in the folder are taken as they are.

    With `build` and `measured.workers` of two and more, that many processes share the images and the CPU's
    threads. Should they fail, this one does what they have left.
    """
    count = config.measured.images
    if build is not None and config.measured.workers > 1 and _missing(folder, count):
        _share(build, config, folder, say)
    for number in _measure_missing(spotter, config, folder):
        _tell(say, config, number + 1)
    found = [Measurement.load(_path(folder, number)) for number in range(count)]
    for row in describe(found, config.scales, config.alarm) if found else ():
        say("scale {scale}: {words_lost:.2f} words lost per image at {cost:.2f} of the cost".format(**row))
    return found


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npz"


def _missing(folder: Path, count: int) -> list[int]:
    return [number for number in range(count) if not _path(folder, number).exists()]


def _measure_missing(
    spotter: Spotter, config: SelectorTrainingConfig, folder: Path, share: int = 0, shares: int = 1
) -> Iterator[int]:
    """Measure what is missing of a share of the images; the number of each, once it is there."""
    missing = [n for n in _missing(folder, config.measured.images) if n % shares == share]
    if not missing:
        return
    draw = config.measured.open(config.seed)
    measurer = Measurer(spotter, config.scales, config.measured.runs, config.long_side)
    for number in missing:
        sample = draw(number)
        truth = ImageWords.from_sample(sample) if config.measured.labels == "given" else None
        measurer(sample.name, sample.image, truth).save(_path(folder, number))
        yield number


def _tell(say: Say, config: SelectorTrainingConfig, done: int) -> None:
    if done % _EVERY == 0:
        say(f"read {done} of {config.measured.images} images at {len(config.scales)} scales")


def _share(build: Build, config: SelectorTrainingConfig, folder: Path, say: Say) -> None:
    """Have other processes measure what is missing, each its share of the numbers, and wait for them."""
    import torch

    workers = config.measured.workers
    threads = max(torch.get_num_threads() // workers, 1)
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_work, args=(build, config, folder, share, threads), daemon=True)
        for share in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        told = 0
        while any(process.is_alive() for process in processes):
            time.sleep(_PAUSE)
            done = config.measured.images - len(_missing(folder, config.measured.images))
            if done // _EVERY > told:
                told = done // _EVERY
                _tell(say, config, told * _EVERY)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(build: Build, config: SelectorTrainingConfig, folder: Path, share: int, threads: int) -> None:
    """One process's share."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    for _ in _measure_missing(build(), config, folder, share, config.measured.workers):
        pass
