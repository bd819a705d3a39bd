"""`dld distill` with a selector: alone for any spotter, after a student, and learning with it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bar_spotter import NETWORK, SCALES, BarSpotter, page, photos, small, written
from cli_runner import Run, runner
from safetensors.torch import load_file, save_file

from dld_backends.maskrcnn import MaskRCNNConfig, MaskRCNNSpotter
from dld_backends.segmentation import SegmentationConfig, SegmentationSpotter
from dld_core import DLDWrapper
from dld_core.config import read_yaml
from dld_core.errors import ConfigError
from dld_core.plugins.hooks import hooks
from dld_core.plugins.hookspecs import hookimpl
from dld_core.plugins.registry import backends
from dld_core.runtimes.norms import switch_norms
from dld_core.selection import DenseSelector
from dld_core.study import StudyConfig
from dld_core.study.ablation import AblationConfig
from dld_core.training import TrainConfig
from dld_core.training.distill.config import DistillConfig
from dld_core.training.distill.engine import distill
from dld_core.training.selector.config import JointConfig, SelectorRunConfig
from dld_core.training.selector.joint import JointSelection
from dld_core.types import RecognitionTrace


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def _bars() -> Iterator[None]:
    backends.register("bars", BarSpotter)
    yield
    backends.unregister("bars")


@pytest.mark.usefixtures("_bars")
def test_a_black_box_gets_a_selector_from_photos_without_labels(run: Run, tmp_path: Path) -> None:
    source = {"kind": "auto", "gt": None, "images": str(photos(tmp_path / "photos"))}
    measured = {"data": [source], "images": 10, "runs": 2, "labels": "none"}
    selector = {**NETWORK, "scales": list(SCALES), "measured": measured, "fit": {"steps": 20}}
    config = written(tmp_path / "mine.yaml", {"backend": "bars", "selector": selector})
    code, out, err = run("distill", config, "--out", tmp_path / "run")
    assert code == 0, err
    path = tmp_path / "run" / "selector.safetensors"
    assert out.strip() == str(path)
    assert "words lost per image" in err
    record = json.loads((tmp_path / "run" / "selector.json").read_text())
    assert record["fixed"][-1]["hmean"] == 1.0  # its own reading at full scale stands for the truth
    assert DLDWrapper("bars", selector=path).spot(page([50]).image).scale in SCALES


def test_a_student_and_its_selector_learn_together(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = SegmentationSpotter(SegmentationConfig.parse({"preset": "tiny"}))
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    pages = {"kind": "synth", "page": {"page_size": [96, 128], "words": [2, 4]}}
    values = {
        "backend": "segmentation",
        "options": {"preset": "tiny", "reference_short_side": 96},
        "teacher": str(tmp_path / "teacher.safetensors"),
        **{"data": [pages], "sizes": [96], "batch_size": 2, "steps": 3, "workers": 0, "warmup_steps": 1},
        **{"scales": [0.5, 1.0], "read_others": True, "log_steps": 1},
        "joint": {"mode": "expected", "gamma": 0.3},
        "selector": {**NETWORK, "measured": {"data": [pages], "images": 4}, "fit": {"steps": 5}},
    }
    code, out, err = run("distill", written(tmp_path / "joint.yaml", values), "--out", tmp_path / "run")
    assert code == 0, err
    assert out.strip().endswith("student.safetensors")
    assert "selection" in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    torch.manual_seed(0)
    files = {path.name for path in (tmp_path / "run").iterdir() if path.suffix == ".safetensors"}
    assert files == {"model.safetensors", "student.safetensors", "selector.safetensors"}
    kept = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in teacher.state_dict().items())
    with DLDWrapper(
        "segmentation", tmp_path / "run", preset="tiny", reference_short_side=96
    ) as dld:  # teacher, student and selector are found in the folder
        assert dld.teacher is not dld.spotter
        assert dld.scale == "auto"
        assert dld.spot(page([30]).image).scale in (0.5, 1.0)


class Taught(BarSpotter):
    decoder = SimpleNamespace(counted_steps=lambda logits, targets: targets == 0)


def joint_loss(mode: str) -> tuple[JointSelection, Callable[..., torch.Tensor]]:
    """A selection over two scales, and its loss of two images: the first's two words are JOINT_LOGITS."""
    torch.manual_seed(0)
    selection = JointSelection(
        DenseSelector(small(scales=[0.5, 1.0])),
        Taught(),  # type: ignore[arg-type]
        JointConfig.parse({"mode": mode, "gamma": 0.5}),
    )

    def trace(values: torch.Tensor) -> RecognitionTrace:
        nothing = torch.zeros(2, 1, 1, 1)
        return RecognitionTrace(
            nothing, nothing[..., 0], values, torch.zeros(2, 1).long(), torch.tensor([0, 0])
        )

    students = {0.5: trace(torch.zeros(2, 1, 2)), 1.0: trace(JOINT_LOGITS)}
    teacher = trace(JOINT_LOGITS)
    return selection, lambda progress=0.0: selection(teacher, students, JOINT_IMAGES, progress)["selection"]


JOINT_LOGITS = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
JOINT_IMAGES = [torch.zeros(3, 96, 128, dtype=torch.uint8)] * 2


def test_the_joint_loss_counts_divergence_and_cost_by_image() -> None:
    selection, loss_of = joint_loss("expected")
    logits, images, loss = JOINT_LOGITS, JOINT_IMAGES, loss_of()
    p = logits[:, 0].softmax(1)
    divergence = float((p * (p.log() - torch.tensor(0.5).log())).sum())
    scores = selection._expected(torch.stack(images))
    cheap = (1e5 * 48 * 64 + 1e7) / (1e5 * 96 * 128 + 1e7)
    costs = torch.tensor([cheap, 1.0])
    chance = (-3.0 * (scores + 0.5 * costs)).softmax(1)
    lost = torch.tensor([[divergence, 0.0], [0.0, 0.0]])
    by_hand = (chance * (lost + 0.5 * costs)).sum(1).mean()
    torch.testing.assert_close(loss, by_hand)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in selection.parameters())


def test_the_joint_selection_cools_down_as_the_run_goes_on() -> None:
    selection, loss_of = joint_loss("paper")
    found = []
    for progress in (0.0, 1.0):
        torch.manual_seed(1)
        selection.zero_grad()
        loss_of(progress).backward()
        found.append(torch.cat([p.grad.flatten() for p in selection.parameters() if p.grad is not None]))
    assert found[0].abs().sum() > 0
    assert not torch.allclose(found[0], found[1], rtol=0.05)


def test_a_teacher_of_another_decoder_is_built_once_and_prices_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CTC's logits say nothing to attention's: accuracy is then the likelihood of the teacher's reading."""
    torch.manual_seed(0)
    slim = {"fpn_channels": 16, "box_features": 32, "mask_channels": [16], "reference_short_side": 96}
    save_file(MaskRCNNSpotter(MaskRCNNConfig.parse(slim)).state_dict(), tmp_path / "teacher.safetensors")
    made: list[str] = []
    create = MaskRCNNSpotter.create

    def counted(cls: Any, *given: Any, **options: Any) -> Any:
        made.append("teacher")
        spotter = create(*given, **options)
        spotter.flops = None  # to be asked for its cost would be an error
        return spotter

    monkeypatch.setattr(MaskRCNNSpotter, "create", classmethod(counted))
    pages = {"kind": "synth", "page": {"page_size": [96, 128], "words": [2, 4]}}
    config = DistillConfig.parse(
        {
            "backend": "segmentation",
            "options": {"preset": "tiny", "reference_short_side": 96},
            "teacher": {
                **{"backend": "maskrcnn", "options": slim},
                "weights": str(tmp_path / "teacher.safetensors"),
            },
            **{"data": [pages], "sizes": [96], "batch_size": 2, "steps": 2, "workers": 0, "start": "random"},
            **{"scales": [0.5, 1.0], "read_others": True, "joint": {"mode": "expected"}, "log_steps": 1},
            "distiller_options": {"roi_features": 0, "context": 0},
            "selector": {**NETWORK},
        }
    )
    result = distill(config, tmp_path / "run", quiet=True)
    assert made == ["teacher"]
    assert result.metrics["selection"] > 0
    files = {path.name for path in (tmp_path / "run").iterdir() if path.suffix == ".safetensors"}
    assert files == {"student.safetensors", "selector.safetensors"}, "its teacher is of another kind"
    wrapper = DLDWrapper("segmentation", tmp_path / "run", **config.options)
    assert (wrapper.scale, wrapper.teacher) == ("auto", wrapper.spotter)


def test_a_joint_selector_wants_to_see_its_scales() -> None:
    base = {"backend": "x", "data": [{"kind": "synth"}], "joint": {}}
    with pytest.raises(ConfigError, match="needs a 'selector'"):
        DistillConfig.parse(base)
    with pytest.raises(ConfigError, match="compares scales"):
        DistillConfig.parse({**base, "scales": [0.5, 1.0], "selector": {"scales": [0.5, 1.0]}})


@pytest.mark.usefixtures("_bars")
def test_a_wrapper_is_fitted_to_a_folder_of_photos(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    said: list[str] = []
    with DLDWrapper("bars") as dld:
        small_one = {**NETWORK, "scales": SCALES, "fit": {"steps": 5}}
        fitted = dld.distill(folder, tmp_path / "run", say=said.append, **small_one)
        assert (dld.scale, fitted.scale) == ("full", "auto")
        assert any("10 images" in line or "words lost" in line for line in said)
        with pytest.raises(ConfigError, match="only predicts"):
            dld.distill(folder, tmp_path / "other", student=True)
        with pytest.raises(ConfigError, match="register it"):
            DLDWrapper(BarSpotter()).distill(folder, tmp_path / "other")


def test_a_student_is_fitted_to_photos_without_labels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = photos(tmp_path / "photos", count=5)
    options = {"preset": "tiny", "reference_short_side": 96}
    teacher = SegmentationSpotter(SegmentationConfig.parse(options))
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    dld = DLDWrapper("segmentation", tmp_path / "teacher.safetensors", **options)
    fitted = dld.distill(
        folder,
        tmp_path / "run",
        **{
            "steps": 2,
            "schedule": "steps",
            "sizes": [96],
            "batch_size": 2,
            "workers": 0,
            "scales": [0.5, 1.0],
        },
        selector={
            **NETWORK,
            "measured": {"data": [{"kind": "images", "images": str(folder)}], "images": 5, "labels": "none"},
            "fit": {"steps": 2},
        },
    )
    assert fitted.scale == "auto"
    own, taught = dld.spotter.state_dict(), fitted.spotter.state_dict()  # type: ignore[attr-defined]
    assert any(not torch.equal(own[name], taught[name]) for name in own)


def test_norms_per_scale_are_found_and_used_by_the_scale_that_is_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"preset": "tiny", "reference_short_side": 96, "region_threshold": 0.0, "map_threshold": 0.05}
    options["word_threshold"] = 0.0
    spotter = switch_norms(SegmentationSpotter(SegmentationConfig.parse(options)), [0.5, 1.0])
    state = {name: value.clone() for name, value in spotter.state_dict().items()}
    plain = {name: value for name, value in state.items() if ".sets." not in name}
    bright = {name: value * 3 if name.endswith("sets.0_5.weight") else value for name, value in state.items()}
    for name, values in {"plain": plain, "same": state, "bright": bright}.items():
        save_file(values, tmp_path / f"{name}.safetensors")
    image = page([30, 50]).image
    read = {
        name: [
            DLDWrapper("segmentation", tmp_path / f"{name}.safetensors", **options).spot(image, scale=scale)
            for scale in (0.5, 1.0)
        ]
        for name in ("plain", "same", "bright")
    }
    words = {name: [[w.polygon for w in p.words] for p in pages] for name, pages in read.items()}
    assert words["plain"] == words["same"]
    assert words["bright"][1] == words["same"][1]
    assert words["bright"][0] != words["same"][0]


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "docs" / "recipes").glob("*.yaml")))
def test_every_recipe_is_valid(path: Path) -> None:
    values = read_yaml(path)
    if "systems" in values:
        assert all(system.backend in backends.names() for system in StudyConfig.load(path).systems.values())
        return
    runs = AblationConfig.load(path).runs(path.parent).values() if "base" in values else [values]
    for run in runs:
        kind = SelectorRunConfig if "data" not in run else DistillConfig if "teacher" in run else TrainConfig
        assert kind.parse(run).backend in backends.names()


# -- from Python --------------------------------------------------------------------------------------------


QUICK = {"steps": 2, "schedule": "steps", "sizes": [96], "batch_size": 2, "workers": 0, "scales": [0.5, 1.0]}


def tiny_wrapper(folder: Path) -> DLDWrapper:
    torch.manual_seed(0)
    options = {"preset": "tiny", "reference_short_side": 96}
    teacher = SegmentationSpotter(SegmentationConfig.parse(options))
    save_file(teacher.state_dict(), folder / "teacher.safetensors")
    return DLDWrapper("segmentation", folder / "teacher.safetensors", "cpu", **options)


def test_what_a_wrapper_asks_of_its_distillation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device, the time and the student in use, of photos given as a list."""
    asked: list[DistillConfig] = []

    def pretend(config: DistillConfig, out: Path, **rest: Any) -> SimpleNamespace:
        asked.append(config)
        return SimpleNamespace(reason="done")

    monkeypatch.setattr("dld_core.training.distill.engine.distill", pretend)
    paths = sorted(photos(tmp_path / "photos", count=3).iterdir())
    dld = DLDWrapper("segmentation", device="cpu")
    dld.distill(paths, tmp_path / "run", minutes=10)
    config = asked[0]
    (source,) = config.data
    assert source.images == tuple(str(path) for path in paths)  # type: ignore[attr-defined]
    assert (config.start, config.teacher.weights, config.accelerator) == ("student", "bundled", "cpu")
    assert config.label_minutes == pytest.approx(2)
    assert config.max_minutes == pytest.approx(4)
    assert config.options["region_jitter"] == 0.04
    assert config.selector is not None
    assert config.selector.measured.labels == "none"

    dld.save(tmp_path / "saved")
    DLDWrapper.load(tmp_path / "saved").distill({"kind": "synth"}, tmp_path / "again", minutes=10)
    config = asked[1]
    assert config.options["region_jitter"] == 0.04, "the saved options name those that nobody chose, too"
    assert config.teacher.weights == str(tmp_path / "saved" / "teacher.safetensors")
    assert config.init is not None
    assert config.init.path == str(tmp_path / "saved" / "model.safetensors")
    assert config.max_minutes == pytest.approx(6)
    assert config.selector is not None
    assert config.selector.measured.labels == "given"

    tiny_wrapper(tmp_path).distill(paths, tmp_path / "third")
    assert asked[2].start == "teacher"


def test_labels_are_used_where_some_photos_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DistillConfig] = []
    monkeypatch.setattr(
        "dld_core.training.distill.engine.distill",
        lambda config, out, **rest: (asked.append(config), SimpleNamespace(reason="done"))[1],
    )
    labelled = {"kind": "icdar", "images": "a", "gt": "b"}
    bare, clutter = {"kind": "images", "images": "c"}, {"kind": "auto", "images": "d", "gt": None}
    dld = tiny_wrapper(tmp_path)
    for data, kinds, labels in (
        ([labelled, bare, {"kind": "synth"}], ["icdar"], "given"),
        ([bare, {"kind": "synth"}, clutter], ["images"], "none"),
    ):
        dld.distill(data, tmp_path / "run")
        assert asked[-1].selector is not None
        measured = asked[-1].selector.measured
        assert ([source.kind for source in measured.data], measured.labels) == (kinds, labels)


def test_a_list_of_photos_may_hold_a_bad_one(tmp_path: Path) -> None:
    paths = sorted(photos(tmp_path / "photos", count=5).iterdir())
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    listed = [*map(str, paths), str(bad)]
    measured = {"data": [{"kind": "images", "images": listed}], "images": 6, "labels": "none"}
    fitted = tiny_wrapper(tmp_path).distill(
        [*paths, bad],
        tmp_path / "run",
        **QUICK,
        selector={**NETWORK, "measured": measured, "fit": {"steps": 2}},
    )
    assert fitted.scale == "auto"
    assert len(list((tmp_path / "run" / "labels").glob("*/*.json"))) == 6


def test_an_interrupted_distillation_says_so_and_goes_on(tmp_path: Path) -> None:
    folder, dld = photos(tmp_path / "photos", count=5), tiny_wrapper(tmp_path)
    measured = {"data": [{"kind": "images", "images": str(folder)}], "images": 5, "labels": "none"}
    settings = {**QUICK, "selector": {**NETWORK, "measured": measured, "fit": {"steps": 2}}}

    class Stop:
        @hookimpl
        def dld_step_ended(self, step: int) -> None:
            if step == 1:
                os.kill(os.getpid(), signal.SIGINT)

    stop = Stop()
    hooks.register(stop, "stop")
    try:
        with pytest.raises(KeyboardInterrupt):
            dld.distill(folder, tmp_path / "run", **settings)
    finally:
        hooks.unregister("stop")
    assert not (tmp_path / "run" / "selector.safetensors").exists()
    assert dld.distill(folder, tmp_path / "run", **settings).scale == "auto"


@pytest.mark.parametrize("data", [None, 5, [], [1, 2]])
def test_data_of_no_kind_is_refused_with_what_would_do(tmp_path: Path, data: Any) -> None:
    with pytest.raises(ConfigError, match="a list of their paths"):
        tiny_wrapper(tmp_path).distill(data, tmp_path / "run")


@pytest.mark.parametrize("key", ["joint", "selector", "teacher", "validation"])
def test_a_section_that_is_no_mapping_is_told(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: must be a mapping of options, not True"):
        DistillConfig.parse({"backend": "x", "data": [{"kind": "synth"}], key: True})


def test_a_student_may_have_a_selector_that_only_looked_at_pages(run: Run, tmp_path: Path) -> None:
    """It is made, as it is where a selector alone is asked for."""
    tiny_wrapper(tmp_path)
    source = {"kind": "synth", "page": {"page_size": [96, 128], "words": [2, 4]}}
    values = {
        **QUICK,
        "backend": "segmentation",
        "options": {"preset": "tiny", "reference_short_side": 96},
        "teacher": str(tmp_path / "teacher.safetensors"),
        "data": [source],
        "selector": {**NETWORK, "pages": {"data": [source], "images": 2, "zooms": 0}, "fit": {"steps": 2}},
    }
    code, _, err = run("distill", written(tmp_path / "c.yaml", values), "--out", tmp_path / "run")
    assert code == 0, err
    assert (tmp_path / "run" / "selector.safetensors").is_file()
