"""The training engine: exact resumption, limits, interruptions, bad losses, averages, messages."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny_training import TinyConfig, TinySpotter, write_photos
from torch import Tensor

from dld_core.cli import main
from dld_core.data.augment import AugmentConfig
from dld_core.data.photometric import PhotometricConfig
from dld_core.data.sources import PhotosSourceConfig, SynthSourceConfig
from dld_core.errors import ConfigError, DeviceError, TrainingError, WeightsError
from dld_core.pipeline.folder import Saved
from dld_core.plugins.hooks import hooks
from dld_core.plugins.hookspecs import hookimpl
from dld_core.plugins.registry import backends
from dld_core.training import TrainConfig, TrainResult, train
from dld_core.training.checkpoint import load_batch, saved
from dld_core.training.config import InitConfig, OptimizerConfig, ValidationConfig
from dld_core.training.runtime import Clock, make_fabric


class Runs:
    """Runs of the tiny spotter on a few photos, all below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = write_photos(folder / "photos")

    def source(self) -> dict[str, Any]:
        return {"kind": "icdar", "images": str(self.photos / "images"), "gt": str(self.photos / "gt")}

    def values(self, **changes: Any) -> dict[str, Any]:
        return {
            **{"backend": "tiny", "data": [self.source()], "sizes": [64, 96], "batch_size": 2, "workers": 0},
            **{"steps": 6, "warmup_steps": 2, "log_steps": 1, "precision": "32-true", **changes},
        }

    def config(self, **changes: Any) -> TrainConfig:
        return TrainConfig.parse(self.values(**changes))

    def train(self, name: str, spotter: TinySpotter | None = None, **changes: Any) -> TrainResult:
        how = {key: changes.pop(key) for key in ("resume", "max_minutes") if key in changes}
        config = self.config(**changes)
        return train(config, self.folder / name, spotter=spotter or fresh(), quiet=True, **how)

    def state(self, name: str) -> dict[str, Tensor]:
        path = saved(self.folder / name)[-1]
        return dict(torch.load(path, weights_only=True)["model"])


def fresh(seed: int = 0) -> TinySpotter:
    torch.manual_seed(seed)
    return TinySpotter()


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


class At:
    """A hook plugin that does something after a step."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action

    @hookimpl
    def dld_step_ended(self, step: int) -> None:
        if step == self.step:
            self.action()


@pytest.fixture
def at_step() -> Iterator[Any]:
    def listen(step: int, action: Any) -> None:
        end()
        hooks.register(At(step, action), "test-at-step")

    def end() -> None:
        if "test-at-step" in hooks.plugins():
            hooks.unregister("test-at-step")

    yield listen
    end()


def stop(number: int = signal.SIGINT) -> Any:
    return lambda: os.kill(os.getpid(), number)


# -- going on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"task": "recognition"}, {"workers": 1}])
def test_resumed_run_equals_an_uninterrupted_one(runs: Runs, at_step: Any, changes: dict[str, Any]) -> None:
    straight = runs.train("straight", **changes)
    assert (straight.step, straight.reason) == (6, "steps")
    at_step(3, stop())
    assert runs.train("parts", **changes).reason == "interrupted"
    result = runs.train("parts", fresh(seed=99), resume=True, **changes)
    assert (result.step, result.words, result.reason) == (6, straight.words, "steps")
    assert equal(runs.state("straight"), runs.state("parts"))
    assert equal(load_file(straight.weights), load_file(result.weights))


def test_runs_cut_by_time_equal_an_uninterrupted_one(runs: Runs) -> None:
    runs.train("straight", steps=12)
    parts = [runs.train("parts", fresh(i), steps=12, resume=True, max_minutes=4e-4) for i in range(2)]
    assert parts[0].reason == "time"
    assert parts[0].step < 12
    runs.train("parts", fresh(9), steps=12, resume=True)
    assert equal(runs.state("straight"), runs.state("parts"))


def test_interruption_saves_and_gives_the_signals_back(runs: Runs, at_step: Any) -> None:
    before = signal.getsignal(signal.SIGTERM)
    at_step(2, stop(signal.SIGTERM))
    result = runs.train("run")
    assert (result.step, result.reason) == (2, "interrupted")
    assert result.weights.is_file()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_failing_step_saves_what_was_learnt(runs: Runs) -> None:
    spotter = fresh()
    forward, calls = spotter.forward_train, iter(range(99))

    def failing(batch: Any) -> Any:
        if next(calls) == 3:
            raise OSError("disk gone")
        return forward(batch)

    spotter.forward_train = failing  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk gone"):
        runs.train("run", spotter)
    assert runs.train("run", fresh(9), resume=True).step == 6
    runs.train("straight")
    assert equal(runs.state("straight"), runs.state("run"))


def test_a_used_folder_is_not_overwritten(runs: Runs) -> None:
    runs.train("run", steps=1)
    with pytest.raises(TrainingError, match="already holds a run; add --resume"):
        runs.train("run")


def test_resume_refuses_other_settings_but_allows_a_longer_run(runs: Runs) -> None:
    runs.train("run", steps=2)
    with pytest.raises(TrainingError, match=r"batch_size was 2, is 3; lr was 0.001, is 0.1"):
        runs.train("run", resume=True, batch_size=3, lr=0.1)
    assert runs.train("run", resume=True, steps=4, log_steps=2).step == 4


def test_old_checkpoints_go_and_damaged_ones_are_named(runs: Runs) -> None:
    runs.train("run", checkpoint_minutes=0, keep=2)
    files = saved(runs.folder / "run")
    assert [f.name for f in files] == ["step_000000005.pt", "step_000000006.pt"]
    files[-1].write_bytes(b"torn")
    with pytest.raises(TrainingError, match=r"step_000000006.pt cannot be read"):
        runs.train("run", resume=True)


def test_metrics_rows_after_the_checkpoint_are_replaced(runs: Runs) -> None:
    runs.train("run", steps=4)
    path = runs.folder / "run" / "metrics.csv"
    with path.open("a") as file:
        file.write("5,9,9\n6,9,9\n7,9")
    runs.train("run", resume=True, steps=6)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(float(row["read"]) > 0 and float(row["lr"]) > 0 for row in rows)


# -- trouble ------------------------------------------------------------------------------------------------


def test_a_bad_loss_stops_with_its_batch_and_sound_weights(runs: Runs, at_step: Any) -> None:
    spotter = fresh()
    at_step(2, lambda: setattr(spotter, "poison", True))
    with pytest.raises(TrainingError, match=r"loss of step 3 is not finite \(find 0\.\d+, read nan\)"):
        runs.train("run", spotter)
    batch = load_batch(next((runs.folder / "run").glob("nan_batch_*.pt")))
    assert len(batch) == 2
    assert all(torch.isfinite(value).all() for value in runs.state("run").values())
    at_step(2, stop())
    runs.train("two")
    assert equal(runs.state("two"), runs.state("run"))


def test_bad_steps_can_be_left_out(runs: Runs, at_step: Any) -> None:
    spotter = fresh()
    forward, calls = spotter.forward_train, iter(range(99))

    def sometimes(batch: Any) -> Any:
        spotter.poison = next(calls) in (1, 2)
        return forward(batch)

    spotter.forward_train = sometimes  # type: ignore[method-assign]
    assert runs.train("run", spotter, skip_bad_steps=2).step == 6
    calls = iter(range(99))
    with pytest.raises(TrainingError):
        runs.train("other", spotter, skip_bad_steps=1)


def test_a_bad_gradient_counts_too(runs: Runs) -> None:
    spotter = fresh()
    spotter.states.weight.register_hook(lambda grad: grad * float("inf"))
    before = {name: value.clone() for name, value in spotter.state_dict().items()}
    with pytest.raises(TrainingError, match="gradient of step 1 is not finite"):
        runs.train("run", spotter)
    assert equal(before, runs.state("run"))


def test_wrong_configs_are_explained(runs: Runs) -> None:
    for changes, message in (
        ({"lerning": 1}, "unknown key 'lerning'"),
        ({"optimizer": {"clp": 1}}, "did you mean 'clip'"),
        ({"data": []}, "at least one source"),
        ({"data": {"kind": "icdar"}}, "must be a list"),
        ({"sizes": [8]}, "32 pixels or more"),
        ({"init": {"pth": "x"}}, "did you mean 'path'"),
        ({"init": {"path": "bundled", "only": ["x"]}}, "load as they are"),
        ({"validation": {"data": [], "evry": 2}}, "did you mean 'every'"),
    ):
        with pytest.raises(ConfigError, match=message):
            runs.config(**changes)
    for changes, message in (
        ({"losses": {"raed": 1.0}}, "'losses' names raed; this task has: find, read"),
        ({"freeze": ["trnk.*"]}, r"'freeze': no parameter is named like 'trnk.\*'; some names are trunk"),
        ({"freeze": ["*"]}, "leaves nothing to learn"),
        ({"optimizer": {"lr_factors": {"x": 2}}}, "'optimizer.lr_factors': no parameter"),
        ({"schedule": "time"}, "needs a time"),
    ):
        with pytest.raises(ConfigError, match=message):
            runs.train(f"run-{message[:3]}", **changes)


def test_letters_that_the_model_lacks_are_counted_and_named(runs: Runs, capfd: Any) -> None:
    class Spells(TinySpotter):
        charset = "abcdefghij"

    labels = sorted((runs.photos / "gt").iterdir())
    labels[0].write_text(
        "8,8,40,8,40,24,8,24,\u0434\u043e\u043c\n50,50,90,50,90,66,50,66,bad", encoding="utf-8"
    )
    train(runs.config(steps=1), runs.folder / "some", spotter=Spells())
    told = capfd.readouterr().err
    assert "warning: 1 of 8 words hold" in told
    assert "'\u0434' (U+0434, 1 times)" in told
    assert "tiny lacks these characters" in told
    for path in labels:
        path.write_text("8,8,40,8,40,24,8,24,\u0434\u043e\u043c\n8,60,40,60,40,80,8,80,###", encoding="utf-8")
    with pytest.raises(ConfigError, match="no word of the data can be taught: 4 of 4 words hold"):
        train(runs.config(), runs.folder / "none", spotter=Spells(), quiet=True)
    source = {**runs.source(), "ignore_text": True}
    assert (
        train(runs.config(data=[source], steps=1), runs.folder / "places", spotter=Spells(), quiet=True).step
        == 1
    )


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
import torch
from tiny_training import TinyConfig, TinySpotter
from dld_core.errors import TrainingError
from dld_core.training import TrainConfig, train
config, out = TrainConfig.load({config!r}), Path({out!r})
spotter = TinySpotter(TinyConfig(width=64))
train(config, out, spotter=spotter, quiet=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = next((out / "checkpoints").iterdir()).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
try:
    longer = config.model_copy(update={{"steps": 4}})
    train(longer, out, spotter=spotter, resume=True, quiet=True)
except TrainingError as error:
    print(error)
"""


def test_a_full_disk_ends_a_run_in_a_sentence_and_leaves_nothing_cut(runs: Runs) -> None:
    file, out = runs.folder / "run.yaml", runs.folder / "run"
    file.write_text(json.dumps(runs.values(steps=2)))
    paths = [str(Path(__file__).parents[1])]
    script = FULL_DISK.format(paths=paths, config=str(file), out=str(out))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot write ")
    assert "go on with --resume: 1 checkpoints are whole" in done.stdout
    assert not [path for path in out.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]
    assert [path.name for path in saved(out)] == ["step_000000002.pt"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: [1, 2], "is no checkpoint of this version"),
        (lambda content: {**content, "format": 7}, "is no checkpoint of this version"),
        (lambda content: {**content, "step": "many"}, "is no checkpoint.*'step'"),
        (lambda content: {**content, "config": "[]"}, "other settings"),
        (lambda content: {**content, "model": {}}, "does not fit this run"),
        (lambda content: {**content, "optimizer": {"a": 1}}, "does not fit this run"),
    ],
)
def test_checkpoints_that_are_something_else_are_told(runs: Runs, spoil: Any, says: str) -> None:
    runs.train("run", steps=1)
    path = saved(runs.folder / "run")[-1]
    torch.save(spoil(torch.load(path, weights_only=True)), path)
    with pytest.raises(TrainingError, match=says):
        runs.train("run", resume=True)
    with pytest.raises(WeightsError):
        runs.train("other", init={"path": str(path), "only": ["nothing.*"]})


# -- weights ------------------------------------------------------------------------------------------------


def test_weights_start_from_another_model_as_far_as_they_fit(runs: Runs) -> None:
    donor = fresh(7).state_dict()
    file = runs.folder / "donor.safetensors"
    save_file(
        {
            "stem.0.weight": donor["trunk.0.weight"],
            "states.weight": torch.zeros(5, 5),
            "decoder.head.bias": torch.full((11,), 3.0),
            "stray": torch.zeros(1),
        },
        file,
    )
    spotter = fresh()
    init = {"path": str(file), "rename": {"stem.": "trunk."}}
    runs.train("run", spotter, init=init, steps=1, lr=1e-9, warmup_steps=0)
    torch.testing.assert_close(spotter.trunk[0].weight, donor["trunk.0.weight"], atol=1e-6, rtol=0)
    torch.testing.assert_close(spotter.decoder.head.bias, torch.full((11,), 3.0))
    torch.testing.assert_close(spotter.states.weight, fresh().states.weight, atol=1e-6, rtol=0)
    with pytest.raises(WeightsError, match=r"1 of another shape.*states.weight \[5, 5\] for \[12, 4\]"):
        runs.train("strict", init={**init, "partial": False})
    with pytest.raises(WeightsError, match="nothing in"):
        runs.train("nothing", init={**init, "only": ["finder.*"]})
    with pytest.raises(WeightsError, match="check the path"):
        runs.train("nowhere", init=str(runs.folder / "nowhere.safetensors"))


def test_a_run_starts_from_another_runs_folder(runs: Runs) -> None:
    first = runs.train("first")
    spotter = fresh(5)
    runs.train("second", spotter, init=str(runs.folder / "first"), steps=1, lr=1e-9, freeze=["trunk.*"])
    learnt = load_file(first.weights)
    torch.testing.assert_close(spotter.finder.weight, learnt["finder.weight"], atol=1e-6, rtol=0)


def test_bundled_weights_are_the_backends_business(runs: Runs) -> None:
    asked: list[Any] = []

    class Bundled(TinySpotter):
        @classmethod
        def create(cls, weights: Any = "bundled", device: str = "cpu", **options: Any) -> TinySpotter:
            asked.append(weights)
            return cls(cls.config_type.parse(options))

    backends.register("tiny", Bundled)
    try:
        train(runs.config(init="bundled", steps=1), runs.folder / "run", quiet=True)
        train(runs.config(steps=1, options={"width": 6}), runs.folder / "other", quiet=True)
    finally:
        backends.unregister("tiny")
    assert asked == ["bundled", None]
    assert load_file(runs.folder / "other" / "model.safetensors")["finder.weight"].shape[1] == 6


def test_frozen_parts_and_their_norms_stay(runs: Runs) -> None:
    spotter = fresh()
    before = {name: value.clone() for name, value in spotter.state_dict().items()}
    runs.train("run", spotter, freeze=["trunk.*"])
    after = spotter.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{m}.{p}" for m in ("states", "decoder.head", "finder") for p in ("weight", "bias")}


def test_the_export_is_the_average(runs: Runs) -> None:
    spotter = fresh()
    start = spotter.finder.weight.detach().clone()
    one = runs.train("one", spotter, steps=1, warmup_steps=0, ema=0.5)
    live, mean = spotter.finder.weight.detach(), load_file(one.weights)["finder.weight"]
    decay = 2 / 11  # that of the first step: (1 + 1) / (10 + 1)
    torch.testing.assert_close(mean, decay * start + (1 - decay) * live)
    none = runs.train("none", spotter, ema=0.0)
    assert equal(load_file(none.weights), {k: v.contiguous() for k, v in spotter.state_dict().items()})


def test_the_export_can_be_half_and_says_what_it_is(runs: Runs) -> None:
    wide = TinySpotter(TinyConfig(width=6))
    result = runs.train("run", half=True, spotter=wide, options={"width": 6})
    weights = load_file(result.weights)
    assert weights["finder.weight"].dtype == torch.float16
    assert weights["trunk.1.num_batches_tracked"].dtype == torch.int64
    about = Saved.load(result.out).index
    assert (about.backend, about.options, about.provenance["step"]) == ("tiny", {"width": 6}, 6)
    assert {path.name for path in result.out.iterdir() if path.is_file()} == {
        *("model.safetensors", "dld.json", "metrics.csv"),
    }
    modes = {path.stat().st_mode for path in result.out.iterdir() if path.is_file()}
    assert len(modes) == 1, "weights can be read by whoever can read the rest"


def test_norms_and_biases_do_not_decay(runs: Runs) -> None:
    spotter = fresh()
    with torch.no_grad():
        spotter.trunk[1].weight.fill_(2.0)
    decay = {"weight_decay": 0.5, "lr_factors": {"finder.*": 0.0}}
    kept = spotter.finder.weight.detach().clone()
    silent = {"losses": {"read": 0, "find": 0}}
    runs.train("run", spotter, steps=1, lr=0.1, warmup_steps=0, optimizer=decay, **silent)
    assert torch.equal(spotter.trunk[1].weight, torch.full((4,), 2.0))
    assert torch.equal(spotter.finder.weight, kept)
    torch.testing.assert_close(spotter.states.weight, fresh().states.weight * 0.95)


# -- looking ------------------------------------------------------------------------------------------------


def test_validation_disturbs_nothing_and_keeps_the_best(runs: Runs) -> None:
    runs.train("without")
    look = {"data": [runs.source()], "every": 2, "samples": 3, "batch_size": 2, "end_to_end": True}
    result = runs.train("with", validation={**look, "best": "word_accuracy"})
    assert equal(runs.state("without"), runs.state("with"))
    for name in ("find", "read", "word_accuracy", "detection", "end_to_end"):
        assert f"val/{name}" in result.metrics
    assert result.metrics["val/end_to_end"] == 0.0
    best = Saved.load(result.out / "best").index
    assert best.provenance["step"] == 2
    with pytest.raises(ConfigError, match=r"'validation.best': there is no 'acc'; there are find, read"):
        runs.train("other", validation={**look, "best": "acc"})


def test_it_learns(runs: Runs) -> None:
    plain = {**runs.source(), "augment": False}
    look = {"data": [runs.source()], "every": 150, "samples": 4}
    changes = {"data": [plain], "steps": 150, "lr": 0.05, "ema": 0.9, "batch_size": 4, "validation": look}
    result = runs.train("run", **changes, log_steps=50)
    assert result.metrics["word_accuracy"] > 0.4  # the four words, of those and "bad"
    assert result.metrics["read"] < 1.5


def test_learning_rate_warms_up_and_falls_along_a_cosine(runs: Runs) -> None:
    runs.train("run", steps=20, final_lr=0.1, lr=1e-3, warmup_steps=4)
    with (runs.folder / "run" / "metrics.csv").open(newline="") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates[0] == pytest.approx(2.5e-4)
    assert rates[10] == pytest.approx(5.5e-4)
    assert rates[19] == pytest.approx(1e-4, rel=0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_the_clock_counts_all_parts_of_a_run(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = Clock(runs.config(schedule="time", steps=1000), elapsed=60.0, max_minutes=1.0)
    assert clock.progress(0) == pytest.approx(0.5)
    now[0] += 30
    assert (clock.progress(0), clock.left(0), clock.over) == (pytest.approx(0.75), pytest.approx(30), False)
    assert clock.progress(900) == pytest.approx(0.9)  # the steps may end a run first
    now[0] += 30
    assert clock.over
    by_steps = Clock(runs.config(steps=10, max_minutes=1.5), elapsed=60.0, max_minutes=None)
    assert by_steps.progress(5) == 0.5
    assert by_steps.done(5) == pytest.approx(60 / 90)


# -- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def registered() -> Iterator[None]:
    backends.register("tiny", TinySpotter)
    yield
    backends.unregister("tiny")


def call(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capfd.readouterr()
    return code, said.out, said.err


@pytest.mark.usefixtures("registered")
def test_the_command_trains_and_prints_the_weights(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    file = runs.folder / "run.yaml"
    file.write_text(json.dumps(runs.values()))
    arguments = ("train", str(file), "--out", str(runs.folder / "run"))
    code, out, err = call(capfd, *arguments)
    assert code == 0
    assert Path(out.strip()).is_file()
    assert "step 1 (16.7%): loss" in err
    code, out, err = call(capfd, *arguments)
    assert (code, out) == (1, "")
    assert "add --resume" in err
    file.write_text("backend: tiny\nsteps: [")
    assert call(capfd, *arguments)[0] == 2


DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_documentation_names_every_setting() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    models = (TrainConfig, OptimizerConfig, ValidationConfig, AugmentConfig, PhotometricConfig)
    fields = [
        name for model in (*models, SynthSourceConfig, PhotosSourceConfig) for name in model.model_fields
    ]
    assert [name for name in fields if f"`{name}`" not in text] == []
    assert "`{path, partial, rename, only}`" in text
    assert set(InitConfig.model_fields) == {"path", "partial", "rename", "only"}


def test_the_documented_configs_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        assert TrainConfig.parse(yaml.safe_load(block)).backend == "maskrcnn"


@pytest.mark.parametrize("accelerator", ["cuda:99", "cuda:x", "toaster"])
def test_an_absent_device_is_told(accelerator: str) -> None:
    with pytest.raises((DeviceError, ConfigError)):
        make_fabric(
            TrainConfig.parse({"backend": "x", "data": [{"kind": "synth"}], "accelerator": accelerator}), None
        )
