"""The distillation loop: the training engine with a teacher, paired views and the terms between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from dld_core.data.dataset import BatchStream
from dld_core.errors import ConfigError, WeightsError
from dld_core.interfaces import BUNDLED, Distiller, TrainableSpotter
from dld_core.pipeline.folder import MODEL, SELECTOR_FILE, STUDENT
from dld_core.plugins.registry import backends, distillers
from dld_core.runtimes.devices import resolve_device
from dld_core.runtimes.norms import switch_norms
from dld_core.selection import save_selector
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.labelling import label_sources
from dld_core.training.distill.task import DistillTask, FrozenTeacher
from dld_core.training.distill.views import PairedBatch, PairedStream
from dld_core.training.engine import Trainer, TrainResult, run_and_close
from dld_core.training.runtime import build_trainable, make_fabric
from dld_core.training.selector.joint import JointSelection
from dld_core.training.selector.making import fresh_selector, make_selector
from dld_core.training.selector.measuring import another
from dld_core.training.tasks import Task
from dld_core.training.validation import Validator
from dld_core.training.weights import copy_matching, save_weights
from dld_core.types import TrainOutput


def distill(
    config: DistillConfig,
    out: str | Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    devices: int | None = None,
    student: TrainableSpotter | None = None,
    teacher: TrainableSpotter | None = None,
    selection: nn.Module | None = None,
    quiet: bool = False,
    log: Callable[[str], None] = lambda _: None,
) -> TrainResult:
    """Teach a student to read at low resolution as its teacher does at high; then make the selector, if any.

    `DLDWrapper(BACKEND, weights=out)` finds student, teacher and selector. The selector is made when the
    student is done; a run that was interrupted or cut short by `max_minutes` leaves it out.

    Args:
        config: what and how.
        out: folder of the run: student.safetensors, model.safetensors (the teacher, where it is of the
            student's kind), selector.safetensors and dld.json; checkpoints/, metrics.csv, and labels/ with
            the teacher's readings of photos without labels.
        resume, max_minutes, devices, quiet: as of `train`.
        student, teacher: these instead of those that the config names. The teacher is frozen: it is put
            into eval mode, and its parameters stop asking for gradients. They must not share parameters.
        selection: learns with the student instead of the selector that `joint` names; see
            `JointSelection.forward`.
        log: gets the progress of the selector.

    Raises:
        ConfigError, DataError, WeightsError, DeviceError: something named in the config is wrong.
        TrainingError: the folder holds another run or cannot be written, or a loss is not finite.
    """
    fabric = make_fabric(config, devices)
    fabric.launch()
    trainer = DistillTrainer(
        fabric,
        config,
        Path(out),
        resume,
        max_minutes,
        student,
        quiet,
        teacher=teacher,
        selection=selection,
    )
    result = run_and_close(trainer)
    settings = config.selector
    if settings is None or not result.chief:
        return result
    joint = isinstance(trainer.selection, JointSelection)
    cut_short = result.reason == "time" and config.schedule == "steps" and max_minutes is not None
    if result.reason == "interrupted" or cut_short:
        log("the student is not done; the selector is made when it is (go on with --resume)")
    elif settings.measured.images or (settings.pages.images and not joint):
        if joint:
            settings = settings.model_copy(update={"init": str(result.out / SELECTOR_FILE)})
        device = resolve_device("cuda" if config.accelerator == "gpu" else config.accelerator)
        spotter = backends.get(config.backend).create(result.weights, device, **config.options)
        build = another(config.backend, result.weights, device, **config.options)
        make_selector(spotter, settings, result.out, log, build)
    return result


class DistillTrainer(Trainer):
    """State of a distillation run. Use `distill`."""

    kind = "distill"
    weights_file = STUDENT
    config: DistillConfig

    def __init__(
        self,
        fabric: Fabric,
        config: DistillConfig,
        *rest: Any,
        teacher: TrainableSpotter | None = None,
        selection: nn.Module | None = None,
    ) -> None:
        if teacher is None:
            teacher = build_trainable(config.teacher_backend, config.teacher.weights, config.teacher_options)
        self.teacher = FrozenTeacher(teacher.to(fabric.device))
        if config.channels_last:
            teacher.to(memory_format=torch.channels_last)
        self.reference = config.reference or teacher.reference_short_side
        self.distiller = build_distiller(config)
        self.selection = selection
        self._teacher_saved = False
        super().__init__(fabric, config, *rest)

    def _stream(self) -> BatchStream:
        fabric, config = self.fabric, self.config
        share = fabric.global_rank, fabric.world_size
        sources = label_sources(
            self.teacher.spotter,
            config.data,
            self.out / "labels",
            self.reference,
            self.reporter.log,
            share,
            config.label_minutes,
        )
        fabric.barrier()
        return PairedStream(config, sources, self.reference)

    def _start(self, fresh: bool) -> None:
        """The teacher's or its student's weights where nothing else is asked for; norms per scale and a joint
        selector, if wanted.
        """
        super()._start(fresh)
        config, teacher = self.config, self.teacher.spotter
        if fresh and config.init is None and config.start != "random":
            source = teacher if config.start == "teacher" else _shipped_student(teacher, config)
            report = copy_matching(self.spotter, source.state_dict())
            if not report.loaded:
                raise WeightsError(
                    f"none of the {config.start}'s weights fits the student; say what it starts from with "
                    "'init: PATH', or set 'start: random'"
                )
            self.reporter.log(f"weights from the {config.start}: {report}")
        if config.norms == "per_scale":
            switch_norms(self.spotter, config.scales)
        shared = {id(p) for p in teacher.parameters()}
        if any(id(parameter) in shared for parameter in self.spotter.parameters()):
            raise ConfigError("teacher and student share parameters; give two spotters that do not")
        if self.selection is None and config.joint is not None and config.selector is not None:
            selector = fresh_selector(config.selector, self.reference)
            self.selection = JointSelection(selector, self.spotter, config.joint)
        if self.selection is not None:
            self.others["selection"] = self.selection.to(self.fabric.device)

    def _task(self) -> Task:
        task = DistillTask(self.spotter, self.config, self.teacher, self.distiller, self.selection)
        if isinstance(self.selection, JointSelection):
            self.selection.compares_logits = not task.maps_tokens
        return task

    def _validator(self) -> Validator | None:
        config = self.config
        if config.validation is None:
            return None
        return Validator(self.spotter, config, config.validation, config.validation_scales, self.reference)

    def _log_step(self, output: TrainOutput, values: dict[str, float]) -> None:
        """As in training, with the (mean) scale of the step."""
        if isinstance(self.batch, PairedBatch):
            values = {**values, "scale": sum(self.batch.views) / len(self.batch.views)}
        super()._log_step(output, values)

    def save(self) -> Path:
        """As in training, with the teacher (once) and the selector that learns in the loop."""
        path = super().save()
        if self.chief and isinstance(self.selection, JointSelection):
            save_selector(self.selection.selector, self.out / SELECTOR_FILE, half=False)
        teacher, config = self.teacher.spotter, self.config
        if (
            self.chief
            and not self._teacher_saved
            and config.teacher_is_alike
            and type(teacher) is type(self.spotter)
        ):
            state = teacher.state_dict()
            save_weights(self.out / MODEL, state, config.backend, config.options, config.half)
            self._teacher_saved = True
        return path


def _shipped_student(teacher: TrainableSpotter, config: DistillConfig) -> TrainableSpotter:
    """The student that ships with the teacher's weights."""
    weights = teacher.bundled_part("student") if config.teacher.weights == BUNDLED else None
    if weights is None:
        raise WeightsError(
            f"no student ships with the weights {config.teacher.weights} of {config.teacher_backend}; set "
            "'start: teacher', or name what to start from with 'init: PATH'"
        )
    return build_trainable(config.teacher_backend, weights, config.teacher_options)


def build_distiller(config: DistillConfig) -> Distiller:
    """The distiller that the config names.

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError, ConfigError: it cannot be had as asked for.
    """
    part = distillers.get(config.distiller)
    try:
        return part(**config.distiller_options)
    except TypeError as error:
        raise ConfigError(
            f"the distiller '{config.distiller}' does not take these 'distiller_options' ({error})"
        ) from error
