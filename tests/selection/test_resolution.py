"""DRS: network, targets, losses, policy, measuring, fitting, judging, and the wrapper that uses it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from contract_toys import ExampleSpotter
from fake_spotters import RedSpotter
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dld_core import DLDWrapper
from dld_core.data.sources import parse_source
from dld_core.data.synth import PageRenderer, SynthConfig
from dld_core.errors import ConfigError, DataError, DLDError, WeightsError
from dld_core.evaluation.outcomes import outcomes
from dld_core.evaluation.words import ImageWords
from dld_core.interfaces import ResolutionSelector, Spotter
from dld_core.plugins.hooks import hooks
from dld_core.plugins.registry import backends
from dld_core.selection import (
    CostModel,
    DenseSelector,
    DynamicResolution,
    Policy,
    SelectorConfig,
    load_selector,
    save_selector,
)
from dld_core.selection.calibration import Calibration, cross_calibrated, size_ratio
from dld_core.selection.thumbnail import thumbnail, thumbnail_size
from dld_core.testing import ResolutionSelectorContract
from dld_core.training.selector.examples import Example, zoomed
from dld_core.training.selector.fit import FitConfig, fit
from dld_core.training.selector.losses import decision_loss, divergence, gumbel_decision, temperature_at
from dld_core.training.selector.measure import Measurement, Measurer
from dld_core.training.selector.measuring import fingerprint, measure
from dld_core.training.selector.oracle import Reached, Table, choose, cross_run_oracle, hmean_at
from dld_core.training.selector.run import SelectorRunConfig
from dld_core.training.selector.targets import cell_targets, letter_height
from dld_core.training.selector.training import (
    SelectorTrainingConfig,
    calibrate,
    fresh_selector,
    make_selector,
    predict,
)
from dld_core.types import Sample, Word

SCALES = (0.25, 0.5, 1.0)


def small(**changes: object) -> SelectorConfig:
    return SelectorConfig.parse(
        {"scales": SCALES, "long_side": 96, "width": 8, "hidden": 8, "reference_short_side": 240, **changes}
    )


class TestDenseSelector(ResolutionSelectorContract):
    """The shipped selector keeps every contract of its interface."""

    thumbnail_size = (96, 160)

    def make(self) -> ResolutionSelector:
        torch.manual_seed(0)
        return DenseSelector().eval()


# ---------------------------------------------------------------- a spotter whose limits are known


class BarSpotter(Spotter):
    """Finds red bars, and reads those that are at least 16 pixels high."""

    reference_short_side = 240
    thread_safe = True

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: object
    ) -> Spotter:
        return cls()

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        return [self._read(image) for image in images]

    def _read(self, image: Tensor) -> list[Word]:
        rows = ((image[0] > 150) & (image[1] < 110)).any(1)
        edges = torch.diff(torch.cat([torch.zeros(1), rows.float(), torch.zeros(1)])).nonzero()[:, 0].tolist()
        words = []
        for top, bottom in zip(edges[::2], edges[1::2], strict=True):
            columns = ((image[0] > 150) & (image[1] < 110))[top:bottom].any(0).nonzero()[:, 0]
            left, right = float(columns[0]), float(columns[-1]) + 1
            corners = ((left, float(top)), (right, float(top)), (right, float(bottom)), (left, float(bottom)))
            text = "bar" if bottom - top >= 16 else "blur"
            words.append(Word(text, 0.95 if text == "bar" else 0.4, corners))
        return words

    def flops(self, height: int, width: int, words: int = 0) -> float:
        return 2.5e4 * height * width + 1e6 * words


def page(heights: Sequence[int], seed: int = 0, size: tuple[int, int] = (240, 320), gap: int = 12) -> Sample:
    """Red bars of these heights on noise, one below the other, at native size."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 140, (*size, 3)).astype(np.uint8)
    polygons, top = [], 10
    for height in heights:
        left = int(rng.integers(5, 60))
        right = min(size[1] - 5, left + max(40, 3 * height))
        image[top : top + height, left:right] = (255, 0, 0)
        corners = [[left, top], [right, top], [right, top + height], [left, top + height]]
        polygons.append(np.array(corners, np.float32))
        top += height + gap
    return Sample(image, polygons, ["bar"] * len(heights), np.zeros(len(heights), bool), f"page-{seed}")


def measured(heights: Sequence[int], seed: int = 0, gap: int = 12) -> Measurement:
    sample = page(heights, seed, gap=gap)
    measurer = Measurer(BarSpotter(), SCALES, runs=3, long_side=96)
    return measurer(sample.name, sample.image, ImageWords.from_sample(sample))


# ---------------------------------------------------------------- outcomes and measuring


def test_outcomes_say_what_became_of_every_word() -> None:
    def box(x: float) -> list[float]:
        return [x, 0, x + 20, 0, x + 20, 10, x, 10]

    truth = ImageWords.of([box(0), box(40), box(80), box(120)], ["ab", "cd", "ef", "###"], [0, 0, 0, 1])
    found = ImageWords.of([box(41), box(1), box(121), box(300)], ["xx", "AB", "zz", "no"])
    result = outcomes(truth, found)
    assert result.found.tolist() == [True, True, False, False]
    assert result.read.tolist() == [True, False, False, False]
    assert result.detections == 3  # the one in the don't-care word does not count


def test_a_measurement_knows_at_which_scale_each_word_is_lost(tmp_path: Path) -> None:
    # Native short side 240, reference 120: at scale 1 bars are half as high, at 0.25 an eighth.
    m = measured([40, 20, 70], gap=20)  # two pixels at the smallest scale, so that bars stay apart
    assert m.read.shape == (3, 3, 3)
    assert m.lost.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert m.losses(alarm=0).tolist() == [2, 1, 0]
    assert m.losses(alarm=0.25).tolist() == [2.75, 1.75, 0.75]
    assert m.gflops[2] == pytest.approx(1e5 * 120 * 160 / 1e9 + 3e-3)
    m.save(tmp_path / "m.npz")
    again = Measurement.load(tmp_path / "m.npz")
    assert again.lost.tolist() == m.lost.tolist()
    assert np.array_equal(again.thumbnail, m.thumbnail)
    (tmp_path / "m.npz").write_bytes(b"not a measurement")
    with pytest.raises(DataError, match="measure again"):
        Measurement.load(tmp_path / "m.npz")


def test_a_false_word_costs_half_the_hmean_of_the_best_scale_unless_told() -> None:
    known = [measured([40, 20, 70], gap=20), measured([20, 20])]
    words, right, detections = 5, 5, known[0].detections[:, 2].mean() + known[1].detections[:, 2].mean()
    left_open = SelectorTrainingConfig()
    assert left_open.alarm_of(known) == pytest.approx(right / (words + detections))
    assert SelectorTrainingConfig(alarm=0.1).alarm_of(known) == 0.1
    assert left_open.alarm_of([]) == 0.0
    unlabelled = SelectorTrainingConfig.parse({"measured": {"images": 0, "labels": "none"}})
    assert unlabelled.alarm_of(known) == 0.25


def test_without_labels_the_full_reading_stands_in() -> None:
    sample = page([40, 12], gap=20)
    m = Measurer(BarSpotter(), SCALES, runs=2, long_side=96)(sample.name, sample.image)
    assert m.cares.tolist() == [True, False]  # the second is unsure at full scale already
    assert m.lost[0].tolist() == [1, 0, 0]


def test_an_image_without_words_loses_nothing() -> None:
    m = measured([])
    assert m.losses(0.25).tolist() == [0, 0, 0]
    assert Example.of_measurement(m, 0.25).targets.density.sum() == 0


# ---------------------------------------------------------------- targets and thumbnails


@given(st.integers(1, 20000), st.integers(1, 20000), st.sampled_from([96, 256, 384]))
def test_thumbnails_have_sides_of_sixteen(height: int, width: int, long_side: int) -> None:
    h, w = thumbnail_size(height, width, long_side)
    assert h % 16 == w % 16 == 0
    assert 32 <= min(h, w) <= max(h, w) <= max(long_side, 32)
    assert thumbnail_size(width, height, long_side) == (w, h)


def test_cell_targets_hold_every_word_once() -> None:
    word = np.array([[16, 16], [64, 16], [64, 28], [16, 28]], np.float32)
    speck = np.array([[80.2, 40.1], [80.5, 40.1], [80.5, 40.2], [80.2, 40.2]], np.float32)
    lost = np.array([[1, 0], [0.5, 0.25], [1, 1]], np.float32)
    targets = cell_targets([word, speck, word + 30], np.array([True, True, False]), lost, (64, 128))
    assert targets.density.sum() == pytest.approx(2)
    assert targets.log_height[2, 4] == pytest.approx(np.log2(12))
    assert targets.lost[:, 2, 4].tolist() == [1, 0]
    assert targets.lost[:, 5, 10].tolist() == [0.5, 0.25]
    assert targets.covered.max() <= 1
    assert letter_height(word) == 12


def test_parts_of_a_page_keep_whole_words_and_do_not_count_cut_ones() -> None:
    sample = page([30, 30, 30])
    for seed in range(20):
        part = zoomed(sample, np.random.default_rng(seed), smallest=0.4)
        height, width = part.image.shape[:2]
        assert len(part.polygons) == len(part.texts) == len(part.ignore)
        for polygon, ignore in zip(part.polygons, part.ignore, strict=True):
            assert (polygon >= 0).all()
            assert (polygon <= [width, height]).all()
            assert ignore or letter_height(polygon) > 28


# ---------------------------------------------------------------- losses


def test_the_expected_loss_is_the_mean_of_what_the_paper_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([[0.3, -1.0, 0.8]]).expand(20000, 3)
    accuracy, cost = torch.tensor([[2.0, 1.0, 0.0]]).expand(20000, 3), torch.tensor([[0.1, 0.4, 1.0]])
    exact = decision_loss(logits, accuracy, cost, 0.5)
    drawn = decision_loss(logits, accuracy, cost, 0.5, "paper", 1.0, generator)
    p = torch.tensor([0.3, -1.0, 0.8]).softmax(0)
    by_hand = float((p * torch.tensor([2.05, 1.2, 0.5])).sum())
    assert float(exact) == pytest.approx(by_hand, abs=1e-5)
    assert float(drawn) == pytest.approx(by_hand, abs=0.02)


def test_a_drawn_decision_is_one_hot_and_has_a_gradient() -> None:
    logits = torch.zeros(5, 3, requires_grad=True)
    decision = gumbel_decision(logits, 0.5, torch.Generator().manual_seed(1))
    assert decision.detach().sort(1).values.round(decimals=5).tolist() == [[0, 0, 1]] * 5
    (decision * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().sum()) > 0


def test_the_expected_loss_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    accuracy, cost = torch.rand(4, 3).double(), torch.rand(4, 3).double()
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: decision_loss(x, accuracy, cost, 0.7), logits)


def test_the_temperature_falls_from_first_to_last() -> None:
    values = [temperature_at(p) for p in (0.0, 0.5, 1.0, 2.0)]
    assert values == pytest.approx([2.0, 1.0, 0.5, 0.5])


def test_divergence_is_the_kl_of_the_characters_by_image() -> None:
    teacher = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]], [[1.0, 1.0]]])
    student = torch.tensor([[[0.0, 0.0]], [[0.0, 0.0]], [[1.0, 1.0]]])
    p = torch.tensor([2.0, 0.0]).softmax(0)
    by_hand = float((p * (p.log() - np.log(0.5))).sum())
    index = torch.tensor([1, 1, 2])
    found = divergence(teacher, student, torch.ones(3, 1, dtype=torch.bool), index, 3)
    assert found.tolist() == pytest.approx([0, by_hand, 0], abs=1e-6)
    padded = [torch.cat([x, torch.randn(3, 4, 2)], 1) for x in (teacher, student)]
    counts = torch.tensor([[True] + [False] * 4] * 3)
    assert divergence(*padded, counts, index, 3).tolist() == pytest.approx([0, by_hand, 0], abs=1e-6)


# ---------------------------------------------------------------- policy and judging


def test_a_policy_weighs_words_against_cost() -> None:
    scores, costs, gflops = [3.0, 1.0, 0.5], [0.1, 0.4, 1.0], [10.0, 40.0, 100.0]
    assert Policy(gamma=0).choose(scores, costs) == 2
    assert Policy(gamma=1).choose(scores, costs) == 1
    assert Policy(gamma=10).choose(scores, costs) == 0
    assert Policy(budget=50).within(3, gflops, None) == [0, 1]
    assert Policy(gamma=0).choose(scores, costs, [0, 1]) == 1
    assert Policy(gamma=0).choose(scores, costs, []) == 0  # nothing fits: the cheapest
    assert Policy(max_latency_ms=5).within(3, None, [1, 4, 9]) == [0, 1]
    assert Policy(gamma=0).choose([1.0, 1.0, 1.0], costs) == 0  # equals: the cheapest
    with pytest.raises(ConfigError, match="gamma"):
        Policy.parse({"gamma": -1})


@given(st.lists(st.floats(0, 20), min_size=3, max_size=3), st.floats(0, 10), st.floats(0, 10))
def test_a_higher_price_never_chooses_a_dearer_scale(scores: list[float], a: float, b: float) -> None:
    costs = [0.1, 0.4, 1.0]
    low, high = sorted((a, b))
    assert Policy(gamma=high).choose(scores, costs) <= Policy(gamma=low).choose(scores, costs)


def test_the_cross_run_oracle_wins_nothing_from_luck() -> None:
    """Words read at random: the same-run oracle looks clever, the cross-run one does not."""
    rng = np.random.default_rng(0)
    lucky, m = [], measured([])
    for _ in range(200):
        read = rng.random((2, 3, 8)) < 0.5
        changes = {"cares": np.ones(8, bool), "read": read, "detections": np.full((2, 3), 8)}
        lucky.append(Measurement(**{**{f: getattr(m, f) for f in m.__dataclass_fields__}, **changes}))
    first = Table.of(lucky, slice(0, 1))
    same = first.reached(choose(first.losses(0.25), first.costs, 0.0))
    crossed = cross_run_oracle(lucky, 0.25, [0.0])[0]
    assert same.hmean > 0.6
    assert crossed.hmean == pytest.approx(0.5, abs=0.04)


def test_a_curve_is_read_between_its_points() -> None:
    points = [Reached(0.2, 0.1), Reached(0.6, 0.5), Reached(0.3, 0.3), Reached(0.7, 1.0)]
    assert hmean_at(points, 0.3) == pytest.approx(0.4)  # the line from the first to the second
    assert hmean_at(points, 1.0) == 0.7
    assert np.isnan(hmean_at(points, 0.01))


# ---------------------------------------------------------------- fitting


def random_pages(count: int, first: int) -> list[Measurement]:
    rng = np.random.default_rng(first)
    sizes = [(int(rng.choice([12, 24, 60])), int(rng.integers(1, 4))) for _ in range(count)]
    return [measured([size] * bars, seed=first + i) for i, (size, bars) in enumerate(sizes)]


@pytest.fixture(scope="module")
def pages() -> tuple[list[Measurement], list[Measurement]]:
    """To learn from, and never seen."""
    return random_pages(50, 0), random_pages(40, 1000)


@pytest.mark.parametrize("mode", ["expected", "paper"])
def test_a_fitted_selector_chooses_what_can_be_read(
    mode: str, pages: tuple[list[Measurement], list[Measurement]]
) -> None:
    torch.manual_seed(0)
    examples = [Example.of_measurement(m, 0.0) for m in pages[0]]
    settings = FitConfig(steps=250, mode=mode, batch_size=8, lr=6e-3)
    selector = fit(DenseSelector(small()), examples, settings)
    table = Table.of(pages[1])
    scores = predict(selector, pages[1])
    mine = table.reached(choose(scores, table.costs, 0.7))
    curve = [Reached(0.0, 0.0), *table.fixed()]
    assert mine.cost < 0.6
    assert mine.hmean > hmean_at(curve, mine.cost) + 0.08
    assert float(np.abs(scores - table.losses(0.0)).mean()) < 0.4


def test_calibration_undoes_a_stretch_and_a_shift() -> None:
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(400, 5))
    shift = np.array([0.5, 0.0, -0.1, 0.2, 0.4])
    given, same = (losses - losses.mean(1, keepdims=True)) * 0.5 + shift, np.zeros(400)
    found = Calibration.fit(given, losses, np.ones(400), same)
    np.testing.assert_allclose(found.slope, [2, 0], atol=0.02)
    off = found.offset[0] - found.offset[0].mean()
    np.testing.assert_allclose(off, -2 * (shift - shift.mean()), atol=0.02)
    # Scores that know nothing say afterwards what is right on average, for every image.
    known_nothing, right = rng.normal(size=(4000, 5)), rng.normal(size=(4000, 5)) + shift
    blind = Calibration.fit(known_nothing, right, np.ones(4000), rng.uniform(-1, 2, 4000))
    assert np.abs(blind.slope).max() < 0.05
    np.testing.assert_allclose(blind.offset, [shift - shift.mean(), np.zeros(5)], atol=0.1)


def test_small_photos_and_large_pages_are_calibrated_each_for_itself() -> None:
    rng = np.random.default_rng(0)
    size_ratios = np.repeat([0.0, 1.0], 300)
    true = rng.normal(size=(600, 4)) + np.where(size_ratios == 1, 2.0, 0.0)[:, None] * [0.5, 0.0, 0.0, -0.5]
    told = np.where((size_ratios == 1)[:, None], true, rng.normal(size=(600, 4)))
    found = Calibration.fit(told, true, np.ones(600), size_ratios)
    slopes = np.cumsum(found.slope)
    assert slopes[0] < 0.1
    assert slopes[1] > 0.9
    off = found(told, size_ratios) - true
    spread = off - off.mean(1, keepdims=True)
    assert np.abs(spread[:300].mean(0)).max() < 0.15
    assert np.abs(spread[300:]).mean() < 0.1
    # Images of one size alone say nothing of others.
    alike = Calibration.fit(
        true[:300] * 0.5, true[:300], np.ones(300), np.full(300, 2.0) + true[:300, 0] / 50
    )
    assert not alike.offset[1].any()
    np.testing.assert_allclose(alike.slope, [2, 0], atol=0.05)
    # Where scores would be turned round, they count for nothing instead.
    turned = Calibration.fit(-told, true, np.ones(600), size_ratios)
    assert (turned(-told, size_ratios).argmin(1) == turned(np.zeros((600, 4)), size_ratios).argmin(1)).all()


def test_selectors_calibrated_alike_for_all_extents_are_still_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    selector = DenseSelector(small())
    state = {**selector.state_dict(), "slope": torch.tensor(0.5), "offset": torch.arange(3.0)}
    header = {"format": "dld-selector-1", "config": json.dumps(selector.config.model_dump(mode="json"))}
    save_file(state, tmp_path / "old.safetensors", header)
    read = load_selector(tmp_path / "old.safetensors")
    assert read.slope.tolist() == [0.5, 0.0]
    assert read.offset.tolist() == [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]


def test_pages_of_many_words_do_not_outweigh_all_others() -> None:
    rng = np.random.default_rng(0)
    words = np.where(np.arange(200) < 150, 2.0, 40.0)
    true = np.outer(words, np.array([0.4, 0.2, 0.0])) + rng.normal(size=(200, 3)) * np.sqrt(words)[:, None]
    given = true - np.array([0.3, 0.0, 0.0]) * (words < 10)[:, None]
    same = np.zeros(200)
    few = Calibration.fit(given, true, words, same)(given, same)[:150] - true[:150]
    even = Calibration.fit(given, true, same, same)(given, same)[:150] - true[:150]
    bias = [float(np.ptp(np.asarray(off).mean(0))) for off in (few, even)]
    assert bias[0] < 0.6 * bias[1]


def test_a_calibration_is_judged_on_images_that_it_never_saw() -> None:
    images = random_pages(10, 900)
    scores = np.zeros((10, len(images[0].losses(0.25))))
    losses = np.stack([m.losses(0.25) for m in images])
    found = cross_calibrated(scores, losses, np.ones(10), np.zeros(10))
    right = losses.mean(0) - losses.mean()
    assert len(np.unique(found.round(6), axis=0)) > 1, "each fold has its own"
    assert float(np.corrcoef(found.mean(0), right)[0, 1]) > 0.95


def test_a_calibrated_selector_answers_with_calibrated_scores(tmp_path: Path) -> None:
    images = random_pages(12, 950)
    selector = DenseSelector(small()).eval()
    raw = predict(selector, images)
    report = calibrate(selector, images, 0.25, BarSpotter())
    costs = CostModel(BarSpotter())
    own = costs.forecast((240, 320), selector.scales)
    assert own.gflops is not None
    dearest, cheapest = report["selector"][-1], report["fixed"][0]
    share = DynamicResolution(selector, costs).own_gflops(240, 320) / max(own.gflops)
    assert share > 0.001, "choosing costs something"
    assert dearest["cost"] == pytest.approx(cheapest["cost"] + share, abs=2e-5), "and it is counted"
    words = np.array([m.cares.sum() for m in images], float)
    size_ratios = size_ratio(np.array([m.size.min() for m in images]), selector.config.reference_short_side)
    losses = np.stack([m.losses(0.25) for m in images])
    wanted = Calibration.fit(raw, losses, words, size_ratios)(raw, size_ratios)
    np.testing.assert_allclose(predict(selector, images), wanted, atol=1e-3)
    again = load_selector(save_selector(selector, tmp_path / "s.safetensors", half=False))
    np.testing.assert_allclose(predict(again, images), wanted, atol=1e-3)
    selector.calibrate()
    np.testing.assert_allclose(predict(selector, images), raw, atol=1e-6)


def bars_on_disk(folder: Path, **measured: Any) -> SelectorTrainingConfig:
    """Twelve pages of bars in a folder, and the settings of a selector that learns from them."""
    (folder / "images").mkdir(parents=True)
    (folder / "gt").mkdir()
    for number in range(12):
        sample = page([[12, 30, 60][number % 3]] * 2, seed=number)
        Image.fromarray(sample.image).save(folder / "images" / f"img_{number}.png")
        lines = [",".join(str(int(v)) for v in p.ravel()) + ",bar\n" for p in sample.polygons]
        (folder / "gt" / f"gt_img_{number}.txt").write_text("".join(lines))
    source = {"kind": "icdar", "images": str(folder / "images"), "gt": str(folder / "gt")}
    return SelectorTrainingConfig.parse(
        {
            **{"scales": SCALES, "long_side": 96, "width": 8, "hidden": 8},
            "pages": {"data": [source], "images": 4, "zooms": 1},
            "measured": {"data": [source], "images": 12, "runs": 2, **measured},
            "fit": {"steps": 20},
        }
    )


class Idle(BarSpotter):
    """Reads nothing."""

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        raise AssertionError("other processes were to read")


class Broken(BarSpotter):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no such engine")


def reads(folder: Path) -> list[NDArray[np.bool_]]:
    return [Measurement.load(path).read for path in sorted(folder.rglob("*.npz"))]


def test_every_image_is_drawn_once_and_whole(tmp_path: Path) -> None:
    config = bars_on_disk(tmp_path / "pages", images=40)
    pages = {"kind": "synth", "page": {"page_size": [120, 200], "words": [1, 2]}}
    sources = (*config.measured.data, parse_source(pages, "data"))
    with_pages = config.measured.model_copy(update={"data": sources})
    names = [s.name for s in config.measured.draw(0)]
    assert len(set(names)) == len(names) == 12, "fewer than asked for"
    few = config.measured.model_copy(update={"images": 5})
    assert [s.name for s in few.draw(0)] == names[:5]
    drawn = list(with_pages.draw(0))
    assert len(drawn) == 40
    assert {s.image.shape for s in drawn} == {(240, 320, 3), (120, 200, 3)}, "not cut to any size"


def test_photos_without_labels_are_drawn_as_spotters_see_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (60, 40)).save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    source = {"kind": "images", "images": str(tmp_path)}
    config = {"scales": SCALES, "measured": {"data": [source], "images": 9, "labels": "none"}}
    found = measure(BarSpotter(), SelectorTrainingConfig.parse(config), tmp_path / "m", lambda _: None)
    assert [m.size.tolist() for m in found] == [[60, 40]], "the broken one is left out"


def test_a_changed_way_of_reading_is_measured_anew(tmp_path: Path) -> None:
    config = bars_on_disk(tmp_path / "pages")
    others = [config.model_copy(update=change) for change in ({"scales": (0.5, 1.0)}, {"seed": 1})]
    assert len({fingerprint(BarSpotter(), c) for c in (config, *others)}) == 3
    measured = config.measured.model_copy(update={"images": 3, "workers": 2, "max_minutes": 9.0})
    more = config.model_copy(update={"measured": measured})
    assert fingerprint(BarSpotter(), more) == fingerprint(BarSpotter(), config)
    networks = [ExampleSpotter(), ExampleSpotter()]
    with torch.no_grad():
        next(networks[1].parameters()).add_(1)
    assert fingerprint(networks[0], config) != fingerprint(networks[1], config)


def test_thumbnails_of_another_size_need_no_reading(tmp_path: Path) -> None:
    config = bars_on_disk(tmp_path / "pages")
    large = measure(BarSpotter(), config, tmp_path / "m", lambda _: None)
    other = config.model_copy(update={"long_side": 64})
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "m").rglob("*.npz")}
    small_ = measure(BarSpotter(), other, tmp_path / "m", lambda _: None)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "m").rglob("*.npz")} == before
    assert len(small_) == len(large) == len(before)
    for one, seen in zip(large, small_, strict=True):
        assert max(seen.thumbnail.shape) == 64 < max(one.thumbnail.shape)
        np.testing.assert_array_equal(one.read, seen.read)


def test_reading_ends_when_its_time_is_up(tmp_path: Path) -> None:
    config = bars_on_disk(tmp_path / "pages").limited(1e-9)
    assert measure(BarSpotter(), config, tmp_path / "m", lambda _: None) == []
    with pytest.raises(ConfigError, match="too few"):
        make_selector(BarSpotter(), config, tmp_path / "run")


def test_processes_share_the_images(tmp_path: Path) -> None:
    alone = bars_on_disk(tmp_path / "pages")
    shared = alone.model_copy(update={"measured": alone.measured.model_copy(update={"workers": 2})})
    said: list[str] = []
    measure(BarSpotter(), alone, tmp_path / "alone", said.append)
    measure(Idle(), shared, tmp_path / "shared", said.append, BarSpotter)
    assert len(reads(tmp_path / "alone")) == 12
    for one, other in zip(reads(tmp_path / "alone"), reads(tmp_path / "shared"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_other_processes_cannot_read_is_read_here(tmp_path: Path) -> None:
    config = bars_on_disk(tmp_path / "pages", workers=2)
    assert len(measure(BarSpotter(), config, tmp_path / "measured", lambda _: None, Broken)) == 12


def test_making_a_selector_goes_on_where_it_stopped(tmp_path: Path) -> None:
    config = bars_on_disk(tmp_path / "pages")
    said: list[str] = []
    path = make_selector(BarSpotter(), config, tmp_path / "run", said.append)
    before = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "run" / "measured").rglob("*.npz")}
    assert len(before) == 12
    record = json.loads((tmp_path / "run" / "selector.json").read_text())
    assert record["images"] == 2
    assert [point["scale"] for point in record["fixed"]] == list(SCALES)
    make_selector(BarSpotter(), config, tmp_path / "run", said.append)
    assert {f.name: f.stat().st_mtime_ns for f in (tmp_path / "run" / "measured").rglob("*.npz")} == before
    assert load_selector(path).config.reference_short_side == 240


def test_a_selector_starts_from_what_another_knows(tmp_path: Path) -> None:
    network = {"scales": SCALES, "long_side": 96, "width": 8, "hidden": 8}
    known = DenseSelector(small())
    known.calibrate(Calibration(np.array([0.5, 0.1]), np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]])))
    path = save_selector(known, tmp_path / "known.safetensors", half=False)
    same = fresh_selector(SelectorTrainingConfig.parse({**network, "init": str(path)}), 400)
    assert same.config.reference_short_side == 400
    assert same.slope.tolist() == [1, 0], "calibrated anew"
    assert not same.offset.any()
    others = {**network, "scales": (0.4, 0.5, 0.8, 1.0), "init": str(path)}
    other = fresh_selector(SelectorTrainingConfig.parse(others), 400)
    for name, value in known.state_dict().items():
        if name not in {"slope", "offset"}:
            assert torch.equal(same.state_dict()[name], value)
        if name.startswith(("density", "log_height", "lost")):
            assert torch.equal(other.state_dict()[name], value), "whatever the scales"
    larger = SelectorTrainingConfig.parse({**network, "long_side": 128, "init": str(path)})
    assert fresh_selector(larger, 400).config.long_side == 128
    wider = SelectorTrainingConfig.parse({**network, "width": 16, "init": str(path)})
    with pytest.raises(ConfigError, match="other sizes"):
        fresh_selector(wider, 400)


def test_the_bundled_start_knows_where_words_are() -> None:
    selector = fresh_selector(SelectorTrainingConfig.parse({"init": "bundled"}), 720)
    settings = {"page_size": [480, 640], "words": [15, 15], "size_range": [24, 48], "system_fonts": False}
    text = PageRenderer(SynthConfig.parse(settings)).page(1)
    counts = []
    for image in (text.image, np.full((480, 640, 3), 128, np.uint8)):
        pixels = torch.from_numpy(thumbnail(image, 384)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            counts.append(float(selector.maps(pixels, torch.tensor([image.shape[:2]])).density.sum()))
    assert abs(counts[0] - len(text.texts)) < 0.5 * len(text.texts)
    assert counts[1] < counts[0] / 3


# ---------------------------------------------------------------- files


def test_a_selector_survives_its_file(tmp_path: Path) -> None:
    selector = DenseSelector(small()).eval()
    inputs = torch.rand(2, 3, 64, 96), torch.tensor([[240, 320], [100, 100]])
    save_selector(selector, tmp_path / "s.safetensors", half=False)
    again = load_selector(tmp_path / "s.safetensors")
    assert again.config == selector.config
    assert torch.equal(again(*inputs), selector(*inputs))
    halved = load_selector(save_selector(selector, tmp_path / "h.safetensors"))
    torch.testing.assert_close(halved(*inputs), selector(*inputs), atol=0.02, rtol=0.02)
    (tmp_path / "bad.safetensors").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="cannot read"):
        load_selector(tmp_path / "bad.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="holds no selector"):
        load_selector(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("backend", ["maskrcnn", "segmentation"])
def test_the_selector_that_ships_costs_less_than_a_hundredth_of_its_teacher(backend: str) -> None:
    spotter = backends.get(backend).create()
    path = spotter.bundled_part("selector")
    assert path is not None
    drs = DynamicResolution(load_selector(path), CostModel(spotter))
    assert 0 < drs.own_gflops(720, 1280) < 0.01 * spotter.flops(720, 1280, 10) / 1e9


# ---------------------------------------------------------------- the wrapper


class FixedScores(ResolutionSelector):
    """Loses as many words as it is told to; dark pictures lose none."""

    scales = SCALES

    def __init__(self) -> None:
        super().__init__()
        self.lost = torch.nn.Parameter(torch.tensor([4.0, 1.0, 0.0]))

    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        bright = (thumbnails.mean((1, 2, 3)) > 0.4).to(self.lost.dtype)
        return bright.unsqueeze(1) * self.lost


@pytest.fixture
def _bars() -> Iterator[None]:
    backends.register("bars", BarSpotter)
    yield
    backends.unregister("bars")


@pytest.mark.usefixtures("_bars")
def test_auto_is_the_default_where_there_is_a_selector() -> None:
    bright, dark = page([40]).image, (page([]).image // 4)
    with DLDWrapper("bars", selector=FixedScores()) as dld:
        assert dld.scale == "auto"
        assert [p.scale for p in dld.spot([bright, dark, bright])] == [1.0, 0.25, 1.0]
        assert dld.spot(bright, gamma=4.0).scale == 0.5
        assert dld.spot(bright, scale=0.5).scale == 0.5
        assert dld.spot(bright, scale="full").scale == 1.0
        assert dld.spot(bright, budget=0.6).scale == 0.5  # 1.93 GFLOPs at scale 1, 0.49 at 0.5
        assert dld.spot(bright).timings_ms["select"] > 0
    assert DLDWrapper("bars").scale == "full"


@pytest.mark.usefixtures("_bars")
def test_the_cost_of_choosing_counts() -> None:
    dld = DLDWrapper("bars", selector=DenseSelector(small()))
    image = page([40]).image
    chosen = dld.spot(image)
    given = dld.spot(image, scale=chosen.scale)
    assert chosen.gflops is not None
    assert given.gflops is not None
    assert chosen.gflops > given.gflops


@pytest.mark.usefixtures("_bars")
def test_the_choice_is_the_same_every_time_and_in_any_company() -> None:
    torch.manual_seed(0)
    images = [page([h] * 2, seed=h).image for h in (10, 20, 30, 40)]
    dld = DLDWrapper("bars", selector=DenseSelector(small()))
    alone = [dld.spot(image).scale for image in images]
    for _ in range(5):
        assert [p.scale for p in dld.spot(images)] == alone
        assert [p.scale for p in dld.spot(images[::-1])] == alone[::-1]
    chosen: list[float] = []
    threads = [threading.Thread(target=lambda i=i: chosen.append(dld.spot(i).scale)) for i in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(chosen) == sorted(alone)


@pytest.mark.usefixtures("_bars")
def test_an_unsure_page_is_read_again_larger_if_asked() -> None:
    image = page([40]).image
    dld = DLDWrapper("bars", selector=FixedScores(), gamma=100.0)
    once, twice = dld.spot(image), dld.spot(image, escalate=True)
    assert (once.scale, once.words[0].text, once.escalated_from) == (0.25, "blur", None)
    assert (twice.scale, twice.words[0].text, twice.escalated_from) == (1.0, "bar", 0.25)
    assert once.gflops is not None
    assert twice.gflops is not None
    assert twice.gflops > once.gflops
    assert twice.timings_ms["first_reading"] > 0
    assert dld.spot(page([100]).image, escalate=True).escalated_from is None


@pytest.mark.usefixtures("_bars")
def test_a_second_look_that_fails_leaves_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: BarSpotter, image: Tensor) -> list[Word]:
        if image.shape[1] > 100:
            raise RuntimeError("too large for this engine")
        return [Word("blur", 0.4, ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0), (1.0, 9.0)))]

    monkeypatch.setattr(BarSpotter, "_read", read)
    dld = DLDWrapper("bars", selector=FixedScores(), gamma=100.0)
    found = dld.spot([page([40]).image] * 2, escalate=True)
    assert [p.words[0].text for p in found] == ["blur", "blur"]
    assert all("too large for this engine" in p.notes[-1] for p in found)


@pytest.mark.usefixtures("_bars")
def test_a_time_limit_is_measured_on_this_machine() -> None:
    dld = DLDWrapper("bars", selector=FixedScores())
    image = page([40]).image
    assert dld.spot(image, max_latency_ms=1e-9).scale == 0.25
    assert dld.spot(image, max_latency_ms=1e9).scale == 1.0


@pytest.mark.usefixtures("_bars")
def test_listeners_hear_scores_and_choice() -> None:
    heard: list[tuple[float, dict[float, float]]] = []

    class Listener:
        from dld_core import hookimpl

        @hookimpl
        def dld_scale_chosen(self, scale: float, scores: dict[float, float]) -> None:
            heard.append((scale, dict(scores)))

    hooks.register(Listener(), "test-listener")
    try:
        DLDWrapper("bars", selector=FixedScores()).spot(page([40]).image)
    finally:
        hooks.unregister("test-listener")
    assert heard == [(1.0, {0.25: 4.0, 0.5: 1.0, 1.0: 0.0})]


@pytest.mark.usefixtures("_bars")
def test_options_without_a_selector_are_an_error() -> None:
    for option in ({"gamma": 1.0}, {"escalate": True}):
        with pytest.raises(ConfigError, match="needs a resolution selector"):
            DLDWrapper("bars", **option)  # type: ignore[arg-type]
    dld = DLDWrapper("bars", selector=FixedScores())
    with pytest.raises(ConfigError, match="unknown option 'gama'"):
        dld.spot(page([40]).image, gama=1.0)
    with pytest.raises(ConfigError, match="budget"):
        dld.spot(page([40]).image, budget=-1.0)


@pytest.mark.usefixtures("_bars")
def test_a_wrapper_is_saved_with_its_selector(tmp_path: Path) -> None:
    torch.manual_seed(0)
    image = page([30, 12]).image
    dld = DLDWrapper("bars", selector=DenseSelector(small()), gamma=0.7, escalate=True)
    again = DLDWrapper.load(dld.save(tmp_path / "saved"))
    assert again.scale == "auto"
    assert again.spot(image).to_dict()["scale"] == dld.spot(image).scale
    assert json.loads((tmp_path / "saved" / "dld.json").read_text())["wrapper"]["gamma"] == 0.7
    with pytest.raises(ConfigError, match="cannot be saved"):
        DLDWrapper("bars", selector=FixedScores()).save(tmp_path / "other")


@pytest.mark.usefixtures("_bars")
def test_a_selector_of_another_reference_size_is_refused(tmp_path: Path) -> None:
    path = save_selector(DenseSelector(small(reference_short_side=720)), tmp_path / "s.safetensors")
    with pytest.raises(WeightsError, match="reference short side of 720"):
        DLDWrapper("bars", selector=path)


@pytest.mark.usefixtures("_bars")
def test_the_selector_that_ships_is_left_out_at_another_reference_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.safetensors"
    monkeypatch.setattr(BarSpotter, "bundled_part", lambda self, part: path if part == "selector" else None)
    save_selector(DenseSelector(small()), path)
    assert DLDWrapper("bars").scale == "auto"
    save_selector(DenseSelector(small(reference_short_side=720)), path)
    assert DLDWrapper("bars").scale == "full"


def test_no_image_is_enlarged_far_beyond_its_pixels() -> None:
    """Reference 240: images below it are enlarged at scale 1, so that larger scales bring nothing."""
    selector = FixedScores()
    selector.scales = (0.25, 0.5, 1.0, 1.5)
    selector.lost.data = torch.tensor([4.0, 3.0, 2.0, 1.0])
    drs, cheap = DynamicResolution(selector, CostModel(BarSpotter())), Policy(gamma=0)

    def shape(short: int) -> NDArray[np.uint8]:
        return np.full((short, 2 * short, 3), 255, np.uint8)

    assert [drs(shape(short), cheap).scale for short in (480, 240, 200, 130)] == [1.5, 1.5, 1.0, 1.0]
    assert drs(shape(100), cheap).scale == 1.5, "very small images may be"
    assert list(drs(shape(200), cheap).scores) == [0.25, 0.5, 1.0]
    assert drs.larger(0.5, (200, 400)) == 1.0


def test_a_black_box_of_unknown_cost_is_priced_by_pixels() -> None:
    class Box(RedSpotter):
        def flops(self, height: int, width: int, words: int = 0) -> None:  # type: ignore[override]
            return None

    with pytest.raises(ConfigError, match="max_latency_ms"):
        DynamicResolution(FixedScores(), CostModel(Box()))(page([40]).image, Policy(budget=1.0))
    choice = DynamicResolution(FixedScores(), CostModel(Box()))(page([40]).image, Policy(gamma=4.0))
    assert choice.scale == 0.5
    assert choice.gflops >= 0


def test_thumbnails_come_from_any_image() -> None:
    for shape in ((1, 1), (3, 4000), (5000, 40)):
        small_: NDArray[np.uint8] = thumbnail(np.zeros((*shape, 3), np.uint8), 96)
        assert small_.shape[:2] == thumbnail_size(*shape, 96)


def test_the_documented_settings_parse() -> None:
    text = (Path(__file__).parents[2] / "docs" / "resolution.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    config = SelectorRunConfig.parse(yaml.safe_load(example))
    assert config.selector.measured.images == 300


def test_the_tutorials_backend_gets_a_selector_without_a_line_of_its_own(tmp_path: Path) -> None:
    pages = {"kind": "synth", "page": {"page_size": [120, 160], "words": [2, 4]}}
    network = {"scales": SCALES, "long_side": 96, "width": 8, "hidden": 8}
    config = SelectorTrainingConfig.parse(
        {**network, "measured": {"data": [pages], "images": 5}, "fit": {"steps": 3}}
    )
    spotter = ExampleSpotter()
    path = make_selector(spotter, config, tmp_path)
    dld = DLDWrapper(spotter, selector=path)
    assert dld.spot(page([40]).image).scale in SCALES


def test_a_selector_may_learn_from_pages_alone_and_others_start_from_it(tmp_path: Path) -> None:
    pages = {"kind": "synth", "page": {"page_size": [120, 160], "words": [2, 4]}}
    network = {"scales": SCALES, "long_side": 96, "width": 8, "hidden": 8, "fit": {"steps": 3}}
    first = SelectorTrainingConfig.parse({**network, "pages": {"data": [pages], "images": 3, "zooms": 1}})
    path = make_selector(BarSpotter(), first, tmp_path / "first")
    measured = {"data": [pages], "images": 5}
    second = SelectorTrainingConfig.parse({**network, "init": str(path), "measured": measured})
    assert make_selector(BarSpotter(), second, tmp_path / "second").is_file()
    with pytest.raises(ConfigError, match="give some"):
        make_selector(BarSpotter(), SelectorTrainingConfig.parse(network), tmp_path / "third")


def test_a_selector_has_a_price_of_its_own_where_none_is_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = save_selector(DenseSelector(small(gamma=1e6)), tmp_path / "dear.safetensors")
    dear = DynamicResolution(load_selector(path), CostModel(BarSpotter()))
    assert dear.gamma == 1e6
    image = page([40]).image
    assert dear(image, Policy()).scale == min(SCALES)
    assert dear(image, Policy(budget=1e3)).scale == min(SCALES)
    scores = dear(image, Policy(gamma=0.0)).scores
    assert dear(image, Policy(gamma=0.0)).scale == min(scores, key=lambda scale: scores[scale])
    assert DynamicResolution(DenseSelector(small()), CostModel(BarSpotter())).gamma == 0.2


# -- limits, and what a reader should know ------------------------------------------------------------------


@pytest.mark.usefixtures("_bars")
def test_what_a_price_costs_in_words_is_told() -> None:
    image = page([40]).image
    dld = DLDWrapper("bars", selector=FixedScores())
    small_one = dld.spot(image, gamma=100.0)
    assert small_one.notes == ["read small: scale 1 would read about 4 more words"]
    assert dld.spot(image, gamma=0.0).notes == []


@pytest.mark.usefixtures("_bars")
def test_a_limit_that_no_scale_keeps_is_told() -> None:
    dld = DLDWrapper("bars", selector=FixedScores())
    page_ = dld.spot(page([40]).image, budget=1e-6)
    assert page_.scale == 0.25
    assert "no scale is expected to keep within the limit" in page_.notes[0]
    assert "more than the budget" in page_.notes[1]


@pytest.mark.usefixtures("_bars")
def test_a_second_look_keeps_within_the_budget_too() -> None:
    image = page([40]).image
    dld = DLDWrapper("bars", selector=FixedScores(), gamma=100.0, escalate=True)
    free = dld.spot(image)
    assert (free.scale, free.escalated_from) == (1.0, 0.25)
    assert free.gflops is not None
    tight = dld.spot(image, budget=free.gflops * 0.9)
    assert tight.gflops is not None
    assert tight.gflops <= free.gflops * 0.9
    assert tight.escalated_from == 0.25
    assert tight.scale == 0.5
    tighter = dld.spot(image, budget=tight.gflops * 0.6)
    assert (tighter.scale, tighter.escalated_from) == (0.25, None)
    assert any("leaves no room" in note for note in tighter.notes)


class Crowd(DenseSelector):
    """Sees a crowd of words everywhere, fewer of which are lost at larger scales."""

    words = 1000.0

    def expect(self, thumbnails: Tensor, native_sizes: Tensor) -> tuple[Tensor, Tensor]:
        del native_sizes
        lost = torch.tensor(self.scales).neg().expand(len(thumbnails), -1)
        return lost, torch.full((len(thumbnails),), self.words)


class Couple(Crowd):
    """The same with two words."""

    words = 2.0


@pytest.mark.usefixtures("_bars")
def test_a_budget_counts_the_words_that_are_expected() -> None:
    """Reading 1,000 words takes a GFLOP here, and ten a hundredth; all pixels of scale 1 take two."""
    image = page([40]).image
    few, many = (DLDWrapper("bars", selector=kind(small()), gamma=0.0) for kind in (Couple, Crowd))
    own = few.spot(image).gflops or 0.0
    budget = own + 0.1
    assert few.spot(image, budget=budget).scale == 1.0
    assert many.spot(image, budget=budget).scale < 1.0
    assert many.spot(image, budget=budget + 1).scale == 1.0
    assert "no scale is expected to keep" in many.spot(image, budget=0.5).notes[0]


class Stubborn(DenseSelector):
    """Somebody's own, which wants the middle scale."""

    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        del native_sizes
        return torch.tensor([9.0, 0.0, 9.0]).expand(len(thumbnails), -1)


@pytest.mark.usefixtures("_bars")
def test_a_selector_with_scores_of_its_own_is_heard() -> None:
    assert DLDWrapper("bars", selector=Stubborn(small()), gamma=0.0).spot(page([40]).image).scale == SCALES[1]


@pytest.mark.usefixtures("_bars")
def test_a_page_where_words_were_expected_and_none_was_found_is_read_again() -> None:
    blank = np.full((240, 320, 3), 120, np.uint8)
    dld = DLDWrapper("bars", selector=Crowd(small()), gamma=100.0, escalate=True)
    assert dld.spot(blank).escalated_from == min(SCALES)
    calm = DLDWrapper("bars", selector=FixedScores(), gamma=100.0, escalate=True)
    assert calm.spot(blank).escalated_from is None, "a selector that does not say how many expects none"


@pytest.mark.usefixtures("_bars")
def test_a_closed_wrapper_says_so_under_auto_too() -> None:
    dld = DLDWrapper("bars", selector=FixedScores())
    dld.close()
    with pytest.raises(DLDError, match="closed"):
        dld.spot(page([40]).image)


def test_something_else_is_no_selector() -> None:
    with pytest.raises(ConfigError, match="ResolutionSelector or None, not 5"):
        DLDWrapper(BarSpotter(), selector=5)  # type: ignore[arg-type]


def test_changed_photos_or_labels_are_measured_anew(tmp_path: Path) -> None:
    config = bars_on_disk(tmp_path / "pages")
    before = fingerprint(BarSpotter(), config)
    assert fingerprint(BarSpotter(), config) == before
    labels = next(path for path in sorted((tmp_path / "pages").rglob("*.txt")))
    labels.write_text(labels.read_text() + "\n", encoding="utf-8")
    corrected = fingerprint(BarSpotter(), config)
    assert corrected != before
    picture = next(path for path in sorted((tmp_path / "pages").rglob("*.png")))
    picture.with_name("one_more.png").write_bytes(picture.read_bytes())
    assert fingerprint(BarSpotter(), config) not in (before, corrected)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"fit": {"gamma": [0, 5]}}, "'gamma' must be"),
        ({"fit": {"gamma": [5, 0.1]}}, "'gamma' must be"),
        ({"fit": {"weights": {"dicision": 1}}}, "no loss 'dicision'"),
        ({"fit": {"weights": {"words": -1}}}, "not be below 0"),
    ],
)
def test_settings_of_a_fit_are_checked_before_anything_is_read(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SelectorTrainingConfig.parse(values)
