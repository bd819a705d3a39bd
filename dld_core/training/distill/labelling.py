"""Photos without labels: the teacher reads them once, at full scale, and its words stand in."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dld_core.data import pseudo_labels
from dld_core.data.sources import ImagesSourceConfig, SourceConfig
from dld_core.errors import ConfigError, DataError
from dld_core.interfaces import TrainableSpotter
from dld_core.pipeline.request import MAX_SCALE
from dld_core.pipeline.wrapper import DLDWrapper
from dld_core.runtimes.digest import digest_of

_TELL_EVERY = 10.0  # seconds
_AHEAD = 4  # pictures read together
_ENOUGH = "enough"  # a file beside the readings: the time was up, and a run that goes on reads no more


def label_sources(
    teacher: TrainableSpotter,
    sources: Sequence[SourceConfig],
    folder: Path,
    reference: int,
    say: Callable[[str], None],
    share: tuple[int, int] = (0, 1),
    minutes: float | None = None,
) -> list[SourceConfig]:
    """The sources, those of kind "images" with the folder of the teacher's readings.

    Readings that are there already stay, so that an interrupted run goes on where it was; another teacher, or
    another reference, has a folder of its own.

    Args:
        folder: of the readings of all teachers.
        reference: short side at full scale, pixels.
        say: tells of the progress.
        share: (rank, ranks): this process reads every ranks-th picture.
        minutes: read for no longer, in random order, and leave the others out, also when the run goes on.

    Raises:
        ImageError: a place of pictures is not there. DataError: the time was too short for a single one.
    """
    if not any(isinstance(source, ImagesSourceConfig) for source in sources):
        return list(sources)
    if reference > MAX_SCALE * teacher.reference_short_side:
        raise ConfigError(
            f"'reference: {reference}' is more than {MAX_SCALE} times the teacher's own "
            f"{teacher.reference_short_side}, at which it cannot read pictures without labels; give at most "
            f"{int(MAX_SCALE * teacher.reference_short_side)}"
        )
    own = folder / _fingerprint(teacher, reference)
    bare = [source for source in sources if isinstance(source, ImagesSourceConfig) and source.labels is None]
    paths = list(dict.fromkeys(path for source in bare for path in source.paths()))
    _read_missing(teacher, paths[share[0] :: share[1]], own, reference, say, minutes)
    found = []
    for source in sources:
        if source in bare:
            source = source.model_copy(update={"labels": str(own)})
            usable = any(pseudo_labels.usable(own, path) for path in source.paths())
            if (own / _ENOUGH).exists() and not usable:
                say(f"none of {source.images} was read in time; it is left out")
                continue
        found.append(source)
    if not found:
        raise DataError("the time was too short to read a single picture; raise 'label_minutes'")
    return found


def _read_missing(
    teacher: TrainableSpotter,
    paths: Sequence[Path],
    folder: Path,
    reference: int,
    say: Callable[[str], None],
    minutes: float | None,
) -> None:
    missing = [path for path in paths if pseudo_labels.find(folder, path) is None]
    if not missing:
        return
    if (folder / _ENOUGH).exists():
        say(f"{len(missing)} pictures stay left out; delete {folder / _ENOUGH} to have them read")
        return
    deadline = math.inf
    if minutes is not None:
        deadline = time.monotonic() + 60 * minutes
        random.Random(0).shuffle(missing)
    say(f"the teacher reads {len(missing)} pictures without labels ({len(paths) - len(missing)} are read)")
    # Against the clock one by one: what had been read ahead when the time is up, would be lost.
    ahead = _AHEAD if minutes is None else 1
    wrapper = DLDWrapper(teacher, scale=reference / teacher.reference_short_side, batch_size=ahead)
    words, failed, told = 0, 0, time.monotonic()
    for number, (path, page) in enumerate(zip(missing, wrapper.stream(missing), strict=True), start=1):
        pseudo_labels.store(folder, path, page)
        words += len(page.words)
        failed += page.error is not None
        over = time.monotonic() >= deadline
        if time.monotonic() - told >= _TELL_EVERY or number == len(missing) or over:
            told = time.monotonic()
            lost = f", {failed} pictures could not be read" if failed else ""
            say(f"read {number} of {len(missing)} pictures, {words} words{lost}")
        if over and number < len(missing):
            say(f"the time for reading is up; {len(missing) - number} pictures are left out")
            (folder / _ENOUGH).touch()
            return


def _fingerprint(teacher: TrainableSpotter, reference: int) -> str:
    """A name for what this teacher reads at this size."""
    settings = f"{type(teacher).__qualname__} {reference} {digest_of(teacher.state_dict())}"
    return hashlib.sha256(settings.encode()).hexdigest()[:12]
