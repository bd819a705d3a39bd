"""Make a selector for a spotter: look at pages, read some of them at every scale, fit, and judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from dld_core.config import PartConfig
from dld_core.data.sources import ImagesSourceConfig, SourceConfig, parse_source
from dld_core.errors import ConfigError
from dld_core.interfaces import Spotter
from dld_core.pipeline.folder import SELECTOR_FILE
from dld_core.selection.calibration import Calibration, cross_calibrated, size_ratio
from dld_core.selection.config import DEFAULT_SCALES, SelectorConfig
from dld_core.selection.dynamic import DynamicResolution
from dld_core.selection.file import load_selector, save_selector
from dld_core.selection.forecast import CostModel
from dld_core.selection.network import DenseSelector
from dld_core.selection.policy import DEFAULT_GAMMA
from dld_core.training.selector.examples import Example, zoomed
from dld_core.training.selector.fit import FitConfig, fit
from dld_core.training.selector.measure import Measurement, describe, stack_losses
from dld_core.training.selector.measuring import Build, Say, measure
from dld_core.training.selector.oracle import Floats, Reached, Table, cross_run_oracle, sweep
from dld_core.training.selector.sampling import Draws
from dld_core.training.weights import copy_matching
from dld_core.types import Sample

PAGES = Path(__file__).parents[2] / "selection" / "weights" / "pages.safetensors"
"""A selector that knows where words are and how high, and of no spotter what it reads."""
NETWORK_SIZES = ("width", "hidden")
"""What a selector to start from must agree in; it takes thumbnails of any size."""
_RECORD = "selector.json"
_USUAL_ALARM = 0.25  # half of an h-mean of a half
GAMMAS = tuple(float(g) for g in np.geomspace(0.01, 30, 60))


class _Draws(PartConfig):
    """Images taken from sources.

    Attributes:
        data: sources, as in training, but for random views: images are taken whole.
        images: how many are drawn, each but once; fewer where there are no more.
    """

    data: tuple[SourceConfig, ...] = ()
    images: int = Field(default=0, ge=0)

    @field_validator("data", mode="before")
    @classmethod
    def _sources(cls, values: Any) -> tuple[SourceConfig, ...]:
        if not isinstance(values, list | tuple):
            raise ValueError("'data' must be a list of sources, each with a 'kind'")
        return tuple(parse_source(value, f"data[{i}]") for i, value in enumerate(values))

    @model_validator(mode="after")
    def _images_come_from_somewhere(self) -> Self:
        if self.images and not self.data:
            raise ValueError("'images' are asked for, but 'data' names no source of them")
        return self

    def draw(self, seed: int) -> Sequence[Sample]:
        """The images, whole and each but once."""
        return Draws(self.data, self.images, seed) if self.images else ()


class PagesConfig(_Draws):
    """Annotated pages that teach where words are and how high; no spotter reads them.

    Attributes:
        zooms: parts of each page that are looked at, beside the whole.
    """

    images: int = Field(default=2000, ge=0)
    zooms: int = Field(default=2, ge=0)


class MeasureConfig(_Draws):
    """Images that the spotter reads at every scale.

    Attributes:
        runs: readings of each image at each scale; at least two, for the cross-run oracle.
        labels: "given" uses the annotations, "none" the spotter's own words at the largest scale.
        workers: processes that share the images, each with a spotter of its own.
        max_minutes: read no further after this time and go on with what there is; None for no limit.
    """

    images: int = Field(default=300, ge=0)
    runs: int = Field(default=2, ge=2)
    labels: Literal["given", "none"] = "given"
    workers: int = Field(default=1, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _labels_are_there(self) -> MeasureConfig:
        if self.labels == "given" and any(isinstance(s, ImagesSourceConfig) for s in self.data):
            raise ValueError("sources of kind 'images' have no labels; set 'labels: none'")
        return self


class SelectorTrainingConfig(PartConfig):
    """The section `selector` of a `dld distill` file.

    Attributes:
        scales, long_side, width, hidden, gamma: of the network (see SelectorConfig).
        init: a selector to start from, which knows pages already: "bundled" for the one that ships with
            the library, or a file; None starts from nothing.
        pages: what it looks at.
        measured: what the spotter reads for it; no images leave it as `init` (or the joint training) has it.
        held_out: share of the measured images that judge it and teach it nothing.
        alarm: words that a detection costs; None for half the h-mean that the spotter reaches on the
            measured images at the best of the scales (a quarter where there are no labels).
        fit: how it is fitted.
        seed: of the draws.
    """

    scales: tuple[float, ...] = DEFAULT_SCALES
    long_side: int = 384
    width: int = 24
    hidden: int = 32
    gamma: float = Field(default=DEFAULT_GAMMA, ge=0)
    init: str | None = None
    pages: PagesConfig = PagesConfig(images=0)
    measured: MeasureConfig = MeasureConfig(images=0)
    held_out: float = Field(default=0.2, gt=0, lt=1)
    alarm: float | None = Field(default=None, ge=0, le=1)
    fit: FitConfig = FitConfig()
    seed: int = Field(default=0, ge=0)

    def limited(self, minutes: float | None) -> Self:
        """The same with at most so many minutes of reading; None changes nothing."""
        if minutes is None:
            return self
        least = min(minutes, self.measured.max_minutes or minutes)
        return self.model_copy(update={"measured": self.measured.model_copy(update={"max_minutes": least})})

    def alarm_of(self, measured: Sequence[Measurement]) -> float:
        """`alarm`, or what it is for these images where it was left open."""
        if self.alarm is not None or not measured:
            return self.alarm or 0.0
        if self.measured.labels == "none":  # whose h-mean with itself says nothing
            return _USUAL_ALARM
        return max(reached.hmean for reached in Table.of(measured).fixed()) / 2

    def network(self, reference: float) -> SelectorConfig:
        """The network's options for a spotter of that reference short side."""
        shared = SelectorConfig.model_fields.keys() & type(self).model_fields.keys()
        own = {name: getattr(self, name) for name in shared}
        return SelectorConfig.parse({**own, "reference_short_side": float(reference)}, where="selector")


def make_selector(
    spotter: Spotter,
    config: SelectorTrainingConfig,
    out: Path,
    say: Say = lambda _: None,
    build: Build | None = None,
    measured_in: Path | None = None,
) -> Path:
    """Write `selector.safetensors` and `selector.json` (what it reaches on held-out images) into `out`.

    Without measured images it learns where words are and how high, for others to start from (`init`).
    Measurements are kept under `out/measured`, or `measured_in`, which runs can share: one that was stopped
    goes on where it was. `build` makes the spotters of further processes, where `measured.workers` asks for
    some.
    """
    selector = fresh_selector(config, spotter.reference_short_side)  # what is wrong must show now
    measured = measure(spotter, config, measured_in or out / "measured", say, build)
    kept = round(len(measured) * (1 - config.held_out))
    taught, judged = measured[:kept], measured[kept:]
    if config.measured.images and not (taught and judged):
        raise ConfigError(
            f"{len(measured)} images are too few to hold some out; give 10 or more (and 'max_minutes' enough "
            "for them)"
        )
    alarm = config.alarm_of(measured)
    for row in describe(measured, config.scales, alarm) if measured else ():
        say("scale {scale}: {words_lost:.2f} words lost per image at {cost:.2f} of the cost".format(**row))
    examples = [*look_at_pages(config, say), *(Example.of_measurement(m, alarm) for m in taught)]
    if not examples:
        raise ConfigError("a selector learns from 'pages', from 'measured' images or from both; give some")
    say(f"fitting the selector to {len(examples)} pictures, {len(taught)} of them read")
    fit(selector, examples, config.fit, lambda step, losses: _tell(say, step, config.fit.steps, losses))
    report = calibrate(selector, judged, alarm, spotter) if judged else {}
    path = save_selector(selector, out / SELECTOR_FILE)
    record = {"settings": _settings(config), "alarm": round(alarm, 5), **report}
    (out / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    say(f"selector in {path}; what it reaches in {out / _RECORD}")
    return path


def is_made(config: SelectorTrainingConfig, out: Path) -> bool:
    """Whether `make_selector` has ended in this folder, under these settings."""
    try:
        record = json.loads((out / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(record.get("settings") == _settings(config)) and (out / SELECTOR_FILE).is_file()


def _settings(config: SelectorTrainingConfig) -> Any:
    return json.loads(json.dumps(config.model_dump(mode="json", serialize_as_any=True)))


def fresh_selector(config: SelectorTrainingConfig, reference: float) -> DenseSelector:
    """Untrained, or as `init` has it (where scales differ, without its correction for the image as a whole).

    Raises ConfigError where `init` is of other sizes.
    """
    wanted = config.network(reference)
    if config.init is None:
        return DenseSelector(wanted)
    known = load_selector(PAGES if config.init == "bundled" else config.init)
    if any(getattr(known.config, name) != getattr(wanted, name) for name in NETWORK_SIZES):
        raise ConfigError(
            f"the selector {config.init} has other sizes ({', '.join(NETWORK_SIZES)}) than the settings; "
            "leave out 'init'"
        )
    selector = DenseSelector(wanted)
    copy_matching(selector, known.state_dict())
    selector.calibrate()
    return selector


def _tell(say: Say, step: int, steps: int, losses: dict[str, float]) -> None:
    if step % 250 == 0 or step == steps:
        say(f"selector step {step} of {steps}: " + "  ".join(f"{n} {v:.3f}" for n, v in losses.items()))


def look_at_pages(config: SelectorTrainingConfig, say: Say) -> list[Example]:
    """Examples of pages that no spotter reads: each whole, and some parts of it."""
    rng = np.random.default_rng(config.seed)
    examples = []
    for number, sample in enumerate(config.pages.draw(config.seed + 1)):
        views = [sample, *(zoomed(sample, rng) for _ in range(config.pages.zooms))]
        examples += [Example.of_sample(view, len(config.scales), config.long_side) for view in views]
        if (number + 1) % 200 == 0:
            say(f"looked at {number + 1} of {config.pages.images} pages")
    return examples


def calibrate(
    selector: DenseSelector, measured: Sequence[Measurement], alarm: float, spotter: Spotter
) -> dict[str, Any]:
    """Put its scores right, in place, on images that it was not fitted to; what it then reaches on them.

    In that report, beside fixed scales and the cross-run oracle, each image's scores are calibrated on the
    others, prices are those that are known before reading, and what choosing costs is counted.
    """
    selector.calibrate()
    raw, losses = predict(selector, measured), stack_losses(measured, alarm)
    words = np.array([m.cares.sum() for m in measured], np.float64)
    size_ratios = size_ratio(np.array([m.size.min() for m in measured]), selector.config.reference_short_side)
    found = Calibration.fit(raw, losses, words, size_ratios)
    selector.calibrate(found)
    scores = cross_calibrated(raw, losses, words, size_ratios)
    table = Table.of(measured, slice(1, None))
    forecast, own = _forecast(selector, measured, spotter)
    reached = sweep(scores, table, GAMMAS, forecast, own)
    return {
        "images": len(measured),
        "fixed": [_point(r, scale=s) for s, r in zip(selector.scales, table.fixed(), strict=True)],
        "selector": [_point(r, gamma=g) for g, r in zip(GAMMAS, reached, strict=True)],
        "cross_run_oracle": [
            _point(r, gamma=g) for g, r in zip(GAMMAS, cross_run_oracle(measured, alarm, GAMMAS), strict=True)
        ],
    }


def _forecast(
    selector: DenseSelector, measured: Sequence[Measurement], spotter: Spotter
) -> tuple[Floats, float]:
    """Costs [B, K] as shares of the dearest, infinite where a scale makes no sense for the image; and the
    mean share of choosing, 0 where FLOPs are unknown.
    """
    costs_of = CostModel(spotter)
    costs = [costs_of.forecast((int(m.size[0]), int(m.size[1])), selector.scales) for m in measured]
    drs = DynamicResolution(selector, costs_of)
    own = [
        0.0 if c.gflops is None else drs.own_gflops(*map(int, m.size)) * c.shares[0] / c.gflops[0]
        for m, c in zip(measured, costs, strict=True)
    ]
    shares = np.full((len(costs), len(selector.scales)), np.inf)
    for row, cost in zip(shares, costs, strict=True):
        row[[selector.scales.index(scale) for scale in cost.scales]] = cost.shares
    return shares, float(np.mean(own))


def predict(selector: DenseSelector, measured: Sequence[Measurement]) -> Floats:
    """[B, K] scores of the selector."""
    import torch

    rows = []
    with torch.no_grad():
        for m in measured:
            pixels = torch.from_numpy(m.thumbnail).permute(2, 0, 1)[None].float() / 255
            rows.append(selector(pixels, torch.from_numpy(m.size)[None])[0].numpy())
    return np.asarray(np.stack(rows), np.float64)


def _point(reached: Reached, **setting: float) -> dict[str, float]:
    return {**setting, "hmean": round(reached.hmean, 5), "cost": round(reached.cost, 5)}
