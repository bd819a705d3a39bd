"""Photos without labels: the teacher reads them once, at full scale, and its words stand in."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from dld_core.data import pseudo_labels
from dld_core.data.sources import ImagesSourceConfig, SourceConfig
from dld_core.errors import DataError, ImageError
from dld_core.evaluation.fixed import View, spot, to_native
from dld_core.images import load_image, resize, scale_to
from dld_core.images.tensors import as_tensor
from dld_core.interfaces import TrainableSpotter
from dld_core.results.page import Page
from dld_core.runtimes.digest import digest_of

_LOG_EVERY = 10.0  # seconds
_ENOUGH = "enough"  # a file beside the readings: the time was up, and a run that goes on reads no more
Log = Callable[[str], None]


def label_sources(
    teacher: TrainableSpotter,
    sources: Sequence[SourceConfig],
    folder: Path,
    reference: int,
    log: Log,
    share: tuple[int, int] = (0, 1),
    minutes: float | None = None,
) -> list[SourceConfig]:
    """The sources, those of kind "images" with the folder of the teacher's pseudo_labels.

    Readings that are there already stay, so that an interrupted run goes on where it was; another teacher, or
    another reference, has a folder of its own.

    Args:
        folder: of the readings of all teachers.
        reference: short side at full scale, pixels.
        log: gets the progress.
        share: (rank, ranks): this process reads every ranks-th picture.
        minutes: read for no longer, in random order, and leave the others out, also when the run goes on.

    Raises:
        ImageError: a place of pictures is not there. DataError: the time was too short for a single one.
    """
    bare = [source for source in sources if isinstance(source, ImagesSourceConfig) and source.labels is None]
    if not bare:
        return list(sources)
    teaches = f"{type(teacher).__qualname__} {reference} {digest_of(teacher.state_dict())}"
    own = folder / hashlib.sha256(teaches.encode()).hexdigest()[:12]
    paths = list(dict.fromkeys(path for source in bare for path in source.paths()))
    read = partial(_read, teacher, reference)
    _read_missing(read, paths[share[0] :: share[1]], own, log, minutes)
    found = []
    for source in sources:
        if source in bare:
            source = source.model_copy(update={"labels": str(own)})
            if (own / _ENOUGH).exists() and not any(
                pseudo_labels.usable(own, path) for path in source.paths()
            ):
                log(f"none of {source.images} was read in time; it is left out")
                continue
        found.append(source)
    if not found:
        raise DataError("the time was too short to read a single picture; raise 'label_minutes'")
    return found


def _read_missing(
    read: Callable[[Path], Page], paths: Sequence[Path], folder: Path, log: Log, minutes: float | None
) -> None:
    missing = [path for path in paths if pseudo_labels.find(folder, path) is None]
    if not missing:
        return
    if (folder / _ENOUGH).exists():
        log(f"{len(missing)} pictures stay left out; delete {folder / _ENOUGH} to have them read")
        return
    deadline = math.inf
    if minutes is not None:
        deadline = time.monotonic() + 60 * minutes
        random.Random(0).shuffle(missing)
    log(f"the teacher reads {len(missing)} pictures without labels ({len(paths) - len(missing)} are read)")
    words, failed, logged = 0, 0, time.monotonic()
    for number, path in enumerate(missing, start=1):
        page = read(path)
        pseudo_labels.store(folder, path, page)
        words += len(page.words)
        failed += page.error is not None
        over = time.monotonic() >= deadline
        if time.monotonic() - logged >= _LOG_EVERY or number == len(missing) or over:
            logged = time.monotonic()
            lost = f", {failed} pictures could not be read" if failed else ""
            log(f"read {number} of {len(missing)} pictures, {words} words{lost}")
        if over and number < len(missing):
            log(f"the time for reading is up; {len(missing) - number} pictures are left out")
            (folder / _ENOUGH).touch()
            return


def _read(teacher: TrainableSpotter, reference: int, path: Path) -> Page:
    """The words of a picture at full scale, were `reference` the teacher's own short side."""
    try:
        pixels = load_image(path).pixels
    except ImageError as error:
        return Page([], 0, 0, str(path), error=str(error))
    try:
        height, width = pixels.shape[:2]
        fit = scale_to(height, width, reference)
        size = fit.height, fit.width
        seen = as_tensor(pixels if teacher.reads_native else resize(pixels, size=size))
        words = to_native(spot(teacher, View(seen, size)), seen, pixels)
        return Page(words, width, height, str(path))
    except Exception as error:  # whatever one picture did to a spotter, the others still count
        return Page([], 0, 0, str(path), error=f"{type(error).__name__}: {error}")
