"""From readings to rows: fixed scales, the selector's choices, and the cross-framework table.

The rows of a selector are put together from the readings at the scales that it chooses, with the time and the
FLOPs of choosing added: what was read at a scale does not depend on who chose it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dld_core.evaluation import Lexicons, Protocol, score
from dld_core.evaluation.curve import CurvePoint
from dld_core.evaluation.lexicon import LexiconRule
from dld_core.evaluation.words import ImageWords
from dld_core.selection import Policy
from dld_core.study.config import StudyConfig, SystemConfig
from dld_core.study.gain import Gain, Way, difference, gain_at_equal_time
from dld_core.study.memory import Peaks, key
from dld_core.study.readings import Choosing, ImageRecord, Reading
from dld_core.study.worth import add_worth, relative_costs, words_lost

Picked = list[tuple[Reading, Choosing | None]]


class Scored(NamedTuple):
    """A row, and what it comes from image by image."""

    row: dict[str, Any]
    way: Way


class SetScorer:
    """The truth and the lexicons of one set.

    Args:
        truth: annotations by image name.
        lexicons: by name.
        protocol: the rules.
    """

    def __init__(
        self, truth: Mapping[str, ImageWords], lexicons: Mapping[str, Lexicons], protocol: Protocol
    ) -> None:
        self.truth = truth
        self.lexicons = lexicons
        self.protocol = protocol

    def scored(self, names: Sequence[str], picked: Picked) -> Scored:
        """Scores, cost, latency and scales of one way of reading the images."""
        words = {name: reading.packed() for name, (reading, _) in zip(names, picked, strict=True)}
        truth = {name: self.truth[name] for name in names}
        result, times = score(truth, words, self.protocol), _times(picked)
        row = CurvePoint(0.0, result, _mean_gflops(picked), times).row()
        del row["scale"]
        for name, lexicon in self.lexicons.items():
            row[f"e2e_{name}"] = score(truth, words, self.protocol, lexicon, LexiconRule()).e2e.hmean
        row["scales"] = {
            f"{scale:g}": count for scale, count in sorted(Counter(r.scale for r, _ in picked).items())
        }
        counts = result.counted
        return Scored(row, Way(counts.correct, counts.found + counts.truth, np.array(times)))

    def row(self, names: Sequence[str], picked: Picked) -> dict[str, Any]:
        """`scored`, the row alone."""
        return self.scored(names, picked).row


def _mean_gflops(picked: Picked) -> float | None:
    total = 0.0
    for reading, choosing in picked:
        if reading.gflops is None:
            return None
        total += reading.gflops + (0.0 if choosing is None else choosing.gflops)
    return total / max(len(picked), 1)


def _times(picked: Picked) -> list[float]:
    return [r.milliseconds + (0.0 if c is None else c.milliseconds) for r, c in picked]


def rows(
    name: str, records: Sequence[ImageRecord], scorer: SetScorer, config: StudyConfig
) -> list[dict[str, Any]]:
    """All rows of a set: every system at every fixed scale and at every price."""
    names = [record.name for record in records]
    found = []
    ways: dict[tuple[str, str, float], Way] = {}
    for system, settings in config.systems.items():
        fixed = []
        for base, scales in (("reference", settings.scales), ("native", settings.native_scales)):
            for scale in scales:
                picked: Picked = [(_reading(r, system, base, scale), None) for r in records]
                row, way = scorer.scored(names, picked)
                fixed.append(way)
                ways[system, base, scale] = way
                found.append({"set": name, "system": system, "kind": base, "at": scale, **row})
        for selector in _selectors(records, system):
            for gamma in settings.gammas:
                row, way = scorer.scored(names, [_chosen(r, system, selector, gamma) for r in records])
                about = {"kind": "chosen", "at": gamma, "selector": selector}
                found.append({"set": name, "system": system, **about, **row, **_gain(way, fixed)})
        if settings.oracle:
            found += [{"set": name, **row} for row in _oracle(records, scorer, system, settings)]
    first = next(iter(config.systems))
    _with_relative_costs(found, first)
    add_worth(found, first)
    if config.against is not None:
        _add_differences(found, ways, config.against)
    return found


def _gain(chosen: Way, fixed: Sequence[Way]) -> dict[str, float]:
    return _named("gain", gain_at_equal_time(chosen, fixed))


def _named(name: str, gain: Gain) -> dict[str, float]:
    return {name: gain.value, f"{name}_low": gain.low, f"{name}_high": gain.high}


def _add_differences(
    found: Sequence[dict[str, Any]], ways: Mapping[tuple[str, str, float], Way], against: str
) -> None:
    """Give rows at fixed scales what they read beyond `against` at the same scale."""
    for row in found:
        system, base, scale = row["system"], row["kind"], row["at"]
        own, other = ways.get((system, base, scale)), ways.get((against, base, scale))
        if system != against and own and other:
            row |= _named("difference", difference(own, other)) | {"against": against}


def add_memory(found: Sequence[dict[str, Any]], peaks: Mapping[str, Peaks]) -> None:
    """Give rows `peak_memory_mb`; what was chosen needs as much as the largest scale that it chose."""
    for row in found:
        base = "native" if row["kind"] == "native" else "reference"
        scales = [row["at"]] if row["kind"] in ("reference", "native") else map(float, row["scales"])
        row["peak_memory_mb"] = max(peaks[row["system"]][key(base, scale)] for scale in scales)


def _oracle(
    records: Sequence[ImageRecord], scorer: SetScorer, system: str, settings: SystemConfig
) -> list[dict[str, Any]]:
    """What choosing each image's scale by another run of it reaches, at every price."""
    names = [record.name for record in records]
    full: Picked = [(_reading(record, system, "reference", max(settings.scales)), None) for record in records]
    alarm = scorer.row(names, full)["e2e_hmean"] / 2
    known = []
    for record in records:
        runs = [_reading(record, system, "reference", scale, cut=True) for scale in settings.scales]
        losses = [words_lost(scorer.truth[record.name], run, alarm) for run in runs]
        known.append((losses, relative_costs(runs)))
    found = []
    for gamma in settings.gammas:
        picked: Picked = []
        for record, (losses, costs) in zip(records, known, strict=True):
            scale = settings.scales[Policy(gamma=gamma).choose(losses, costs)]
            picked.append((_reading(record, system, "reference", scale), None))
        row = scorer.row(names, picked)
        found.append({"system": system, "kind": "oracle", "at": gamma, **row})
    return found


def _reading(record: ImageRecord, system: str, base: str, scale: float, cut: bool = False) -> Reading:
    wanted = (system, base, scale, cut)
    return next(r for r in record.readings if (r.system, r.base, r.scale, r.cut) == wanted)


def _selectors(records: Sequence[ImageRecord], system: str) -> list[str]:
    """Names of the selectors of a system."""
    return [c.selector for c in records[0].choices if c.system == system]


def _chosen(record: ImageRecord, system: str, selector: str, gamma: float) -> tuple[Reading, Choosing]:
    choosing = next(c for c in record.choices if (c.system, c.selector) == (system, selector))
    index = Policy(gamma=gamma).choose(choosing.scores, choosing.costs)
    return _reading(record, system, "reference", choosing.scales[index]), choosing


def _with_relative_costs(found: list[dict[str, Any]], first: str) -> None:
    """Give rows cost and latency as shares of the first system's at its largest reference scale.

    Where it is read at native scales alone, as an engine that resizes by itself is, the largest of those.
    """
    fixed = [r for r in found if r["system"] == first and r["kind"] in ("reference", "native")]
    full = max(fixed, key=lambda r: (r["kind"] == "reference", float(r["at"])), default=None)
    for row in found:
        known = full is not None and row["gflops"] is not None and full["gflops"] is not None
        row["relative_gflops"] = row["gflops"] / full["gflops"] if known else None  # type: ignore[index]
        row["relative_latency"] = (
            None if full is None else full["images_per_second"] / max(row["images_per_second"], 1e-9)
        )
