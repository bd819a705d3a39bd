"""Make a selector for a spotter: look at pages, read some of them at every scale, fit, and judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dld_core.config import write_file
from dld_core.errors import ConfigError
from dld_core.interfaces import BUNDLED, ResolutionSelector, SelectorConfig, Spotter
from dld_core.selection import load_selector, save_selector
from dld_core.selection.calibration import Calibrated
from dld_core.selection.file import SELECTOR_FILE
from dld_core.training.selector.config import SelectorRunConfig, SelectorTrainingConfig
from dld_core.training.selector.examples import Example, zoomed
from dld_core.training.selector.fit import fit
from dld_core.training.selector.judging import Table, calibrate
from dld_core.training.selector.measure import Measurement, describe
from dld_core.training.selector.measuring import Build, Log, another, measure
from dld_core.training.weights import copy_matching

PAGES = Path(__file__).parents[2] / "selection" / "weights" / "pages.safetensors"
"""A selector that knows where words are and how high, and of no spotter what it reads."""
_RECORD = "selector.json"
_USUAL_ALARM = 0.25  # half of an h-mean of a half


def run_selector(
    config: SelectorRunConfig,
    out: Path,
    log: Log = lambda _: None,
    max_minutes: float | None = None,
    measured_in: Path | None = None,
) -> Path:
    """Make the selector of a spotter alone; the path of its file. See `make_selector`.

    With `max_minutes` no further image is read after this time; what is there must do.

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError: the backend cannot be had.
        ConfigError, DataError, WeightsError, DeviceError: something named in the config is wrong.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    build = another(config.backend, config.weights, config.device, **config.options)
    return make_selector(build(), config.selector.limited(max_minutes), out, log, build, measured_in)


def make_selector(
    spotter: Spotter,
    config: SelectorTrainingConfig,
    out: Path,
    log: Log = lambda _: None,
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
    measured = measure(spotter, config, measured_in or out / "measured", log, build)
    kept = round(len(measured) * (1 - config.held_out))
    taught, judged = measured[:kept], measured[kept:]
    if config.measured.images and not (taught and judged):
        raise ConfigError(
            f"{len(measured)} images are too few to hold some out; give 10 or more (and 'max_minutes' enough "
            "for them)"
        )
    alarm = alarm_of(config, measured)
    for row in describe(measured, config.scales, alarm) if measured else ():
        log("scale {scale}: {words_lost:.2f} words lost per image at {cost:.2f} of the cost".format(**row))
    examples = [
        *_pages(config, selector, log),
        *(Example.of_measurement(m, alarm, selector) for m in taught),
    ]
    if not examples:
        raise ConfigError("a selector learns from 'pages', from 'measured' images or from both; give some")
    log(f"fitting the selector to {len(examples)} pictures, {len(taught)} of them read")
    fit(selector, examples, config.fit, lambda step, losses: _log_fit(log, step, config.fit.steps, losses))
    report = calibrate(selector, judged, alarm, spotter) if judged else {}
    path = save_selector(selector, out / SELECTOR_FILE)
    record = {"settings": _settings(config), "alarm": round(alarm, 5), **report}
    write_file(out / _RECORD, json.dumps(record, indent=2) + "\n")
    log(f"selector in {path}; what it reaches in {out / _RECORD}")
    return path


def alarm_of(config: SelectorTrainingConfig, measured: Sequence[Measurement]) -> float:
    """`alarm`, or what it is for these images where it was left open."""
    if config.alarm is not None or not measured:
        return config.alarm or 0.0
    if config.measured.labels == "none":  # whose h-mean with itself says nothing
        return _USUAL_ALARM
    return max(reached.hmean for reached in Table.of(measured).fixed()) / 2


def is_made(config: SelectorTrainingConfig, out: Path) -> bool:
    """Whether `make_selector` has ended in this folder, under these settings."""
    try:
        record = json.loads((out / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(record.get("settings") == _settings(config)) and (out / SELECTOR_FILE).is_file()


def _settings(config: SelectorTrainingConfig) -> Any:
    return json.loads(json.dumps(config.model_dump(mode="json", serialize_as_any=True)))


def fresh_selector(config: SelectorTrainingConfig, reference: float) -> ResolutionSelector:
    """Untrained, or as `init` has it (where scales differ, without what depends on them).

    Raises ConfigError where `init` is of another kind, or has other options than those of every selector.
    """
    selector = config.create(reference)
    if config.init is None:
        return selector
    known = load_selector(PAGES if config.init == BUNDLED else config.init)
    if type(known) is not type(selector):
        raise ConfigError(f"the selector {config.init} is no '{config.name}'; leave out 'init'")
    own = type(selector.config).model_fields.keys() - SelectorConfig.model_fields.keys()
    differing = sorted(n for n in own if getattr(known.config, n) != getattr(selector.config, n))
    if differing:
        raise ConfigError(
            f"the selector {config.init} has other options ({', '.join(differing)}) than the settings; leave "
            "out 'init'"
        )
    copy_matching(selector, known.state_dict())
    if isinstance(selector, Calibrated):
        selector.calibrate()
    return selector


def _log_fit(log: Log, step: int, steps: int, losses: dict[str, float]) -> None:
    if step % 250 == 0 or step == steps:
        log(f"selector step {step} of {steps}: " + "  ".join(f"{n} {v:.3f}" for n, v in losses.items()))


def _pages(config: SelectorTrainingConfig, selector: ResolutionSelector, log: Log) -> list[Example]:
    """Examples of pages that no spotter reads: each whole, and some parts of it."""
    if config.pages.images and not selector.learns_from_pages:
        log(f"the selector '{config.name}' does not learn from pages that no spotter has read; none are used")
        return []
    rng = np.random.default_rng(config.seed)
    examples = []
    for number, sample in enumerate(config.pages.draw(config.seed + 1), start=1):
        views = [sample, *(zoomed(sample, rng) for _ in range(config.pages.zooms))]
        examples += [Example.of_sample(view, selector) for view in views]
        if number % 200 == 0:
            log(f"looked at {number} of {config.pages.images} pages")
    return examples
