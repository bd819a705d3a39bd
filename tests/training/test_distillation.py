"""Distillation runs: a teacher that stays as it is, exact resumption, labels made on the way."""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_training import TinySpotter, write_photos
from torch import Tensor, nn

from dld_backends.maskrcnn import MaskRCNNConfig, MaskRCNNSpotter
from dld_backends.segmentation import SegmentationSpotter
from dld_backends.segmentation.config import SegmentationConfig
from dld_core.cli import main
from dld_core.distillation.skd import SequentialDistiller
from dld_core.distillation.token_mapping import map_tokens, same_tokens
from dld_core.errors import ConfigError, TrainingError, WeightsError
from dld_core.interfaces import Spotter
from dld_core.plugins.hooks import hooks
from dld_core.plugins.hookspecs import hookimpl
from dld_core.plugins.registry import backends
from dld_core.runtimes.norms import Switchable, match_norms, switch_norms, use_scale
from dld_core.testing import samples
from dld_core.training import TrainResult
from dld_core.training.checkpoint import saved
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.engine import distill
from dld_core.training.distill.task import DistillTask, FrozenTeacher, frozen_statistics
from dld_core.training.distill.views import PairedBatch
from dld_core.training.tasks import Step
from dld_core.types import Batch, Hypotheses, RecognitionTrace, TrainOutput, Word


class Reads(TinySpotter):
    """A tiny spotter that says that it has read something."""

    reference_short_side = 96

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        box = ((8.0, 8.0), (40.0, 8.0), (40.0, 24.0), (8.0, 24.0))
        return [[Word("abc", 0.9, box), Word("bad", 0.2, box)] for _ in images]


class Runs:
    """Distillation of tiny spotters on a few photos, all below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = write_photos(folder / "photos")
        self.labelled = {
            "kind": "icdar",
            "images": str(self.photos / "images"),
            "gt": str(self.photos / "gt"),
        }

    def config(self, **changes: Any) -> DistillConfig:
        return DistillConfig.parse(
            {
                **{"backend": "tiny", "data": [self.labelled], "sizes": [64], "batch_size": 2, "workers": 0},
                **{"steps": 4, "warmup_steps": 1, "log_steps": 1, "precision": "32-true", "lr": 0.01},
                **{"scales": [0.5, 1.0], "reference": 96, **changes},
            }
        )

    def distill(self, name: str, **changes: Any) -> TrainResult:
        how = {k: changes.pop(k) for k in ("resume", "student", "teacher", "selection") if k in changes}
        given = {"student": fresh(1), "teacher": fresh(0), **how}
        return distill(self.config(**changes), self.folder / name, quiet=True, **given)

    def state(self, name: str) -> dict[str, Tensor]:
        return dict(torch.load(saved(self.folder / name)[-1], weights_only=True)["model"])

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name / "metrics.csv").open(newline="") as file:
            return list(csv.DictReader(file))


def fresh(seed: int = 0) -> Reads:
    torch.manual_seed(seed)
    return Reads()


def everything(module: nn.Module) -> dict[str, bytes]:
    """Every parameter and buffer, byte for byte."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: value.detach().numpy().tobytes() for name, value in tensors.items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


class StopAt:
    """A hook plugin that interrupts the run after a step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.kinds: list[str] = []

    @hookimpl
    def dld_run_configured(self, kind: str) -> None:
        self.kinds.append(kind)

    @hookimpl
    def dld_step_ended(self, step: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


# -- the teacher --------------------------------------------------------------------------------------------


def test_the_teacher_is_the_same_to_the_byte_after_training(runs: Runs) -> None:
    teacher = fresh(0)
    teacher.train()
    before = everything(teacher)
    student = fresh(1)
    start = everything(student)
    result = runs.distill("run", teacher=teacher, student=student)
    assert everything(teacher) == before
    assert everything(student) != start
    assert set(load_file(result.weights)) == set(student.state_dict())
    assert not any(module.training for module in teacher.modules())


def test_nothing_puts_a_frozen_teacher_back_into_training() -> None:
    class Holder(nn.Module):
        def __init__(self, teacher: FrozenTeacher) -> None:
            super().__init__()
            self.teacher = teacher

    spotter = fresh()
    holder = Holder(FrozenTeacher(spotter))
    holder.train()
    assert not spotter.training
    assert list(holder.parameters()) == []
    assert holder.state_dict() == {}
    before, given = everything(spotter), samples.batch("abcdefghij")
    given.images = [torch.zeros(3, 64, 64, dtype=torch.uint8) for _ in given.images]
    spotter.train()  # by whoever holds the spotter itself
    shown = holder.teacher.show(given, hypotheses=1)
    assert everything(spotter) == before
    assert not spotter.training
    assert not shown.trace.context.requires_grad
    assert shown.trace.hypotheses is not None
    assert len(shown.trace.hypotheses.tokens) == len(shown.trace.targets)
    assert holder.teacher.show(given).trace.hypotheses is None


def test_frozen_statistics_keep_norms_as_they_are_and_give_their_mode_back() -> None:
    spotter = fresh().train()
    norm = spotter.trunk[1]
    before = everything(norm)
    with frozen_statistics(spotter):
        spotter.trunk(torch.rand(2, 3, 32, 32))
        assert spotter.training
    assert everything(norm) == before
    assert norm.training
    spotter.trunk(torch.rand(2, 3, 32, 32))
    assert everything(norm) != before


# -- runs ---------------------------------------------------------------------------------------------------


def test_losses_are_logged_by_name_and_the_student_starts_from_its_teacher(runs: Runs) -> None:
    teacher, student = fresh(0), fresh(1)
    runs.distill("run", teacher=teacher, student=student, steps=1, lr=1e-9, scales=[1.0])
    torch.testing.assert_close(student.finder.weight, teacher.finder.weight, atol=1e-6, rtol=0)
    (row,) = runs.rows("run")
    assert {"find", "read", "kd_roi_features", "kd_context", "kd_sequence", "scale"} <= row.keys()
    total = sum(float(row[n]) for n in ("find", "read", "kd_roi_features", "kd_context", "kd_sequence"))
    assert float(row["loss"]) == pytest.approx(total, rel=1e-4)
    other = fresh(1)
    runs.distill("own", student=other, steps=1, lr=1e-9, start="random")
    torch.testing.assert_close(other.finder.weight, fresh(1).finder.weight, atol=1e-6, rtol=0)


def test_distillation_brings_the_student_nearer_to_its_teacher(runs: Runs) -> None:
    runs.distill("run", steps=40, start="random", lr=0.03, scales=[0.5])
    apart = [float(row["kd_sequence"]) for row in runs.rows("run")]
    assert sum(apart[-5:]) < 0.5 * sum(apart[:5])


@pytest.mark.parametrize("changes", [{}, {"norms": "per_scale", "scales_per_step": 2}, {"workers": 1}])
def test_resumed_run_equals_an_uninterrupted_one(runs: Runs, changes: dict[str, Any]) -> None:
    straight = runs.distill("straight", **changes)
    stop = StopAt(2)
    hooks.register(stop, "test-stop")
    try:
        assert runs.distill("parts", **changes).reason == "interrupted"
    finally:
        hooks.unregister("test-stop")
    assert stop.kinds == ["distill"]
    result = runs.distill("parts", resume=True, student=fresh(7), **changes)
    assert (result.step, result.words) == (4, straight.words)
    assert equal(runs.state("straight"), runs.state("parts"))
    with pytest.raises(TrainingError, match="scales was"):
        runs.distill("parts", resume=True, **{**changes, "scales": [0.3, 1.0]})
    other = {**changes, "selector": {"fit": {"steps": 3}}}
    assert runs.distill("parts", resume=True, student=fresh(7), **other).step == 4, (
        "made when the run is over"
    )


def test_loss_weights_and_wrong_names(runs: Runs) -> None:
    runs.distill("run", steps=1, losses={"kd_context": 0.0, "find": 0.0})
    (row,) = runs.rows("run")
    assert float(row["kd_context"]) == float(row["find"]) == 0
    with pytest.raises(ConfigError, match="'losses' names kd_contxt; this task has: find, kd_context"):
        runs.distill("wrong", losses={"kd_contxt": 1.0})
    with pytest.raises(ConfigError, match="did you mean 'context'"):
        runs.distill("options", distiller_options={"contxt": 1.0})
    one = fresh()
    with pytest.raises(ConfigError, match="share parameters"):
        runs.distill("same", student=one, teacher=one)


class Engine(Spotter):
    """An engine that only predicts."""

    def __init__(self, config: object) -> None:
        del config

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        return [[] for _ in images]


def test_a_teacher_that_only_predicts_is_refused(runs: Runs) -> None:
    backends.register("engine", Engine)
    try:
        with pytest.raises(TrainingError, match="only predicts and has no traces"):
            distill(runs.config(teacher={"backend": "engine"}), runs.folder / "run")
    finally:
        backends.unregister("engine")


def test_a_student_of_another_kind_says_where_to_start(runs: Runs) -> None:
    class Other(Reads):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return {f"other.{name}": value for name, value in super().state_dict(*args, **kwargs).items()}

    with pytest.raises(WeightsError, match="set 'start: random'"):
        runs.distill("run", student=Other())


def test_validation_looks_at_several_scales(runs: Runs) -> None:
    validation = {"data": [runs.labelled], "every": 2, "samples": 2, "batch_size": 2, "best": "read@0.5"}
    runs.distill("run", steps=2, validation=validation, validation_scales=[0.5, 1.0])
    last = runs.rows("run")[-1]
    values = [float(last[f"val/read@{scale}"]) for scale in ("0.5", "1")]
    assert float(last["val/read"]) == pytest.approx(sum(values) / 2, rel=1e-4)
    assert values[0] != values[1]
    assert (runs.folder / "run" / "best" / "student.safetensors").is_file()


# -- without labels -----------------------------------------------------------------------------------------


def test_photos_without_labels_are_read_once_by_the_teacher(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    from dld_core.data.synth import PageRenderer, SynthConfig

    folder = runs.folder / "pages"
    folder.mkdir()
    renderer = PageRenderer(SynthConfig.parse({"page_size": [96, 128]}))
    for number in range(2):
        page = renderer.page(number)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(page.image, cv2.COLOR_RGB2BGR))
    (folder / "broken.png").write_bytes(b"no picture")
    config = runs.config(data=[{"kind": "images", "images": str(folder)}])
    result = distill(config, runs.folder / "run", student=fresh(1), teacher=fresh(0))
    assert "the teacher reads 3 pictures without labels" in capsys.readouterr().err
    assert result.step == 4
    assert result.words > 0
    assert any(float(row["kd_sequence"]) > 0 for row in runs.rows("run"))
    labels = list((runs.folder / "run" / "labels").rglob("*.json"))
    assert len(labels) == 3
    assert sorted(len(json.loads(f.read_text())["words"]) for f in labels) == [0, 2, 2]

    class Refuses(Reads):
        def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
            raise AssertionError("everything has been read already")

    again = Refuses()
    again.load_state_dict(fresh(0).state_dict())
    again.__class__.__qualname__ = Reads.__qualname__
    more = runs.config(data=[{"kind": "images", "images": str(folder)}], steps=5)
    assert (
        distill(more, runs.folder / "run", resume=True, student=fresh(1), teacher=again, quiet=True).step == 5
    )


# -- a joint selection --------------------------------------------------------------------------------------


class Chooser(nn.Module):
    """A selection with a parameter; keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2))
        self.seen: list[Any] = []
        self.told: list[float] = []

    def forward(
        self, teacher: RecognitionTrace, students: Any, images: Any, progress: float
    ) -> dict[str, Tensor]:
        self.told.append(progress)
        self.seen.append((set(students), [tuple(i.shape) for i in images]))
        rows = {len(trace.targets) for trace in students.values()}
        assert rows == {len(teacher.targets)}
        return {"choice": (self.bias - 1).square().sum()}


def test_a_selection_sees_every_scale_and_learns_with_the_student(runs: Runs) -> None:
    drs = Chooser()
    runs.distill("run", selection=drs, read_others=True)
    for students, images in drs.seen:
        assert students == {0.5, 1.0}
        assert images == [(3, 64, 64)] * 2
    steps = len(drs.told)
    assert drs.told == pytest.approx([step / steps for step in range(steps)])
    learned = drs.bias.detach().clone()
    assert bool((learned > 0).all())
    assert float(runs.rows("run")[-1]["choice"]) < float(runs.rows("run")[0]["choice"])
    again = Chooser()
    runs.distill("run", selection=again, read_others=True, resume=True)
    torch.testing.assert_close(again.bias.detach(), learned)


def test_reading_the_other_scales_leaves_no_trace_in_the_student(runs: Runs) -> None:
    """Neither in its weights nor in its norms: with and without, the same student comes out."""
    runs.distill("with", selection=Chooser(), read_others=True)
    runs.distill("without", selection=Chooser())
    assert equal(runs.state("with"), runs.state("without"))


# -- norms per scale ----------------------------------------------------------------------------------------


def test_each_scale_has_its_norms_and_all_start_from_the_shared_ones() -> None:
    plain = fresh()
    plain.trunk[1].running_mean.fill_(0.3)  # type: ignore[operator, union-attr]
    state = plain.state_dict()
    switched = switch_norms(fresh(5), [0.5, 0.25, 1.0])
    switched.load_state_dict(state)
    images = torch.rand(2, 3, 32, 32)
    wanted = plain.eval().trunk(images)
    for scale in (None, 0.25, 0.5, 1.0):
        with use_scale(scale):
            torch.testing.assert_close(switched.eval().trunk(images), wanted)
    switched.train()
    with use_scale(0.45):  # the nearest is 0.5
        switched.trunk(images)
    after = switched.state_dict()
    changed = {n for n in after if n.endswith("running_mean") and not torch.all(after[n] == 0.3)}
    assert changed == {"trunk.1.sets.0_5.running_mean"}
    copied = copy.deepcopy(switched)
    assert equal(copied.state_dict(), switched.state_dict())


def test_weights_with_norms_per_scale_find_their_place(runs: Runs) -> None:
    result = runs.distill("run", norms="per_scale", scales=[0.5, 1.0], ema=0.0)
    state = load_file(result.weights)
    assert {"trunk.1.weight", "trunk.1.sets.0_5.weight"} <= state.keys()
    assert not torch.equal(state["trunk.1.running_mean"], state["trunk.1.sets.0_5.running_mean"])
    spotter = fresh(9)
    match_norms(spotter, state)
    spotter.load_state_dict(state)
    assert equal(spotter.state_dict(), state)
    for norm in (m for m in spotter.modules() if isinstance(m, Switchable)):
        assert norm.own_scale == 1.0
    untouched = fresh(9)
    match_norms(untouched, fresh().state_dict())
    assert set(untouched.state_dict()) == set(fresh().state_dict())


def test_the_largest_scale_of_norms_is_remembered() -> None:
    switched, again = switch_norms(fresh(), [0.3, 0.5, 0.7]), fresh()
    for number, value in enumerate(switched.state_dict().values()):
        value.add_(0.01 * number) if value.is_floating_point() and value.ndim else None
    match_norms(again, switched.state_dict())
    again.load_state_dict(switched.state_dict())
    image = torch.rand(1, 3, 32, 32)
    for scale in (None, 0.3, 0.6, 0.7, 1.0):
        with use_scale(scale):
            torch.testing.assert_close(again.eval().trunk(image), switched.eval().trunk(image))
    with pytest.raises(ConfigError, match="no batch norms"):
        switch_norms(torch.nn.Linear(2, 2), [0.5, 1.0])


# -- a real backend, and the command ------------------------------------------------------------------------


def segmentation(jitter: float = 0.0) -> SegmentationSpotter:
    torch.manual_seed(0)
    return SegmentationSpotter(SegmentationConfig.parse({"preset": "tiny", "region_jitter": jitter}))


@pytest.mark.parametrize("make", [lambda: segmentation(0.3), lambda: maskrcnn(0.3)], ids=["ctc", "attention"])
def test_a_student_that_equals_its_teacher_loses_nothing_at_equal_scale(make: Any) -> None:
    """Both read each word's region where one jitter has put it: resolution alone sets features apart."""
    teacher, student = make(), make().train()
    config = DistillConfig.parse({"backend": "x", "data": [{"kind": "synth"}], "detection": 0.0})
    task = DistillTask(student, config, FrozenTeacher(teacher), SequentialDistiller())
    given = samples.batch(student.charset)
    views = {1.0: samples.batch(student.charset), 0.5: samples.halved(given)}
    own = {f.name: getattr(given, f.name) for f in dataclasses.fields(Batch)}
    losses = {}
    for scale, view in views.items():
        batch = PairedBatch(**own, views={scale: view})
        for module in student.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase | nn.Dropout):
                module.eval()
        with torch.no_grad():
            losses[scale] = task(Step(batch)).losses
        assert batch.regions is not None
        moved = max(
            float((a - b).abs().max()) for a, b in zip(batch.regions[0], given.polygons[0], strict=True)
        )
        assert moved > 1, "the regions are moved, by pixels"
    for name in ("kd_roi_features", "kd_context"):
        assert 0 <= float(losses[1.0][name]) < 1e-4 * float(losses[0.5][name])


def test_segmentation_shows_the_map_that_it_trains() -> None:
    spotter = segmentation().eval()
    given = samples.batch(spotter.charset)
    with torch.no_grad():
        shown, trained = spotter.teacher_outputs(given), spotter.forward_train(given)
    assert isinstance(shown, TrainOutput)
    assert shown.losses == {}
    torch.testing.assert_close(shown.maps["text"].logits, trained.maps["text"].logits)
    torch.testing.assert_close(shown.trace.context, spotter.recognize(given).context)
    assert shown.maps["text"].logits.shape[1:] == (128 // shown.maps["text"].stride, 192)


ON_PAGES: dict[str, Any] = {
    "backend": "segmentation",
    "options": {"preset": "tiny"},
    "data": [{"kind": "synth", "page": {"page_size": [96, 128]}}],
    "reference": 96,
    "sizes": [96],
}


def test_segmentation_is_distilled_with_its_detector(runs: Runs) -> None:
    teacher, before = segmentation(), everything(segmentation())
    runs.distill(
        "run",
        **ON_PAGES,
        steps=2,
        scales=[0.5, 1.0],
        distiller_options={"k": 2, "logit": 0.5},
        student=segmentation(),
        teacher=teacher,
    )
    assert everything(teacher) == before
    row = runs.rows("run")[-1]
    assert all(float(row[f"kd_{name}"]) >= 0 for name in ("map_text", "logit", "sequence", "context"))


SLIM = {"region_jitter": 0.0, "fpn_channels": 16, "box_features": 32, "mask_channels": (16,)}


def maskrcnn(jitter: float = 0.0) -> MaskRCNNSpotter:
    torch.manual_seed(0)
    return MaskRCNNSpotter(MaskRCNNConfig.parse({**SLIM, "region_jitter": jitter}))


def test_maskrcnn_judges_the_boxes_that_its_teacher_shows() -> None:
    spotter = maskrcnn().eval()
    given = samples.batch(spotter.charset)
    with torch.no_grad():
        shown = spotter.teacher_outputs(given)
        assert shown.box_outputs is not None
        assert all(0 < len(boxes) <= 64 for boxes in shown.box_outputs.boxes)
        asked = dataclasses.replace(given, teacher_boxes=shown.box_outputs.boxes)
        told = spotter.train().forward_train(asked).box_outputs
    assert told is not None
    torch.testing.assert_close(told.logits, shown.box_outputs.logits)
    torch.testing.assert_close(told.deltas, shown.box_outputs.deltas)
    assert spotter.forward_train(given).box_outputs is None


def test_maskrcnn_is_distilled_with_its_detector(runs: Runs) -> None:
    teacher, before = maskrcnn(), everything(maskrcnn())
    runs.distill(
        *("run",),
        backend="maskrcnn",
        options=SLIM,
        data=[{"kind": "synth", "page": {"page_size": [96, 128]}}],
        reference=96,
        sizes=[96],
        steps=2,
        scales=[0.5, 1.0],
        student=maskrcnn(),
        teacher=teacher,
    )
    assert everything(teacher) == before
    row = runs.rows("run")[-1]
    assert all(float(row[f"kd_{name}"]) >= 0 for name in ("class", "box", "sequence", "context"))


def test_the_command_runs_resumes_and_prints_the_weights(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    backends.register("tiny", Reads)
    folder = runs.folder / "run"
    Reads.create = classmethod(lambda cls, weights=None, device="cpu", **o: fresh())  # type: ignore[assignment]
    try:
        path = runs.folder / "mine.yaml"
        values = runs.config().model_dump(mode="json", serialize_as_any=True, exclude_unset=True)
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        for extra in ([], ["--resume"]):
            with pytest.raises(SystemExit) as end:
                main(["distill", str(path), "--out", str(folder), *extra])
            assert end.value.code in (0, None)
            assert capsys.readouterr().out.strip() == str(folder / "student.safetensors")
        with pytest.raises(SystemExit) as end:
            main(["distill", str(path), "--out", str(folder)])
        assert end.value.code == 1
        assert "add --resume" in capsys.readouterr().err
    finally:
        del Reads.create
        backends.unregister("tiny")


# -- other teachers, other beginnings, less time ------------------------------------------------------------


def test_a_teacher_that_spells_otherwise_is_understood() -> None:
    """The tokens of an attention decoder mean other letters to CTC: texts are what is passed on."""
    torch.manual_seed(0)
    attention, ctc = maskrcnn().eval().decoder, segmentation().eval().decoder
    assert same_tokens(attention, attention)
    assert not same_tokens(attention, ctc)
    words = ["cat", "Hello", "A1", "x"]
    tokens = attention.encode(words).reshape(2, 2, -1)
    said = Hypotheses(
        tokens, (tokens != attention.pad_id).sum(-1), torch.tensor([[-1.0, -2.0], [-1.0, -torch.inf]])
    )
    told = map_tokens(said, attention, ctc)
    assert ctc.decode(told.tokens.reshape(4, -1)) == words
    assert told.lengths.tolist() == [[3, 5], [2, 1]]
    assert told.log_probs is said.log_probs
    nobody = Hypotheses(tokens[:0], said.lengths[:0], said.log_probs[:0])
    assert map_tokens(nobody, attention, ctc).tokens.shape[0] == 0


def test_a_student_learns_from_another_backends_readings(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, student = maskrcnn(), segmentation()
    spoken: list[str] = []
    heard: list[str] = []
    search, score = teacher.decoder.beam_search, student.decoder.log_prob

    def say(context: Tensor, k: int = 3) -> Hypotheses:
        said = search(context, k)
        spoken.extend(teacher.decoder.decode(said.tokens.flatten(0, 1)))
        return said

    def hear(context: Tensor, tokens: Tensor) -> Tensor:
        heard.extend(student.decoder.decode(tokens.flatten(0, 1)))
        return score(context, tokens)

    monkeypatch.setattr(teacher.decoder, "beam_search", say)
    monkeypatch.setattr(student.decoder, "log_prob", hear)
    runs.distill(
        "run",
        **ON_PAGES,
        steps=1,
        start="random",
        scales=[1.0],
        distiller_options={"roi_features": 0, "context": 0, "k": 2},
        student=student,
        teacher=teacher,
    )
    assert float(runs.rows("run")[-1]["kd_sequence"]) >= 0
    assert any(spoken)
    assert heard == [text[: student.decoder.max_length] for text in spoken]


def test_reading_without_labels_ends_when_its_time_is_up(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlabelled = [{"kind": "images", "images": str(runs.photos / "images")}]
    how = {"data": unlabelled, "label_minutes": 1e-9}
    config = runs.config(**how)
    given = {"student": fresh(1), "teacher": fresh(0)}
    distill(config, tmp_path / "run", **given)
    there = list((tmp_path / "run" / "labels").glob("*/*.json"))
    assert len(there) == 1
    assert "are left out" in capsys.readouterr().err
    again = runs.config(**how, steps=5)
    given = {"student": fresh(1), "teacher": fresh(0)}
    assert distill(again, tmp_path / "run", resume=True, quiet=True, **given).step == 5
    assert list((tmp_path / "run" / "labels").glob("*/*.json")) == there, "what it learns from stays as it is"


def test_a_folder_that_was_not_reached_in_time_is_left_out(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = tmp_path / "single"
    single.mkdir()
    first = sorted((runs.photos / "images").iterdir())[0]
    (single / "photo.png").write_bytes(first.read_bytes())
    places = [str(runs.photos / "images"), str(single)]
    data = [{"kind": "images", "images": place} for place in places]
    config = runs.config(data=data, label_minutes=1e-9, steps=1)
    distill(config, tmp_path / "run", student=fresh(1), teacher=fresh(0))
    assert "was read in time; it is left out" in capsys.readouterr().err
    together = [{"kind": "images", "images": places}]
    distill(runs.config(data=together, steps=1), tmp_path / "both", student=fresh(1), teacher=fresh(0))
    every = len(list((runs.photos / "images").iterdir())) + 1
    assert len(list((tmp_path / "both" / "labels").glob("*/*.json"))) == every


def test_a_student_goes_on_from_the_one_that_ships(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends.register("tiny", Loads)
    try:
        runs.distill("taught", start="random")
        student = tmp_path / "taught" / "student.safetensors"
        monkeypatch.setattr(Loads, "bundled_part", lambda self, part: student if part == "student" else None)
        runs.distill("run", start="student", teacher=Loads(), steps=1, lr=1e-12, ema=0.0)
        shipped = load_file(student)
        own = load_file(tmp_path / "run" / "student.safetensors")
        for name in ("trunk.0.weight", "decoder.head.weight"):
            torch.testing.assert_close(own[name], shipped[name], rtol=0, atol=1e-6)
        monkeypatch.setattr(Loads, "bundled_part", lambda self, part: None)
        with pytest.raises(WeightsError, match="no student ships"):
            runs.distill("none", start="student", teacher=Loads(), steps=1)
    finally:
        backends.unregister("tiny")


class Loads(Reads):
    """A tiny spotter with weights from a file."""

    @classmethod
    def create(cls, weights: Any = "bundled", device: str = "cpu", **options: Any) -> Spotter:
        spotter = cls()
        if weights not in (None, "bundled"):
            spotter.load_state_dict(load_file(weights))
        return spotter
