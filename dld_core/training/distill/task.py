"""What a step of distillation computes: the student's own losses, and what sets it apart from its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from dld_core.decoders.words import jitter_regions, scaled_regions
from dld_core.distillation.detection import box_divergence, map_divergence, with_teacher_boxes
from dld_core.distillation.token_mapping import map_tokens, same_tokens
from dld_core.interfaces import Distiller, TrainableSpotter
from dld_core.runtimes.norms import use_scale
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.views import PairedBatch
from dld_core.training.tasks import Task
from dld_core.types import Batch, RecognitionTrace, TrainOutput


class FrozenTeacher:
    """A spotter that only shows what it does.

    No nn.Module on purpose: as an attribute of a module it is no child of it, so that no `.train()` puts
    its norms into training, no optimiser finds its parameters and no state dict holds them. (The authors'
    code never leaves training mode, so that their teacher drifts with every batch.)

    Args:
        spotter: is put into eval mode, and its parameters stop asking for gradients.
    """

    def __init__(self, spotter: TrainableSpotter) -> None:
        self.spotter = spotter.eval().requires_grad_(False)

    @torch.no_grad()
    def show(self, batch: Batch, hypotheses: int = 0) -> TrainOutput:
        """Its trace and maps of a batch.

        Args:
            hypotheses: how many of its best readings the trace is to carry; 0 for none.
        """
        if any(module.training for module in self.spotter.modules()):
            self.spotter.eval()  # somebody who holds the spotter itself has called train()
        shown = self.spotter.teacher_outputs(batch)
        if hypotheses:
            best = self.spotter.decoder.beam_search(shown.trace.context, hypotheses)
            shown = replace(shown, trace=replace(shown.trace, hypotheses=best))
        return shown


class DistillTask(Task):
    """Student and teacher on the same crops; only the student (and a selection) is part of it.

    Losses by name: the student's own; `kd_TERM` for every term of the distiller; `kd_map_NAME` for every
    dense map that both spotters show; `kd_class` and `kd_box` where both judge boxes; those of the selection.
    With several scales a step has their mean.

    Each word's region is moved at random once (by the student's `region_jitter`), and teacher and student
    read it where it then lies: what differs between their features is the resolution alone.

    Args:
        student: what learns.
        config: of the run.
        teacher: what teaches.
        distiller: compares the traces.
        selection: losses of what chooses a scale, or None: see `JointSelection.forward`.
    """

    def __init__(
        self,
        student: TrainableSpotter,
        config: DistillConfig,
        teacher: FrozenTeacher,
        distiller: Distiller,
        selection: nn.Module | None = None,
    ) -> None:
        super().__init__(student, config)
        self.teacher = teacher
        self.distiller = distiller
        self.selection = selection
        self.hypotheses = max(distiller.hypotheses, int(selection is not None))
        self.detection, self.text_share = config.detection, config.text_share
        alike = teacher.spotter.charset == student.charset
        self.maps_tokens = not alike or not same_tokens(teacher.spotter.decoder, student.decoder)

    def _output(self, batch: Batch, progress: float) -> TrainOutput:
        assert isinstance(batch, PairedBatch)
        self._jitter(batch)
        shown = self.teacher.show(batch, self.hypotheses)
        if self.maps_tokens and shown.trace.hypotheses is not None:
            told = map_tokens(shown.trace.hypotheses, self.teacher.spotter.decoder, self.spotter.decoder)
            shown = replace(shown, trace=replace(shown.trace, hypotheses=told))
        outputs = {}
        losses: dict[str, Tensor] = {}
        for scale, view in batch.views.items():
            if self.detection and shown.box_outputs is not None:
                view = with_teacher_boxes(view, shown.box_outputs, batch)
            with use_scale(scale):
                output = outputs[scale] = self._own(view)
            own = {**output.losses, **self._apart(shown, output, batch, view)}
            losses = {name: losses.get(name, 0.0) + loss / len(batch.views) for name, loss in own.items()}
        if self.selection is not None:
            traces = {scale: output.trace for scale, output in outputs.items()} | self._others(batch)
            losses |= self.selection(shown.trace, traces, batch.images, progress)
        return TrainOutput(losses, next(iter(outputs.values())).trace)

    def _jitter(self, batch: PairedBatch) -> None:
        """Give the batch and all its views the same regions, each word's moved once."""
        if self.spotter.region_jitter:
            batch.regions = jitter_regions(batch.polygons, self.spotter.region_jitter)
            for view in (*batch.views.values(), *batch.others.values()):
                view.regions = scaled_regions(batch.regions, batch, view)

    def _apart(self, shown: TrainOutput, output: TrainOutput, batch: Batch, view: Batch) -> dict[str, Tensor]:
        """What sets the student apart from the teacher, by name."""
        terms = self.distiller(shown.trace, output.trace, self.spotter.decoder)
        losses = {f"kd_{name}": loss for name, loss in terms.items()}
        if self.detection:
            large, small = (
                [(int(i.shape[1]), int(i.shape[2])) for i in views.images] for views in (batch, view)
            )
            for name in shown.maps.keys() & output.maps.keys():
                apart = map_divergence(shown.maps[name], output.maps[name], large, small, self.text_share)
                losses[f"kd_map_{name}"] = self.detection * apart
            if shown.box_outputs is not None and output.box_outputs is not None:
                terms = box_divergence(shown.box_outputs, output.box_outputs, self.text_share)
                losses |= {f"kd_{name}": self.detection * term for name, term in terms.items()}
        return losses

    @torch.no_grad()
    def _others(self, batch: PairedBatch) -> dict[float, RecognitionTrace]:
        """Traces at the scales that are only read; norms behave, and stay, as in use."""
        traces = {}
        with frozen_statistics(self.spotter):
            for scale, view in batch.others.items():
                with use_scale(scale):
                    traces[scale] = self.spotter.recognize(view)
        return traces


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, norms neither use nor change batch statistics: for passes that only evaluate."""
    norms = [m for m in module.modules() if isinstance(m, _NormBase) and m.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
