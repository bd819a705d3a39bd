"""Reading: every system reads every image at every scale, in turn, so that a noisy machine hurts all alike.

Each image's readings are written to disk at once; a study that was stopped goes on with the next image.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dld_core.config import write_file
from dld_core.errors import ConfigError, DataError
from dld_core.evaluation.choice import border_cuts, without_borders
from dld_core.evaluation.fixed import Base, FixedScale
from dld_core.evaluation.words import ImageWords
from dld_core.images import open_image
from dld_core.pipeline.models import find_selector
from dld_core.pipeline.wrapper import DLDWrapper
from dld_core.runtimes.devices import cpu_threads
from dld_core.runtimes.digest import digest_of
from dld_core.selection import CostModel, DynamicResolution, Policy, ScaleDecision
from dld_core.study.config import StudyConfig, SystemConfig
from dld_core.types import Word

By = tuple[str, str, str]
Track = Callable[[Iterable[Any]], Iterable[Any]]
_LATER = ("gammas", "selector", "selectors")


@dataclass(frozen=True, slots=True)
class Reading:
    """One image, read by one system at one scale.

    Attributes:
        system, base, scale: what read, and at which fraction of what.
        words: polygons (flat coordinates), texts and scores, in the image's pixels.
        gflops: of reading, a multiply-add counted as 2; None where unknown.
        milliseconds: pixels to words.
        cut: whether the image had its borders cut, for an oracle to choose by.
    """

    system: str
    base: Base
    scale: float
    words: list[tuple[list[float], str, float]]
    gflops: float | None
    milliseconds: float
    cut: bool = False

    def packed(self) -> ImageWords:
        """The words for the evaluator."""
        return ImageWords.of(
            [w[0] for w in self.words], [w[1] for w in self.words], scores=[w[2] for w in self.words]
        )


@dataclass(frozen=True, slots=True)
class Choosing:
    """What a selector said about one image.

    Attributes:
        system: whose.
        selector: its name, "" for the system's own.
        scores: words lost, by scale.
        costs: relative costs, by scale, as the policy weighs them.
        gflops, milliseconds: of choosing.
        digest: of the selector's weights, "" where it has none.
    """

    system: str
    scales: list[float]
    scores: list[float]
    costs: list[float]
    gflops: float
    milliseconds: float
    selector: str = ""
    digest: str = ""

    @property
    def by(self) -> By:
        """Which selector, of which system, with which weights."""
        return self.system, self.selector, self.digest


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Everything about one image of a set; or a part of it, where selectors chose later."""

    name: str
    readings: list[Reading]
    choices: list[Choosing]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> ImageRecord:
        """From `to_json`."""
        values = json.loads(line)
        readings = [Reading(**{**r, "words": [tuple(w) for w in r["words"]]}) for r in values["readings"]]
        return cls(values["name"], readings, [Choosing(**c) for c in values["choices"]])


class System:
    """A system of the study, ready to read.

    Args:
        name: in the tables.
        config: its settings.
        device: where it computes.
    """

    def __init__(self, name: str, config: SystemConfig, device: str) -> None:
        self.name = name
        self.oracle = config.oracle
        self.threads = config.threads
        with cpu_threads(self.threads):
            self.wrapper = DLDWrapper(
                config.backend, config.weights, device, selector=config.selector, **config.options
            )
        spotter = self.wrapper.spotter if config.student else self.wrapper.teacher
        self.spotter = spotter
        self.readers = [
            *(FixedScale(spotter, scale, "reference") for scale in config.scales),
            *(FixedScale(spotter, scale, "native") for scale in config.native_scales),
        ]
        self.choosers = {} if not config.gammas else self._choosers(config, device)
        self.selectors: dict[str, By] = {
            name: (self.name, name, _digest(drs.selector) or "") for name, drs in self.choosers.items()
        }

    def _choosers(self, config: SystemConfig, device: str) -> dict[str, DynamicResolution]:
        """By the name of the selector, "" for the system's own."""
        found = {"": self.wrapper.selector}
        for name, file in config.selectors.items():
            found[name] = find_selector(file, self.spotter, None, self.wrapper.device)
        selectors = {name: selector for name, selector in found.items() if selector is not None}
        for name, selector in selectors.items():
            missing = set(selector.scales) - set(config.scales)
            if missing:
                raise ConfigError(
                    f"system {self.name!r}: its selector {name or config.selector} chooses among "
                    f"{selector.scales}; 'scales' lacks {sorted(missing)}"
                )
        limits = self.wrapper.working
        costs = CostModel(self.spotter, limits)
        return {name: DynamicResolution(selector, costs) for name, selector in selectors.items()}

    def digest(self) -> str | None:
        """A name for the weights of the spotter; None where there are none."""
        return _digest(self.spotter)

    def choose(self, image: NDArray[np.uint8], known: Collection[By] = ()) -> list[Choosing]:
        """What each selector says, but for those that are known to have spoken."""
        asked = [name for name, by in self.selectors.items() if by not in known]
        with cpu_threads(self.threads):
            return [self._choice(name, self.choosers[name](image, Policy())) for name in asked]

    def read(self, reader: FixedScale, image: NDArray[np.uint8]) -> tuple[list[Word], float]:
        """The words of an image, and the milliseconds that they took."""
        with cpu_threads(self.threads):
            start = time.perf_counter()
            words = reader.read(image)
            return words, (time.perf_counter() - start) * 1e3

    def _choice(self, name: str, choice: ScaleDecision) -> Choosing:
        scales, scores = list(choice.scores), list(choice.scores.values())
        own = choice.gflops, choice.milliseconds
        return Choosing(self.name, scales, scores, list(choice.costs), *own, *self.selectors[name][1:])


def read_image(name: str, path: Path, systems: Sequence[System], first: int, warm: bool) -> ImageRecord:
    """Read one image with every system at every scale, beginning with the job number `first`."""
    image = open_image(path, exif=False)
    jobs = [(system, reader) for system in systems for reader in system.readers]
    if warm:
        for system, reader in jobs:  # the first run of a shape is slower
            system.read(reader, image)
            system.choose(image)
    done: dict[int, Reading] = {}
    for step in range(len(jobs)):
        index = (step + first) % len(jobs)
        done[index] = _read(*jobs[index], image)
    choices = [choice for system in systems for choice in system.choose(image)]
    readings = [done[i] for i in range(len(jobs))]
    again = [job for job in jobs if job[0].oracle and job[1].base == "reference"]
    if again:
        cut = border_cuts(name, 2, image.shape[0], image.shape[1])[1]
        part, corner = without_borders(image, cut)
        readings += [_read(*job, part, corner) for job in again]
    return ImageRecord(name, readings, choices)


def _read(
    system: System, reader: FixedScale, image: NDArray[np.uint8], corner: tuple[int, int] | None = None
) -> Reading:
    """Read an image, or a part of one whose first pixel lies at `corner` (x, y)."""
    words, taken = system.read(reader, image)
    flops = reader.declared(image.shape[0], image.shape[1], len(words))
    x, y = corner or (0, 0)
    plain = [
        ([round(float(v), 2) for px, py in w.polygon for v in (px + x, py + y)], w.text, round(w.score, 4))
        for w in words
    ]
    gflops = None if flops is None else flops / 1e9
    return Reading(system.name, reader.base, reader.scale, plain, gflops, round(taken, 3), corner is not None)


def read_set(
    files: Mapping[str, Path], systems: Sequence[System], record: Path, settings: str, track: Track
) -> list[ImageRecord]:
    """Every image of a set, from the record where it is there; the rest is read and added to it.

    A selector that is new to the record is asked about the images that are read already.

    Raises:
        ConfigError: the record was written under other settings.
        DataError: it is damaged.
    """
    known: dict[str, ImageRecord] = {}
    for part in _known(record, settings):
        _add(known, part)
    asked = {by for system in systems for by in system.selectors.values()}
    todo = [(name, path) for name, path in files.items() if name not in known or asked - _said(known[name])]
    with record.open("a", encoding="utf-8") as out:
        for number, (name, path) in enumerate(track(todo)):
            if name in known:
                part = ImageRecord(name, [], choose_later(path, systems, _said(known[name]), number == 0))
            else:
                part = read_image(name, path, systems, len(known), warm=number == 0)
            _add(known, part)
            out.write(part.to_json() + "\n")
            out.flush()
    return [_of_selectors(known[name], asked) for name in files]


def choose_later(path: Path, systems: Sequence[System], known: Collection[By], warm: bool) -> list[Choosing]:
    """What the selectors that are not known say about an image that was read before."""
    image = open_image(path, exif=False)
    for system in systems if warm else ():  # the first run of a shape is slower
        system.choose(image, known)
    return [choice for system in systems for choice in system.choose(image, known)]


def _add(known: dict[str, ImageRecord], part: ImageRecord) -> None:
    before = known.setdefault(part.name, part)
    if before is not part:
        known[part.name] = ImageRecord(
            part.name, before.readings + part.readings, before.choices + part.choices
        )


def _said(record: ImageRecord) -> set[By]:
    return {choice.by for choice in record.choices}


def _of_selectors(record: ImageRecord, asked: Collection[By]) -> ImageRecord:
    """The record without what selectors said that are no longer asked."""
    return ImageRecord(record.name, record.readings, [c for c in record.choices if c.by in asked])


def _known(record: Path, settings: str) -> Iterator[ImageRecord]:
    if not record.exists():
        write_file(record, settings + "\n")
        return
    text = record.read_text(encoding="utf-8")
    first, *lines = text.removesuffix("\n").split("\n")  # not splitlines: U+2028 may stand in a text
    if lines and not text.endswith("\n"):  # the writer was stopped in the middle of a line
        lines.pop()
        write_file(record, "".join(f"{line}\n" for line in (first, *lines)))
    if first != settings:
        raise ConfigError(
            f"{record} holds readings under other settings; choose another folder with --out, or delete it"
        )
    for number, line in enumerate(lines, start=2):
        try:
            yield ImageRecord.from_json(line)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{record}:{number} is damaged ({error}); delete that line and run again"
            ) from None


def settings_of(config: StudyConfig, name: str, systems: Sequence[System]) -> str:
    """What a record depends on, as one line: the set, the systems with their weights, threads and device."""
    values = config.model_dump(mode="json")
    # Prices are weighed afterwards, and selectors are known by their choices: neither needs a new reading.
    parts = {n: {k: v for k, v in s.items() if k not in _LATER} for n, s in values["systems"].items()}
    kept = {
        "set": values["sets"][name],
        "systems": parts,
        "weights": {system.name: system.digest() for system in systems},
        "threads": config.threads,
        "device": config.device,
    }
    for later in ("lexicons", "limit"):  # a larger limit goes on with the images that are new
        kept["set"].pop(later)
    return json.dumps(kept, sort_keys=True)


def _digest(part: object) -> str | None:
    return digest_of(part.state_dict()) if isinstance(part, nn.Module) else None
