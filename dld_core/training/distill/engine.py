"""The distillation loop: the training engine with a teacher, paired views and the terms between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from dld_core.data.dataset import BatchStream
from dld_core.errors import ConfigError, TrainingError, WeightsError
from dld_core.interfaces import Distiller, TrainableSpotter
from dld_core.pipeline.models import BUNDLED
from dld_core.runtimes.norms import switch_norms
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.labelling import label_sources
from dld_core.training.distill.stream import PairedStream
from dld_core.training.distill.task import DistillTask, Selection, learning_selection
from dld_core.training.distill.teacher import FrozenTeacher
from dld_core.training.distill.validation import ScaledValidator
from dld_core.training.distill.views import PairedBatch
from dld_core.training.engine import Trainer, TrainResult, run_and_close
from dld_core.training.runtime import make_fabric
from dld_core.training.tasks import Task
from dld_core.training.validation import Validator
from dld_core.training.weights import copy_matching
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
    selection: Selection | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Teach a student to read at low resolution as its teacher reads at high resolution.

    Args:
        config: what and how.
        out: folder of the run, as of `train`; labels/ has the teacher's readings of photos without labels.
        resume, max_minutes, devices, quiet: as of `train`.
        student, teacher: these instead of those that the config names. The teacher is frozen: it is put
            into eval mode, and its parameters stop asking for gradients. They must not share parameters.
        selection: further losses, of what chooses a scale (see `task.Selection`).

    Raises:
        ConfigError, DataError, WeightsError, DeviceError: something named in the config is wrong.
        TrainingError: the folder holds another run, or a loss is not finite.
    """
    fabric = make_fabric(config, devices)
    fabric.launch()
    run = DistillTrainer(
        fabric, config, Path(out), resume, max_minutes, student, quiet, teacher=teacher, selection=selection
    )
    return run_and_close(run)


class DistillTrainer(Trainer):
    """State of a distillation run. Use `distill`."""

    kind = "distill"
    config: DistillConfig

    def __init__(
        self,
        fabric: Fabric,
        config: DistillConfig,
        *rest: Any,
        teacher: TrainableSpotter | None = None,
        selection: Selection | None = None,
    ) -> None:
        self.teacher = FrozenTeacher(teacher if teacher is not None else build_teacher(config))
        self.teacher.to(fabric.device)
        if config.channels_last:
            self.teacher.spotter.to(memory_format=torch.channels_last)
        self.reference = config.reference or self.teacher.reference_short_side
        self.distiller = build_distiller(config)
        self.selection = selection
        super().__init__(fabric, config, *rest)

    def _stream(self) -> BatchStream:
        fabric, config = self.fabric, self.config
        share = fabric.global_rank, fabric.world_size
        sources = label_sources(
            self.teacher.spotter,
            config.data,
            self.out / "labels",
            self.reference,
            self.reporter.say,
            share,
            config.label_minutes,
        )
        fabric.barrier()
        return PairedStream(config, sources, self.reference)

    def _start(self, fresh: bool) -> None:
        """The teacher's or its student's weights where nothing else is asked for; then norms per scale, if
        wanted.
        """
        super()._start(fresh)
        config = self.config
        if fresh and config.init is None and config.start != "random":
            source = (
                self.teacher.spotter if config.start == "teacher" else _shipped_student(self.teacher, config)
            )
            report = copy_matching(self.spotter, source.state_dict())
            if not report.loaded:
                raise WeightsError(
                    f"none of the {config.start}'s weights fits the student; say what it starts from with "
                    "'init: PATH', or set 'start: random'"
                )
            self.reporter.say(f"weights from the {config.start}: {report}")
        if config.norms == "per_scale":
            switch_norms(self.spotter, config.scales)
        shared = {id(p) for p in self.teacher.spotter.parameters()}
        if any(id(parameter) in shared for parameter in self.spotter.parameters()):
            raise ConfigError("teacher and student share parameters; give two spotters that do not")
        learner = learning_selection(self.selection)
        if learner is not None:
            self.others["selection"] = learner.to(self.fabric.device)

    def _task(self) -> Task:
        return DistillTask(self.spotter, self.config, self.teacher, self.distiller, self.selection)

    def _validator(self) -> Validator | None:
        validation = self.config.validation
        if validation is None:
            return None
        return ScaledValidator(self.spotter, self.config, validation, self.reference)

    def _tell(self, output: TrainOutput, values: dict[str, float]) -> None:
        """As in training, with the (mean) scale of the step."""
        if isinstance(self.batch, PairedBatch):
            values = {**values, "scale": sum(self.batch.views) / len(self.batch.views)}
        super()._tell(output, values)


def _shipped_student(teacher: FrozenTeacher, config: DistillConfig) -> TrainableSpotter:
    """The student that ships with the teacher's weights."""
    from dld_core.plugins.registry import backends

    weights = teacher.spotter.bundled_part("student") if config.teacher.weights == BUNDLED else None
    if weights is None:
        raise WeightsError(
            f"no student ships with the weights {config.teacher.weights} of {config.teacher_backend}; set "
            "'start: teacher', or name what to start from with 'init: PATH'"
        )
    part = backends.get(config.teacher_backend)
    student = part.create(weights=weights, device="cpu", **config.teacher_options)
    assert isinstance(student, TrainableSpotter)  # as its teacher is
    return student


def build_teacher(config: DistillConfig) -> TrainableSpotter:
    """The spotter that the config names as teacher.

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError, ConfigError, WeightsError: it cannot be had.
        TrainingError: it can only predict.
    """
    from dld_core.plugins.registry import backends

    name, weights = config.teacher_backend, config.teacher.weights
    spotter = backends.get(name).create(weights=weights, device="cpu", **config.teacher_options)
    if not isinstance(spotter, TrainableSpotter):
        raise TrainingError(
            f"the backend '{name}' only predicts and shows no traces, so it cannot teach; choose one that "
            "`dld backends` lists as trainable, or leave out 'data' and give 'selector' alone, which such a "
            "backend can have"
        )
    return spotter


def build_distiller(config: DistillConfig) -> Distiller:
    """The distiller that the config names.

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError, ConfigError: it cannot be had as asked for.
    """
    from dld_core.plugins.registry import distillers

    part = distillers.get(config.distiller)
    try:
        return part(**config.distiller_options)
    except TypeError as error:
        raise ConfigError(
            f"the distiller '{config.distiller}' does not take these 'distiller_options' ({error})"
        ) from error
