"""DRS at work: thumbnails, the network, calibration, policy, files, parts by name, and the wrapper."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from bar_spotter import SCALES, BarSpotter, FixedScores, page, small
from fake_spotters import RedSpotter
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from dld_core import DLDWrapper
from dld_core.errors import ConfigError, DLDError, UnknownPartError, WeightsError
from dld_core.images import full_factor
from dld_core.interfaces import ResolutionSelector, SelectorConfig
from dld_core.plugins.hooks import hooks
from dld_core.plugins.registry import backends, selectors
from dld_core.selection import (
    CostModel,
    DenseSelector,
    DynamicResolution,
    Policy,
    load_selector,
    save_selector,
)
from dld_core.selection.calibration import Calibration, cross_calibrated
from dld_core.selection.targets import cell_targets, letter_height
from dld_core.selection.thumbnail import MOST_TILES, thumbnail_size, tile_grid, tiles
from dld_core.testing import ResolutionSelectorContract
from dld_core.types import Word


class TestDenseSelector(ResolutionSelectorContract):
    """The bundled selector keeps every contract of its interface."""

    thumbnail_size = (96, 160)

    def make(self) -> ResolutionSelector:
        torch.manual_seed(0)
        return DenseSelector().eval()


@pytest.fixture
def _bars() -> Iterator[None]:
    backends.register("bars", BarSpotter)
    yield
    backends.unregister("bars")


# -- thumbnails, targets, calibration, policy ---------------------------------------------------------------


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
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(20, 3)) * 0.2 + [2.0, 1.0, 0.0]
    found = cross_calibrated(np.zeros((20, 3)), losses, np.ones(20), np.zeros(20))
    assert len(np.unique(found.round(6), axis=0)) == 5, "each fold has its own"
    np.testing.assert_allclose(found.mean(0) - found.mean(), losses.mean(0) - losses.mean(), atol=0.1)


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


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_the_network_knows_the_full_size(height: int, width: int) -> None:
    selector = DenseSelector(small())
    found = float(selector._full(torch.tensor([[height, width]]).float())[0])
    assert found == pytest.approx(min(height, width) * full_factor(height, width, 240), rel=1e-4)


# -- files, and parts by name -------------------------------------------------------------------------------


def test_a_selector_survives_its_file(tmp_path: Path) -> None:
    selector = DenseSelector(small()).eval()
    selector.calibrate(Calibration(np.array([0.5, 0.1]), np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]])))
    inputs = torch.rand(2, 3, 64, 96), torch.tensor([[240, 320], [100, 100]])
    again = load_selector(save_selector(selector, tmp_path / "s.safetensors", half=False))
    assert (type(again), again.config) == (DenseSelector, selector.config)
    assert torch.equal(again(*inputs), selector(*inputs))
    halved = load_selector(save_selector(selector, tmp_path / "h.safetensors"))
    torch.testing.assert_close(halved(*inputs), selector(*inputs), atol=0.02, rtol=0.02)


def test_files_of_older_versions_are_still_read(tmp_path: Path) -> None:
    """Without a name, and with a calibration that is the same for images of all sizes."""
    selector = DenseSelector(small())
    state = {**selector.state_dict(), "slope": torch.tensor(0.5), "offset": torch.arange(3.0)}
    header = {"format": "dld-selector-1", "config": json.dumps(selector.config.model_dump(mode="json"))}
    save_file(state, tmp_path / "old.safetensors", header)
    read = load_selector(tmp_path / "old.safetensors")
    assert isinstance(read, DenseSelector)
    assert read.slope.tolist() == [0.5, 0.0]
    assert read.offset.tolist() == [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("header", "change", "error", "says"),
    [
        ({}, {}, WeightsError, "holds no selector"),
        ({"format": "dld-selector-9"}, {}, WeightsError, "holds no selector"),
        ({"config": "[1, 2"}, {}, WeightsError, "holds no selector"),
        ({"config": "7"}, {}, WeightsError, "holds no selector"),
        ({"config": json.dumps({"scales": "small"})}, {}, WeightsError, "damaged.*scales"),
        ({"config": json.dumps({"hidden": 9})}, {}, WeightsError, "does not fit the selector 'dense'"),
        ({"name": "theirs"}, {}, UnknownPartError, "needs a selector that is not installed.*theirs"),
        (None, {"slope": torch.tensor([torch.nan, 0.0])}, WeightsError, "NaN or infinity in slope"),
        (None, {"slope": torch.zeros(2, dtype=torch.int8)}, WeightsError, "slope as int8"),
        (None, {"stray": torch.zeros(1)}, WeightsError, "does not fit"),
    ],
)
def test_damaged_files_are_told_in_one_sentence(
    tmp_path: Path, header: dict[str, str] | None, change: dict[str, Tensor], error: type, says: str
) -> None:
    selector = DenseSelector(small())
    sound = {"format": "dld-selector-1", "config": json.dumps(selector.config.model_dump(mode="json"))}
    given = sound if header is None else {**sound, **header} if header else {}
    save_file({**selector.state_dict(), **change}, tmp_path / "s.safetensors", given)
    with pytest.raises(error, match=says):
        load_selector(tmp_path / "s.safetensors")
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="not a readable"):
        load_selector(tmp_path / "junk.safetensors")


class Halves(ResolutionSelector):
    """Needs no training: large images at a half, and small ones as they are."""

    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        del thumbnails
        large = native_sizes.amin(1, keepdim=True) >= (self.reference_short_side or 0)
        best = torch.where(large, 0.5, 1.0)
        return 9 * (native_sizes.new_tensor(self.scales, dtype=torch.float32) - best).abs()


@pytest.mark.usefixtures("_bars")
def test_a_name_means_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    selectors.register("halves", Halves)
    try:
        dld = DLDWrapper("bars", selector="halves", gamma=0.0)
        assert [dld.spot(page([40], size=size).image).scale for size in ((240, 320), (200, 320))] == [
            0.5,
            1.0,
        ]
        with pytest.raises(UnknownPartError, match="Did you mean 'halves'"):
            DLDWrapper("bars", selector="halfs")
        with pytest.raises(ConfigError, match="no selector 'dense' is trained for bars"):
            DLDWrapper("bars", selector="dense")
        path = save_selector(DenseSelector(small()), tmp_path / "selector.safetensors")
        for place in (path, str(path), tmp_path):
            assert isinstance(DLDWrapper("bars", selector=place).selector, DenseSelector)
        monkeypatch.setattr(
            BarSpotter, "bundled_part", lambda self, part: path if part == "selector" else None
        )
        assert isinstance(DLDWrapper("bars", selector="dense").selector, DenseSelector)
        monkeypatch.setattr(BarSpotter, "bundled_part", lambda self, part: None)
        monkeypatch.setattr(DenseSelector, "weights_for", classmethod(lambda cls, backend: path))
        assert isinstance(DLDWrapper("bars", selector="dense").selector, DenseSelector)
    finally:
        selectors.unregister("halves")
    with pytest.raises(ConfigError, match="ResolutionSelector or None, not 5"):
        DLDWrapper(BarSpotter(), selector=5)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_bars")
def test_a_selector_of_another_reference_size_is_refused_and_others_are_moved(tmp_path: Path) -> None:
    other = DenseSelector(small(reference_short_side=720))
    path = save_selector(other, tmp_path / "s.safetensors")
    for source in (path, other):
        with pytest.raises(WeightsError, match="reference short side of 720"):
            DLDWrapper("bars", selector=source)
    ready = DenseSelector(small()).to(torch.float64).train()
    assert DLDWrapper("bars", selector=ready).selector is ready
    assert not ready.training
    assert isinstance(DLDWrapper("bars", selector=FixedScores()).selector, FixedScores), (
        "one that serves any size"
    )


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


@pytest.mark.parametrize("backend", ["maskrcnn", "segmentation"])
def test_the_selector_that_ships_costs_less_than_a_hundredth_of_its_teacher(backend: str) -> None:
    spotter = backends.get(backend).create()
    path = spotter.bundled_part("selector")
    assert path is not None
    drs = DynamicResolution(load_selector(path), CostModel(spotter))
    assert 0 < drs.own_gflops(720, 1280) < 0.01 * spotter.flops(720, 1280, 10) / 1e9


# -- choosing, and the wrapper ------------------------------------------------------------------------------


def test_no_image_is_enlarged_far_beyond_its_pixels() -> None:
    """Reference 240: images below it are enlarged at scale 1, so that larger scales bring nothing."""
    config = SelectorConfig(scales=(0.25, 0.5, 1.0, 1.5))
    selector = FixedScores(config, lost=(4.0, 3.0, 2.0, 1.0))
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


def test_small_letters_of_large_images_are_looked_for_in_tiles() -> None:
    assert tile_grid(640, 1138, 1344) == (1, 1)
    rows, columns = tile_grid(12_000, 9_000, 1344)
    assert rows * columns <= MOST_TILES + rows + columns
    image = np.zeros((90, 70, 3), np.uint8)
    parts = tiles(image, 40)
    assert [part.shape[:2] for part in parts] == [(30, 35)] * 6
    assert all(np.shares_memory(part, image) for part in parts)


@pytest.mark.usefixtures("_bars")
def test_a_page_of_text_is_read_at_full_size_unless_a_price_is_given() -> None:
    image = page([40]).image
    dld = DLDWrapper("bars", selector=Crowd(small(gamma=1e6)))
    assert (dld.spot(image).scale, dld.spot(image).model) == (1.0, "teacher")
    assert dld.spot(image, gamma=1e6).scale < 1.0
    assert DLDWrapper("bars", selector=Couple(small(gamma=1e6))).spot(image).scale < 1.0
