"""`dld bench` and `dld evaluate` with a backend: measured with a small spotter that really computes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_runner import Run, runner
from fake_spotters import NativeSpotter, RedSpotter, red_words
from PIL import Image
from torch import Tensor

from dld_core.errors import ConfigError, DataError
from dld_core.evaluation.fixed import FixedScale, parse_scales
from dld_core.evaluation.reading import annotated_images
from dld_core.plugins.registry import backends
from dld_core.runtimes.devices import cpu_threads
from dld_core.study.bench import bench
from dld_core.types import Word


class ConvSpotter(RedSpotter):
    """Finds red rectangles and computes a convolution besides, whose cost it knows."""

    reference_short_side = 90

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        for image in images:
            torch.nn.functional.conv2d(image[None].float(), torch.ones(8, 3, 3, 3), padding=1)
        self.seen.append([tuple(image.shape) for image in images])
        return [[Word("RED", w.score, w.polygon) for w in red_words(image)] for image in images]

    def flops(self, height: int, width: int, words: int = 0) -> float:
        return 2.0 * 8 * 27 * height * width


class BoastfulSpotter(ConvSpotter):
    """Declares half of what it costs."""

    def flops(self, height: int, width: int, words: int = 0) -> float:
        return super().flops(height, width, words) / 2


class QuietSpotter(ConvSpotter):
    """Declares nothing."""

    def flops(self, height: int, width: int, words: int = 0) -> None:  # type: ignore[override]
        return None


class MysterySpotter(ConvSpotter):
    """Runs an operator that nobody knows the cost of."""

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        torch.linalg.svd(torch.rand(3, 3))
        return super().predict(images)


FAKES = {"conv": ConvSpotter, "boastful": BoastfulSpotter, "quiet": QuietSpotter, "mystery": MysterySpotter}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    for name, part in FAKES.items():
        backends.register(name, part)
    yield
    for name in FAKES:
        backends.unregister(name)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images with a red rectangle each, and their ground truth."""
    (tmp_path / "images").mkdir()
    (tmp_path / "gt").mkdir()
    for number in (1, 2, 3):
        pixels = np.zeros((90, 120, 3), np.uint8)
        left = 20 + 10 * number
        pixels[30:60, left : left + 40] = (255, 0, 0)
        Image.fromarray(pixels).save(tmp_path / "images" / f"img_{number}.png")
        box = f"{left},30,{left + 40},30,{left + 40},60,{left},60"
        (tmp_path / "gt" / f"gt_img_{number}.txt").write_text(f"{box},red\n")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def test_fixed_scales_read_at_a_fraction_and_answer_in_image_pixels() -> None:
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[30:60, 40:80] = (255, 0, 0)
    spotter = ConvSpotter()
    half = FixedScale(spotter, 0.5).read(pixels)
    assert spotter.seen[-1] == [(3, 45, 60)]
    np.testing.assert_allclose(half[0].array, [[40, 30], [80, 30], [80, 60], [40, 60]], atol=3)
    FixedScale(spotter, 0.5, "reference").read(pixels[:60, :80])
    assert spotter.seen[-1] == [(3, 45, 60)]


def test_spotters_that_want_native_pixels_get_them() -> None:
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[30:60, 40:80] = (255, 0, 0)
    spotter = NativeSpotter()
    reader = FixedScale(spotter, 0.5)
    assert reader.read(pixels)[0].array.tolist() == [[40, 30], [80, 30], [80, 60], [40, 60]]
    assert (spotter.seen, spotter.sizes) == ([[(3, 90, 120)]], [(45, 60)])
    assert reader.prepare(pixels).image.data_ptr() == pixels.ctypes.data  # 12 megapixels are not copied
    pixels.flags.writeable = False
    assert reader.prepare(pixels).image.data_ptr() != pixels.ctypes.data
    (cost,) = bench([reader], [lambda: pixels], 1, 0)
    assert (cost.height, cost.width) == (45, 60)


def test_bench_counts_and_interleaves(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    spotter = ConvSpotter()
    costs = bench([FixedScale(spotter, s) for s in (0.5, 1.0)], [lambda: pixels, lambda: pixels], 2, 0)
    widths = [shapes[0][2] for shapes in spotter.seen]
    assert widths == [30, 60, 60, 30, 60, 30, 30, 60, 30, 60, 60, 30]
    small, full = costs
    assert full.gflops == pytest.approx(2 * 8 * 27 * 2400 / 1e9)
    assert full.gmacs == pytest.approx(8 * 27 * 2400 / 1e9)
    assert small.gflops is not None
    assert small.gflops > 2 * 8 * 27 * 600 / 1e9  # the resizing is in it
    assert (small.width, small.height) == (30, 20)
    assert 0 < full.latency_ms_median <= full.latency_ms_p95
    assert full.peak_memory_mb > 10
    assert not full.declared_differs


class OutsideSpotter(RedSpotter):
    """Computes nothing in torch, as an ONNX engine, and may say what it costs."""

    cost: float | None = None

    def flops(self, height: int, width: int, words: int = 0) -> float | None:  # type: ignore[override]
        return self.cost


@pytest.mark.parametrize("cost", [None, 4e9])
def test_what_is_computed_outside_torch_costs_what_it_declares(cost: float | None) -> None:
    spotter = OutsideSpotter()
    spotter.cost = cost
    (half,) = bench([FixedScale(spotter, 0.5)], [lambda: np.zeros((60, 80, 3), np.uint8)], repeats=1)
    if cost is None:
        assert half.gflops is None  # resizing alone is not the cost of reading
    else:
        assert half.gflops_spotter == half.gflops_declared == 4.0
        assert half.gflops == pytest.approx(4.0, rel=1e-3)
        assert half.gflops > 4.0


def test_threads_are_set_and_set_back() -> None:
    before = torch.get_num_threads()
    with cpu_threads(1) as number:
        assert number == torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_bench_prints_a_table(run: Run, data: Path) -> None:
    code, out, _ = run(
        "bench", "--backend", "conv", "--images", data / "images", "--scales", "0.5,1", "--repeats", 1
    )
    assert code == 0
    assert "GFLOPs" in out
    assert "declared" not in out
    assert "120x90" in out
    assert "threads" in out


def test_bench_shows_a_declared_cost_that_is_wrong(run: Run, data: Path) -> None:
    options = ("--images", data / "images", "--scales", "1", "--repeats", 1)
    _, out, _ = run("bench", "--backend", "boastful", *options)
    assert "declared" in out
    _, out, _ = run("bench", "--backend", "boastful", "--json", *options)
    scale = json.loads(out)["scales"][0]
    assert scale["gflops"] == pytest.approx(2 * scale["gflops_declared"], rel=0.01)


def test_bench_refuses_an_operator_of_unknown_cost(run: Run, data: Path) -> None:
    code, out, err = run("bench", "--backend", "mystery", "--images", data / "images", "--repeats", 1)
    assert code != 0
    assert out == ""
    assert "svd" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("scales", ["", "half", "0", "-1", "0.5;1", "9"])
def test_scales_out_of_range(scales: str) -> None:
    with pytest.raises(ConfigError, match="--scales"):
        parse_scales(scales)


def test_scales_are_sorted_and_once_each() -> None:
    assert parse_scales("1.0,0.5, 0.5") == (0.5, 1.0)


def test_evaluate_reads_images_with_a_backend(run: Run, data: Path, tmp_path: Path) -> None:
    places = ("--images", data / "images", "--gt", data / "gt")
    code, out, _ = run("evaluate", "--backend", "conv", *places, "--json", "--out", tmp_path / "found")
    assert code == 0
    result = json.loads(out)
    assert result["e2e"]["hmean"] == 1
    assert result["recognition_accuracy_exact"] == 0
    assert result["images"] == 3
    assert result["scales"] == {"1": 3}
    assert result["mean_gflops"] == pytest.approx(2 * 8 * 27 * 90 * 120 / 1e9, abs=1e-4)
    assert result["mean_gflops_full"] == result["mean_gflops"]
    assert result["images_per_second"] > 0
    # What it read, written to --out, scores the same when it is read back.
    again = ("--predictions", tmp_path / "found", "--score-column", "--gt", data / "gt", "--json")
    _, out, _ = run("evaluate", *again)
    assert json.loads(out)["e2e"] == result["e2e"]


def test_evaluate_at_a_scale_and_without_known_cost(run: Run, data: Path) -> None:
    places = ("--images", data / "images", "--gt", data / "gt", "--json")
    _, out, _ = run("evaluate", "--backend", "quiet", "--scale", "0.5", *places)
    result = json.loads(out)
    assert result["scales"] == {"0.5": 3}
    assert result["mean_gflops"] is None


def test_evaluate_draws_the_curve_of_fixed_scales(run: Run, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    places = ("--images", data / "images", "--gt", data / "gt", "--out", tmp_path / "curve")
    code, out, err = run("evaluate", "--backend", "conv", "--scales", "0.5,1.0", *places)
    assert code == 0
    assert "end-to-end" in out
    assert "curve.png" in err
    rows = list(csv.DictReader((tmp_path / "curve" / "curve.csv").open()))
    assert [row["scale"] for row in rows] == ["0.5", "1.0"]
    assert float(rows[1]["e2e_hmean"]) == float(rows[1]["e2e_hmean_low"]) == 1
    assert float(rows[1]["gflops"]) == pytest.approx(2 * 8 * 27 * 90 * 120 / 1e9)
    record: dict[str, Any] = json.loads((tmp_path / "curve" / "curve.json").read_text())
    assert len(record["points"]) == 2
    assert record["protocol"]["iou"] == 0.5
    with Image.open(tmp_path / "curve" / "curve.png") as picture:
        assert picture.size[0] > 500


def test_the_curve_counts_where_nothing_is_declared(run: Run, data: Path) -> None:
    places = ("--images", data / "images", "--gt", data / "gt", "--json")
    _, out, _ = run("evaluate", "--backend", "quiet", "--scales", "1.0", *places)
    assert json.loads(out)[0]["gflops"] == pytest.approx(2 * 8 * 27 * 90 * 120 / 1e9)


def test_images_are_paired_with_their_ground_truth(data: Path) -> None:
    files, unknown = annotated_images(data / "images", ["img_1", "img_3"])
    assert list(files) == ["img_1", "img_3"]
    assert unknown == ["img_2"]
    with pytest.raises(DataError, match="img_9"):
        annotated_images(data / "images", ["img_1", "img_9"])
    (data / "images" / "img_3.png").rename(data / "images" / "gt_x.png")
    for name in ("x", "gt_x"):  # gt_x.txt or gt_gt_x.txt
        assert annotated_images(data / "images", [name])[0][name].name == "gt_x.png"


@pytest.mark.parametrize("scales", [[], ["--scales", "0.5,1.0"]])
def test_an_unreadable_image_is_reported_and_the_rest_scored(run: Run, data: Path, scales: list[str]) -> None:
    (data / "images" / "img_1.png").write_bytes(b"no image")
    places = ("--images", data / "images", "--gt", data / "gt", "--json")
    code, out, err = run("evaluate", "--backend", "conv", *places, *scales)
    assert code == 1
    assert "img_1.png" in err
    assert "Traceback" not in err
    scored = json.loads(out)
    assert {row["images"] for row in (scored if scales else [scored])} == {2}


def test_the_selectors_choice_is_a_row_of_its_own() -> None:
    from bar_spotter import BarSpotter, page, small

    from dld_core.selection import CostModel, DenseSelector, DynamicResolution
    from dld_core.selection.selected import SelectedScale

    torch.manual_seed(0)
    spotter = BarSpotter()
    drs = DynamicResolution(DenseSelector(small()).eval(), CostModel(spotter))
    pixels = page([40]).image
    fixed, chosen = bench([FixedScale(spotter, 1.0, "reference"), SelectedScale(drs)], [lambda: pixels], 1)
    assert (fixed.scale, chosen.scale) == (1.0, "auto")
    choice = drs(pixels, SelectedScale(drs).policy)
    assert (chosen.height, chosen.width) == (240 * choice.scale, 320 * choice.scale)
    assert chosen.gflops is not None
    assert chosen.gflops_spotter is not None
    assert chosen.gflops - chosen.gflops_spotter >= choice.gflops  # choosing and resizing
