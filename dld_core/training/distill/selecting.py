"""A selector beside the student: learning in the loop, and fitted to what the student loses after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from dld_core.interfaces import TrainableSpotter
from dld_core.pipeline.folder import SELECTOR_FILE
from dld_core.plugins.registry import backends
from dld_core.runtimes.devices import resolve_device
from dld_core.selection import DenseSelector, load_selector, save_selector
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.engine import build_teacher, distill
from dld_core.training.engine import TrainResult
from dld_core.training.selector.joint import JointSelection
from dld_core.training.selector.measuring import another
from dld_core.training.selector.training import fresh_selector, make_selector

JOINT_FILE = "joint_selector.safetensors"


def distill_with_selector(
    config: DistillConfig,
    out: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    devices: int | None = None,
    say: Callable[[str], None] = lambda _: None,
    teacher: TrainableSpotter | None = None,
) -> TrainResult:
    """`distill`, then the selector that the config asks for: `selector.safetensors` in the run's folder.

    DLDWrapper(BACKEND, weights=FOLDER) finds student and selector there.

    The selector is made when the student is done; a run that ended before its time leaves it out: one that
    was interrupted, or that `max_minutes` ended before its last step.
    """
    selection = _joint(config, teacher)
    result = distill(
        config,
        out,
        resume=resume,
        max_minutes=max_minutes,
        devices=devices,
        teacher=teacher,
        selection=selection,
    )
    if config.selector is None or not result.chief:
        return result
    settings = config.selector
    if selection is not None:
        selection.load_state_dict(load_file(out / "selection.safetensors"))
        save_selector(selection.selector, out / JOINT_FILE, half=False)
        settings = settings.model_copy(update={"init": str(out / JOINT_FILE)})
    cut_short = result.reason == "time" and config.schedule == "steps" and max_minutes is not None
    if result.reason == "interrupted" or cut_short:
        say("the student is not done; the selector is made when it is (go on with --resume)")
    elif settings.measured.images or (settings.pages.images and selection is None):
        device = resolve_device("cuda" if config.accelerator == "gpu" else config.accelerator)
        student = backends.get(config.backend).create(weights=out, device=device, **config.options)
        build = another(config.backend, out, device, **config.options)
        make_selector(student, settings, out, say, build)
    elif selection is not None:
        save_selector(load_selector(out / JOINT_FILE), out / SELECTOR_FILE)
    return result


def _joint(config: DistillConfig, teacher: TrainableSpotter | None) -> JointSelection | None:
    if config.joint is None or config.selector is None:
        return None
    teacher = teacher if teacher is not None else build_teacher(config)
    torch.manual_seed(config.seed)
    selector: DenseSelector = fresh_selector(
        config.selector, config.reference or teacher.reference_short_side
    )
    return JointSelection(selector, teacher, config.joint)
