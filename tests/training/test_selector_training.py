"""Making a selector: measuring, examples, losses, fitting, judging, and going on where a run stopped."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from bar_spotter import NETWORK, SCALES, BarSpotter, bars_on_disk, page, small
from contract_toys import ExampleSpotter
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dld_core import DLDWrapper
from dld_core.data.sources import parse_source
from dld_core.data.synth import PageRenderer, SynthConfig
from dld_core.errors import ConfigError, DataError, UnknownPartError
from dld_core.evaluation.choice import Reached, hmean_at
from dld_core.evaluation.outcomes import outcomes
from dld_core.evaluation.words import ImageWords
from dld_core.selection import CostModel, DenseSelector, DynamicResolution, load_selector, save_selector
from dld_core.selection.calibration import Calibration, size_ratio
from dld_core.selection.targets import letter_height
from dld_core.selection.thumbnail import thumbnail
from dld_core.training.selector.config import FitConfig, SelectorRunConfig, SelectorTrainingConfig
from dld_core.training.selector.examples import Example, zoomed
from dld_core.training.selector.fit import fit
from dld_core.training.selector.judging import Table, calibrate, choose, cross_run_oracle, predict
from dld_core.training.selector.losses import decision_loss, divergence, gumbel_decision, temperature_at
from dld_core.training.selector.making import alarm_of, fresh_selector, make_selector
from dld_core.training.selector.measure import Measurement, Measurer
from dld_core.training.selector.measuring import fingerprint, measure
from dld_core.types import Word


def measured(heights: Sequence[int], seed: int = 0, gap: int = 12) -> Measurement:
    sample = page(heights, seed, gap=gap)
    measurer = Measurer(BarSpotter(), SCALES, runs=3, long_side=96)
    return measurer(sample.name, sample.image, ImageWords.from_sample(sample))


# -- outcomes and measuring ---------------------------------------------------------------------------------


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
    # At scale 1 bars are as high as they are, at 0.25 a quarter, and those below 16 pixels are not read.
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
    assert alarm_of(left_open, known) == pytest.approx(right / (words + detections))
    assert alarm_of(SelectorTrainingConfig(alarm=0.1), known) == 0.1
    assert alarm_of(left_open, []) == 0.0
    unlabelled = SelectorTrainingConfig.parse({"measured": {"images": 0, "labels": "none"}})
    assert alarm_of(unlabelled, known) == 0.25


def test_without_labels_the_full_reading_stands_in() -> None:
    sample = page([40, 12], gap=20)
    m = Measurer(BarSpotter(), SCALES, runs=2, long_side=96)(sample.name, sample.image)
    assert m.cares.tolist() == [True, False]  # the second is unsure at full scale already
    assert m.lost[0].tolist() == [1, 0, 0]


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


# -- losses -------------------------------------------------------------------------------------------------


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


def test_the_temperature_falls_from_first_to_last() -> None:
    values = [temperature_at(p) for p in (0.0, 0.5, 1.0, 2.0)]
    assert values == pytest.approx([2.0, 1.0, 0.5, 0.5])


def test_divergence_is_the_kl_of_the_characters_over_the_steps_that_count() -> None:
    teacher, student = torch.tensor([[[2.0, 0.0]], [[1.0, 1.0]]]), torch.zeros(2, 1, 2)
    p = torch.tensor([2.0, 0.0]).softmax(0)
    by_hand = [float((p * (p.log() - np.log(0.5))).sum()), 0.0]
    padded = [torch.cat([x, torch.randn(2, 4, 2)], 1) for x in (teacher, student)]
    counts = torch.tensor([[True] + [False] * 4] * 2)
    assert divergence(*padded, counts).tolist() == pytest.approx(by_hand, abs=1e-6)


# -- judging ------------------------------------------------------------------------------------------------


def test_the_cross_run_oracle_wins_nothing_from_luck() -> None:
    """Words read at random: the same-run oracle looks clever, the cross-run one does not."""
    rng = np.random.default_rng(0)
    lucky, m = [], measured([])
    for _ in range(200):
        read = rng.random((2, 3, 8)) < 0.5
        changes = {"cares": np.ones(8, bool), "read": read, "detections": np.full((2, 3), 8)}
        lucky.append(replace(m, **changes))
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


# -- fitting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["expected", "paper"])
def test_fitting_separates_pages_that_can_be_shrunk_from_those_that_cannot(mode: str) -> None:
    """By a margin that no seed comes near: bars of 24 pixels are lost at a half, those of 60 are not."""
    torch.manual_seed(0)
    pages = [measured([height] * 2, seed=seed) for seed in range(12) for height in (24, 60)]
    selector = DenseSelector(small())
    before = predict(selector.eval(), pages)
    settings = FitConfig(steps=150, mode=mode, batch_size=8, lr=6e-3)
    fit(selector, [Example.of_measurement(m, 0.0, selector) for m in pages], settings)
    unseen = [measured([height] * 2, seed=500 + height) for height in (24, 60)]
    low, high = predict(selector, unseen)
    assert low[1] - low[2] > high[1] - high[2] + 0.5, "what shrinking costs"
    off = np.abs(predict(selector, pages) - Table.of(pages).losses(0.0)).mean()
    assert off < 0.5 * np.abs(before - Table.of(pages).losses(0.0)).mean()


def test_a_selector_without_a_loss_of_its_own_learns_by_the_contracts() -> None:
    """From measured images alone, with the measured loss and the decision; whatever its network."""
    from contract_toys import ToySelector

    torch.manual_seed(0)
    pages = [measured([height] * 2, seed=seed) for seed in range(3) for height in (12, 60)]
    selector = ToySelector(ToySelector.config_type(scales=SCALES, long_side=96))
    examples = [Example.of_measurement(m, 0.0, selector) for m in pages]
    unread = replace(examples[0], losses=None, costs=None)
    seen: list[dict[str, float]] = []
    fit(
        selector, [*examples, unread], FitConfig(steps=100, lr=0.05), lambda step, losses: seen.append(losses)
    )
    assert set(seen[0]) == {"words", "decision"}
    table = Table.of(pages).losses(0.0)
    assert np.abs(predict(selector, pages) - table.mean(0)).mean() < np.abs(table).mean()


def test_a_calibrated_selector_answers_with_calibrated_scores(tmp_path: Path) -> None:
    images = [measured([height] * 2, seed=seed) for seed in range(6) for height in (12, 60)]
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


# -- images, and runs ---------------------------------------------------------------------------------------


class Counted(BarSpotter):
    """Counts its readings."""

    def __init__(self) -> None:
        self.count = 0

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        self.count += len(images)
        return super().predict(images)


class OneFails(BarSpotter):
    """Of all processes that make one, the first cannot."""

    def __init__(self) -> None:
        try:
            os.mkdir(os.environ["DLD_TEST_MARK"])
        except FileExistsError:
            return
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


def test_processes_share_the_images_and_what_one_cannot_read_is_read_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = bars_on_disk(tmp_path / "pages")
    measure(BarSpotter(), alone, tmp_path / "alone", lambda _: None)
    monkeypatch.setenv("DLD_TEST_MARK", str(tmp_path / "mark"))
    shared = alone.model_copy(update={"measured": alone.measured.model_copy(update={"workers": 2})})
    here = Counted()
    assert len(measure(here, shared, tmp_path / "shared", lambda _: None, OneFails)) == 12
    assert here.count == 6 * len(SCALES) * 2, "half of the images, at every scale, twice"
    for one, other in zip(reads(tmp_path / "alone"), reads(tmp_path / "shared"), strict=True):
        np.testing.assert_array_equal(one, other)


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
    network = {**NETWORK, "scales": SCALES}
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
    wider = SelectorTrainingConfig.parse(
        {**network, "options": {"width": 16, "hidden": 8}, "init": str(path)}
    )
    with pytest.raises(ConfigError, match=r"other options \(width\)"):
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


def test_the_documented_settings_parse() -> None:
    text = (Path(__file__).parents[2] / "docs" / "resolution.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    config = SelectorRunConfig.parse(yaml.safe_load(example))
    assert config.selector.measured.images == 300


def test_the_tutorials_backend_gets_a_selector_without_a_line_of_its_own(tmp_path: Path) -> None:
    pages = {"kind": "synth", "page": {"page_size": [120, 160], "words": [2, 4]}}
    network = {**NETWORK, "scales": SCALES}
    config = SelectorTrainingConfig.parse(
        {**network, "measured": {"data": [pages], "images": 5}, "fit": {"steps": 3}}
    )
    spotter = ExampleSpotter()
    path = make_selector(spotter, config, tmp_path)
    dld = DLDWrapper(spotter, selector=path)
    assert dld.spot(page([40]).image).scale in SCALES


def test_a_selector_may_learn_from_pages_alone_and_others_start_from_it(tmp_path: Path) -> None:
    pages = {"kind": "synth", "page": {"page_size": [120, 160], "words": [2, 4]}}
    network = {**NETWORK, "scales": SCALES, "fit": {"steps": 3}}
    first = SelectorTrainingConfig.parse({**network, "pages": {"data": [pages], "images": 3, "zooms": 1}})
    path = make_selector(BarSpotter(), first, tmp_path / "first")
    measured = {"data": [pages], "images": 5}
    second = SelectorTrainingConfig.parse({**network, "init": str(path), "measured": measured})
    assert make_selector(BarSpotter(), second, tmp_path / "second").is_file()
    with pytest.raises(ConfigError, match="give some"):
        make_selector(BarSpotter(), SelectorTrainingConfig.parse(network), tmp_path / "third")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"fit": {"gamma": [0, 5]}}, "'gamma' must be"),
        ({"fit": {"gamma": [5, 0.1]}}, "'gamma' must be"),
        ({"fit": {"weights": {"dicision": 1}}}, "no loss 'dicision'"),
        ({"fit": {"weights": {"words": -1}}}, "not be below 0"),
        ({"options": {"hiden": 9}}, "did you mean 'hidden'"),
        ({"scales": [0.5, 0.5]}, "ascending"),
        ({"name": "danse"}, "Did you mean 'dense'"),
    ],
)
def test_settings_of_a_fit_are_checked_before_anything_is_read(values: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigError, UnknownPartError), match=says):
        SelectorTrainingConfig.parse(values)
