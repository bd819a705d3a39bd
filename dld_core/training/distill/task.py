"""What a step of distillation computes: the student's own losses, and what sets it apart from its teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from dld_core.distillation.boxes import box_divergence, with_teacher_boxes
from dld_core.distillation.maps import map_divergence
from dld_core.distillation.token_mapping import in_student_tokens, same_tokens
from dld_core.interfaces import Distiller, TrainableSpotter
from dld_core.runtimes.norms import use_scale
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.teacher import FrozenTeacher, frozen_statistics
from dld_core.training.distill.views import PairedBatch
from dld_core.training.tasks import Task
from dld_core.types import Batch, RecognitionTrace, TrainOutput

Selection = Callable[
    [RecognitionTrace, Mapping[float, RecognitionTrace], Sequence[Tensor], Sequence[float]], dict[str, Tensor]
]
"""Further losses, of what chooses a scale: (teacher's trace, students' traces by scale, teacher's images
[3, H, W] uint8, those scales in the order of the mapping) -> losses by name. An nn.Module learns with the
student, and its weights go to selection.safetensors. One with an attribute `progress` is told the share in
[0, 1] of the run that is done."""


class DistillTask(Task):
    """Student and teacher on the same crops; only the student (and a selection) is part of it.

    Losses by name: the student's own; `kd_TERM` for every term of the distiller; `kd_map_NAME` for every
    dense map that both spotters show; `kd_class` and `kd_box` where both judge boxes; those of the selection.
    With several scales a step has their mean.

    The student's trace comes from its `forward_train`, as the trunk should run once. Where a backend moves
    regions at random for that (`region_jitter`), teacher and student read slightly different regions: good
    for the sequence term (the same reading from an inexact region), noise for those that compare position by
    position. Distil with a small jitter.

    Args:
        student: who learns.
        config: of the run.
        teacher: who shows.
        distiller: compares the traces.
        selection: losses of a joint selector, or None.
    """

    def __init__(
        self,
        student: TrainableSpotter,
        config: DistillConfig,
        teacher: FrozenTeacher,
        distiller: Distiller,
        selection: Selection | None = None,
    ) -> None:
        super().__init__(student, config)
        self.teacher = teacher
        self.distiller = distiller
        self.selection = selection
        self.detection, self.text_share = config.detection, config.text_share
        alike = teacher.spotter.charset == student.charset
        self.maps_tokens = not alike or not same_tokens(teacher.spotter.decoder, student.decoder)

    def _output(self, batch: Batch) -> TrainOutput:
        assert isinstance(batch, PairedBatch)
        shown = self.teacher.show(batch, self.distiller.hypotheses)
        if self.maps_tokens:
            shown = in_student_tokens(self.spotter.decoder, shown, self.teacher.spotter.decoder)
        outputs = {}
        losses: dict[str, Tensor] = {}
        for scale, view in batch.views.items():
            if self.detection and shown.box_outputs is not None:
                view = with_teacher_boxes(view, shown.box_outputs, batch)
            with use_scale(scale):
                output = outputs[scale] = super()._output(view)
            own = {**output.losses, **self._apart(shown, output, batch, view)}
            losses = {name: losses.get(name, 0.0) + loss / len(batch.views) for name, loss in own.items()}
        if self.selection is not None:
            if hasattr(self.selection, "progress"):
                self.selection.progress = self.progress
            traces = {scale: output.trace for scale, output in outputs.items()} | self._others(batch)
            losses |= self.selection(shown.trace, traces, batch.images, list(traces))
        return TrainOutput(losses, next(iter(outputs.values())).trace)

    def _apart(self, shown: TrainOutput, output: TrainOutput, batch: Batch, view: Batch) -> dict[str, Tensor]:
        """What sets the student apart from the teacher, by name."""
        terms = self.distiller(shown.trace, output.trace, self.spotter.decoder)
        losses = {f"kd_{name}": loss for name, loss in terms.items()}
        if self.detection:
            sizes = _sizes(batch), _sizes(view)
            for name in shown.maps.keys() & output.maps.keys():
                apart = map_divergence(shown.maps[name], output.maps[name], *sizes, self.text_share)
                losses[f"kd_map_{name}"] = self.detection * apart
            if shown.box_outputs is not None and output.box_outputs is not None:
                terms = box_divergence(shown.box_outputs, output.box_outputs, self.text_share)
                losses |= {f"kd_{name}": self.detection * term for name, term in terms.items()}
        return losses

    @torch.no_grad()
    def _others(self, batch: PairedBatch) -> dict[float, RecognitionTrace]:
        """Traces at the scales that are only looked at; norms behave, and stay, as in use."""
        traces = {}
        with frozen_statistics(self.spotter):
            for scale, view in batch.others.items():
                with use_scale(scale):
                    traces[scale] = self.spotter.recognize(view)
        return traces


def learning_selection(selection: Selection | None) -> nn.Module | None:
    """The selection as what learns, if it does."""
    return selection if isinstance(selection, nn.Module) else None


def _sizes(batch: Batch) -> list[tuple[int, int]]:
    return [(int(image.shape[1]), int(image.shape[2])) for image in batch.images]
