"""The segmentation spotter as ONNX: equal to torch, in float and int8, and without torch while it reads."""

from __future__ import annotations

import builtins
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from cli_runner import Run, runner
from safetensors.torch import save_file

from dld_backends.maskrcnn import MaskRCNNSpotter
from dld_backends.segmentation import SegmentationSpotter
from dld_core.cli import main
from dld_core.cli.calibration import calibration_pages
from dld_core.decoders.roi_sampling import region_grids
from dld_core.errors import ConfigError, MissingExtraError, WeightsError
from dld_core.pipeline.wrapper import DLDWrapper
from dld_core.testing import SpotterContract, samples

onnx = pytest.importorskip("onnx", reason="needs the extra dld[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra dld[onnx]")
pytest.importorskip("onnxscript", reason="needs the extra dld[onnx]")

# Regions and readings of random weights are never sure.
OPTIONS: dict[str, Any] = {
    "max_words": 12,
    "map_threshold": 0.3,
    "region_threshold": 0.3,
    "word_threshold": 0.0,
}


class Exported(NamedTuple):
    """Files of one export, and the weights that they were made from."""

    weights: Path
    file: Path
    int8: Path


def _lively(weights: Path | None = None) -> SegmentationSpotter:
    """Random weights for which regions and readings differ from place to place, or those of a file."""
    torch.manual_seed(0)
    spotter: SegmentationSpotter = SegmentationSpotter.create(weights=weights, preset="tiny", **OPTIONS)
    if weights is not None:
        return spotter
    for module in spotter.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of one batch
    with torch.no_grad():
        spotter.train().forward_train(samples.batch(spotter.charset))
        spotter.head.text[-1].weight.mul_(4)
        spotter.reader.decoder.classify.weight.mul_(20)
    return spotter.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One export by the command line, in float and in int8."""
    folder = tmp_path_factory.mktemp("export")
    save_file(_lively().state_dict(), folder / "lively.safetensors")
    (folder / "pages").mkdir()
    for index in range(2):
        picture = samples.page(120, 160, seed=index).permute(1, 2, 0).numpy()
        cv2.imwrite(str(folder / "pages" / f"{index}.png"), picture[:, :, ::-1])
    printed: list[str] = []
    given = ["--weights", folder / "lively.safetensors", "--preset", "tiny", "--out", folder / "made"]
    arguments = ["export", "--backend", "segmentation", *given, "--int8", "--calibrate", folder / "pages"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.echo", printed.append)
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    assert not ended.value.code
    assert [Path(line).name for line in printed] == ["segmentation-tiny.onnx", "segmentation-tiny.int8.onnx"]
    return Exported(folder / "lively.safetensors", Path(printed[0]), Path(printed[1]))


def _run(file: Path, **inputs: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


# --- the graphs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 96), (3, 160, 64)])
@torch.no_grad()
def test_outputs_equal_those_of_torch(exported: Exported, batch: int, height: int, width: int) -> None:
    model = _lively(exported.weights)
    generator = torch.Generator().manual_seed(batch)
    images = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)
    maps = model.reading_maps(images)
    probability, shared, detail = _run(exported.file, images=images.numpy())
    assert maps.detail is not None
    for found, wanted in (
        (probability, model.head.probability(maps.fine)),
        (shared, maps.fine),
        (detail, maps.detail),
    ):
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-3, rtol=0)
    quad = np.array([[4, 5], [60, 9], [58, 25], [3, 21]], np.float32)
    regions = [[quad + shift for shift in (0, 7.5)] for _ in range(batch)]
    points = np.stack([region_grids(own, *model.config.roi_size) for own in regions])
    reader = exported.file.with_suffix(".reader.onnx")
    (log_probs,) = _run(reader, shared=shared, detail=detail, points=points)
    context = model.reader.states(maps, regions).context
    wanted = model.decoder.logits(context, torch.zeros(1, 1)).log_softmax(-1)
    assert log_probs.shape == (batch, 2, model.config.roi_size[1], len(model.charset) + 1)
    np.testing.assert_allclose(log_probs.reshape(wanted.shape), wanted.numpy(), atol=1e-3, rtol=0)


def test_files_tell_what_they_are_and_nothing_of_where_they_were_made(exported: Exported) -> None:
    for file, part, precision in (
        (exported.file, "detector", "float32"),
        (exported.int8.with_suffix(".reader.onnx"), "reader", "int8"),
    ):
        said = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        assert (said["dld_backend"], said["dld_part"], said["dld_precision"]) == (
            "segmentation",
            part,
            precision,
        )
        content = file.read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in content
        assert b"site-packages" not in content


def test_int8_is_smaller_and_sees_much_the_same(exported: Exported) -> None:
    sizes = [
        sum(f.stat().st_size for f in (file, file.with_suffix(".reader.onnx")))
        for file in (exported.file, exported.int8)
    ]
    assert sizes[1] < 0.6 * sizes[0]
    image = samples.page(120, 160)[None, :, :96, :].numpy()
    float_map, int8_map = (_run(file, images=image)[0] for file in (exported.file, exported.int8))
    # random weights blow rounding up from layer to layer; of a wrong graph nothing would be left
    assert np.corrcoef(float_map.ravel(), int8_map.ravel())[0, 1] > 0.4
    assert SegmentationSpotter.create(weights=exported.int8, **OPTIONS).predict(samples.pages())


# --- the spotter ---------------------------------------------------------------------------------


class TestContracts(SpotterContract):
    """Every contract of a spotter, for the exported one."""

    @pytest.fixture(autouse=True)
    def _take(self, exported: Exported) -> None:
        self.file = exported.file

    def make(self) -> Any:
        return SegmentationSpotter.create(weights=self.file, **OPTIONS)


def test_the_wrapper_reads_the_same_words(exported: Exported) -> None:
    page = samples.page(200, 300).permute(1, 2, 0).numpy()
    options = {**OPTIONS, "reference_short_side": 200}
    with (
        DLDWrapper("segmentation", exported.weights, preset="tiny", scale="full", **options) as torch_one,
        DLDWrapper("segmentation", exported.file, scale="full", **options) as onnx_one,
    ):
        wanted, found = torch_one.spot(page), onnx_one.spot(page)
    assert len({word.text for word in wanted.words}) > 1
    assert [word.text for word in found.words] == [word.text for word in wanted.words]
    for own, other in zip(found.words, wanted.words, strict=True):
        assert own.score == pytest.approx(other.score, abs=1e-3)
        np.testing.assert_allclose(own.polygon, other.polygon, atol=0.1)
    assert (found.weights, found.device, found.gflops) == (exported.file.name, "cpu", wanted.gflops)


_COUNTING = """
import sys
import torch
from torch.overrides import TorchFunctionMode
from dld_backends.segmentation import SegmentationSpotter
from dld_core.testing import samples

called = []

class Count(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        called.append(getattr(function, "__name__", str(function)))
        return function(*args, **(kwargs or {}))

spotter = SegmentationSpotter.create(weights=sys.argv[1], **eval(sys.argv[2]))
images = samples.pages()
with Count():
    torch.zeros(1).add(1)  # so that an empty list means something
    seen, called = called, []
    words = spotter.predict(images)
print(sorted(set(seen)), sorted(set(called)), all(words))
"""


def test_no_torch_function_is_called_while_it_reads(exported: Exported) -> None:
    command = [sys.executable, "-c", _COUNTING, str(exported.file), repr(OPTIONS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ.copy())
    assert done.stdout.strip() == "['add', 'zeros'] ['numpy'] True", done.stderr


def test_options_of_the_graphs_cannot_be_changed(exported: Exported) -> None:
    with pytest.raises(ConfigError, match=r"shrink_ratio is 0\.4 in the exported file"):
        SegmentationSpotter.create(weights=exported.file, shrink_ratio=0.5)
    with pytest.raises(ConfigError, match="preset is 'tiny'"):
        SegmentationSpotter.create(weights=exported.file, preset="small")
    with pytest.raises(ConfigError, match="did you mean 'unclip'"):
        SegmentationSpotter.create(weights=exported.file, unclp=1.0)


def test_a_saved_wrapper_finds_its_file_again(exported: Exported, tmp_path: Path) -> None:
    made = DLDWrapper("segmentation", exported.file, **OPTIONS)
    made.save(tmp_path / "saved")
    with DLDWrapper.load(tmp_path / "saved") as again:
        assert again.spotter.config == made.spotter.config


# --- what can go wrong ---------------------------------------------------------------------------


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _text(file: Path) -> None:
    file.write_text("these are no weights\n" * 40)


def _alone(file: Path) -> None:
    file.with_suffix(".reader.onnx").unlink()


def _halves_of_two(file: Path) -> None:
    _described(file, "dld_weights", "0123456789abcdef")


def _newer(file: Path) -> None:
    _described(file, "dld_format", "99")


def _odd_options(file: Path) -> None:
    for half in (file, file.with_suffix(".reader.onnx")):
        _described(half, "dld_config", '{"unknown": 1}')


def _described(file: Path, key: str, value: str) -> None:
    model = onnx.load(file)
    next(entry for entry in model.metadata_props if entry.key == key).value = value
    onnx.save(model, file)


def _foreign(file: Path) -> None:
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, file)


def _swapped(file: Path) -> None:
    shutil.copy(file.with_suffix(".reader.onnx"), file)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_truncated, "not a readable ONNX file"),
        (_empty, "not a readable ONNX file"),
        (_text, "not a readable ONNX file"),
        (_alone, "both files"),
        (_halves_of_two, "different exports"),
        (_newer, "another format"),
        (_odd_options, "damaged"),
        (_foreign, "was not written by"),
        (_swapped, "wrong half"),
    ],
)
def test_bad_files_are_told(
    exported: Exported, tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    file = tmp_path / "copy.onnx"
    shutil.copy(exported.file, file)
    shutil.copy(exported.file.with_suffix(".reader.onnx"), file.with_suffix(".reader.onnx"))
    damage(file)
    with pytest.raises(WeightsError, match=told):
        SegmentationSpotter.create(weights=file)


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no .*nothing.onnx; check the path"):
        SegmentationSpotter.create(weights=tmp_path / "nothing.onnx")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.mark.parametrize("absent", ["onnxruntime", "onnxscript", "onnx"])
def test_the_missing_extra_is_told(
    run: Run, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    importing = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == absent:
            raise ImportError(f"No module named {absent!r}", name=absent)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    made = ["--backend", "segmentation", "--preset", "tiny", "--weights", "none", "--out", tmp_path]
    code, out, err = run("export", *made)
    assert (code, out) == (4, "")
    assert 'pip install "dld[onnx]"' in err
    if absent == "onnxruntime":
        with pytest.raises(MissingExtraError, match=r'pip install "dld\[onnx\]"'):
            SegmentationSpotter.create(weights=exported.file)


def test_what_cannot_be_exported_is_told(
    run: Run, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run("export", "--backend", "segmentation", "--weights", exported.file, "--out", tmp_path)
    assert (code, "cannot be exported" in err) == (2, True)
    code, _, err = run("export", "--backend", "segmentation", "--calibrate", tmp_path, "--out", tmp_path)
    assert (code, "--int8" in err) == (2, True)
    monkeypatch.setattr(MaskRCNNSpotter, "bundled_part", lambda *_: None)
    code, _, err = run("export", "--backend", "maskrcnn", "--weights", "student", "--out", tmp_path)
    assert (code, "no student ships with maskrcnn" in err) == (2, True)


# --- calibration ---------------------------------------------------------------------------------


def test_calibration_takes_rendered_pages_or_images_at_the_size_they_are_read_at(exported: Exported) -> None:
    rendered = calibration_pages(None, 64, count=2)
    assert [page.shape for page in rendered] == [(64, 85, 3)] * 2
    assert not np.array_equal(*rendered)
    given = calibration_pages(str(exported.weights.parent / "pages"), 60, count=5)
    assert [page.shape for page in given] == [(120, 160, 3)] * 2  # never below their own size
