"""The study: one reading of everything, tables put together from it, and going on where it stopped."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from bar_spotter import SCALES, BarSpotter, page, small
from cli_runner import runner
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from dld_core.errors import ConfigError, DataError, DLDError
from dld_core.plugins.registry import backends
from dld_core.selection import DenseSelector, Policy, load_selector, save_selector
from dld_core.study import StudyConfig, SystemConfig, study
from dld_core.study.gain import Way, difference, gain_at_equal_time
from dld_core.study.readings import ImageRecord, _known
from dld_core.study.worth import add_worth
from dld_core.types import Word

HEIGHTS = (12, 24, 52, 52)


class CountingBars(BarSpotter):
    """Counts its readings."""

    count = 0

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        CountingBars.count += len(images)
        return super().predict(images)


@pytest.fixture
def sets(tmp_path: Path) -> Iterator[dict[str, Any]]:
    backends.register("bars", CountingBars)
    for folder in ("images", "gt"):
        (tmp_path / folder).mkdir()
    for number, height in enumerate(HEIGHTS):
        sample = page([height] * 2, seed=number)
        Image.fromarray(sample.image).save(tmp_path / "images" / f"img_{number}.png")
        lines = [",".join(str(int(v)) for v in p.ravel()) + ",bar\n" for p in sample.polygons]
        (tmp_path / "gt" / f"gt_img_{number}.txt").write_text("".join(lines))
    (tmp_path / "words.txt").write_text("bar\nblurb\n")
    torch.manual_seed(0)
    save_selector(DenseSelector(small()), tmp_path / "selector.safetensors")
    images, gt = str(tmp_path / "images"), str(tmp_path / "gt")
    yield {"bars": {"images": images, "gt": gt, "lexicons": {"weak": str(tmp_path / "words.txt")}}}
    backends.unregister("bars")


def config(sets: dict[str, Any], tmp_path: Path, **changes: Any) -> StudyConfig:
    system = {"backend": "bars", "scales": SCALES, "native_scales": [0.5], "gammas": [0.1, 2.0]}
    system |= {"selector": str(tmp_path / "selector.safetensors"), **changes}
    return StudyConfig.parse({"sets": sets, "systems": {"Bars": system}})


def test_rows_hold_every_setting_and_agree_with_the_readings(sets: dict[str, Any], tmp_path: Path) -> None:
    rows = study(config(sets, tmp_path), tmp_path / "out")
    assert [(r["kind"], r["at"]) for r in rows] == [
        *(("reference", s) for s in SCALES),
        ("native", 0.5),
        *(("chosen", g) for g in (0.1, 2.0)),
    ]
    # Bars of 12, 24 and 52 pixels natively are half as high at the reference size; eight can be read.
    recall = {r["at"]: r["e2e_recall"] for r in rows if r["kind"] == "reference"}
    assert recall == {0.25: 0.0, 0.5: 0.5, 1.0: 0.75}
    full = rows[2]
    assert full["relative_gflops"] == full["relative_latency"] == 1
    assert rows[3]["gflops"] < full["gflops"], "half of the native size"
    record = (tmp_path / "out" / "readings" / "bars.jsonl").read_text().splitlines()
    assert len(record) == 1 + len(HEIGHTS)
    selector = load_selector(tmp_path / "selector.safetensors")
    for row in rows[4:]:
        counts: dict[str, int] = {}
        total = 0.0
        for line in map(json.loads, record[1:]):
            choosing = line["choices"][0]
            scale = selector.scales[Policy(gamma=row["at"]).choose(choosing["scores"], choosing["costs"])]
            counts[f"{scale:g}"] = counts.get(f"{scale:g}", 0) + 1
            reading = next(r for r in line["readings"] if r["scale"] == scale and r["base"] == "reference")
            total += reading["gflops"] + choosing["gflops"]
        assert row["scales"] == counts
        assert row["gflops"] == pytest.approx(total / len(HEIGHTS))


def test_the_oracle_knows_from_another_run_what_can_be_read(sets: dict[str, Any], tmp_path: Path) -> None:
    rows = study(config(sets, tmp_path, oracle=True), tmp_path / "out")
    full = next(r for r in rows if r["kind"] == "reference" and r["at"] == 1.0)
    oracle = next(r for r in rows if r["kind"] == "oracle" and r["at"] == 0.1)
    # Never legible, at full scale only, and twice at half of it.
    assert oracle["scales"] == {"0.25": 1, "0.5": 2, "1": 1}
    assert oracle["e2e_recall"] == full["e2e_recall"] == 0.75
    assert oracle["relative_gflops"] < 0.5
    assert oracle["fixed_e2e_hmean"] < oracle["e2e_hmean"]
    chosen = [r for r in rows if r["kind"] == "chosen"]
    assert all(r["fixed_e2e_hmean"] <= full["e2e_hmean"] for r in chosen)
    assert all("of_oracle" in r for r in chosen)


def test_memory_is_watched_in_a_process_of_its_own(sets: dict[str, Any], tmp_path: Path) -> None:
    weights = tmp_path / "tiny.safetensors"
    save_file(backends.get("segmentation").create(weights=None, preset="tiny").state_dict(), weights)
    system = {"backend": "segmentation", "weights": str(weights), "options": {"preset": "tiny"}}
    system |= {"scales": [0.3, 1.0], "selector": None}
    settings = {"sets": sets, "systems": {"tiny": system}, "memory": True}
    rows = study(StudyConfig.parse(settings), tmp_path / "out")
    small_, large = (row["peak_memory_mb"] for row in rows)
    assert 100 < small_ < large < 5000  # MB, torch and the interpreter included
    assert "| MB |" in (tmp_path / "out" / "study.md").read_text()
    assert [r["peak_memory_mb"] for r in study(StudyConfig.parse(settings), tmp_path / "out")] == [
        small_,
        large,
    ]


def test_a_system_has_threads_of_its_own(sets: dict[str, Any], tmp_path: Path) -> None:
    seen: list[int] = []

    class Threads(BarSpotter):
        def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
            seen.append(torch.get_num_threads())
            return super().predict(images)

    backends.register("threads", Threads)
    before = torch.get_num_threads()
    try:
        system = {"backend": "threads", "scales": [0.5], "selector": None}
        systems = {"one": {**system, "threads": 1}, "three": {**system, "threads": 3}}
        study(StudyConfig.parse({"sets": sets, "systems": systems}), tmp_path / "out")
    finally:
        backends.unregister("threads")
    assert set(seen) == {1, 3}
    assert torch.get_num_threads() == before


def test_further_selectors_choose_among_the_same_readings(sets: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_selector(DenseSelector(small()), tmp_path / "other.safetensors")
    files = {"same": str(tmp_path / "selector.safetensors"), "other": str(tmp_path / "other.safetensors")}
    alone = study(config(sets, tmp_path), tmp_path / "alone")
    CountingBars.count = 0
    rows = study(config(sets, tmp_path, selectors=files), tmp_path / "out")
    readings = (len(HEIGHTS) + 1) * (len(SCALES) + 1)  # the first image is read twice, to warm up
    assert CountingBars.count == readings
    chosen = {(r["selector"], r["at"]): r for r in rows if r["kind"] == "chosen"}
    assert list(chosen) == [(name, gamma) for name in ("", "same", "other") for gamma in (0.1, 2.0)]
    for row in (r for r in alone if r["kind"] == "chosen"):
        for name in ("", "same"):
            assert chosen[name, row["at"]]["gflops"] == pytest.approx(row["gflops"])
    assert "other: chosen, gamma 2" in (tmp_path / "out" / "study.md").read_text()


def test_a_choice_is_compared_with_fixed_scales_of_equal_cost() -> None:
    def row(system: str, kind: str, hmean: float, cost: float | None, latency: float = 9.0) -> dict[str, Any]:
        values = {"system": system, "kind": kind, "e2e_hmean": hmean}
        return {**values, "relative_gflops": cost, "relative_latency": latency}

    rows = [
        *(row("teacher", "reference", hmean, cost) for hmean, cost in ((0.2, 0.2), (0.6, 1.0))),
        *(row("mine", "reference", hmean, cost) for hmean, cost in ((0.3, 0.2), (0.5, 1.0))),
        row("mine", "oracle", 0.6, 0.6),
        row("mine", "chosen", 0.5, 0.6),
        row("mine", "chosen", 0.5, 1.01),
        row("mine", "chosen", 0.1, None, 0.1),
    ]
    add_worth(rows, "teacher")
    assert [r.get("fixed_e2e_hmean") for r in rows[4:]] == pytest.approx([0.4, 0.4, 0.6, 0.1])
    assert rows[5]["of_oracle"] == pytest.approx((0.5 - 0.4) / (0.6 - 0.4))
    assert rows[6]["of_oracle"] is None or rows[6]["of_oracle"] <= 1
    assert "of_oracle" not in rows[0]


def test_an_engine_that_resizes_by_itself_may_come_first(sets: dict[str, Any], tmp_path: Path) -> None:
    class Stock(CountingBars):
        def flops(self, height: int, width: int, words: int = 0) -> None:
            return None

    backends.register("stock", Stock)
    try:
        mine = config(sets, tmp_path).systems["Bars"].model_dump()
        stock = {"backend": "stock", "selector": None, "scales": [], "native_scales": [0.5, 1.0]}
        both = StudyConfig.parse({"sets": sets, "systems": {"stock": stock, "mine": mine}})
        rows = study(both, tmp_path / "out")
    finally:
        backends.unregister("stock")
    assert [(r["at"], r["relative_latency"]) for r in rows[:2]][1] == (1.0, 1.0)
    assert all(r["relative_gflops"] is None and r["relative_latency"] > 0 for r in rows)
    best = max(r["e2e_hmean"] for r in rows if (r["system"], r["kind"]) == ("mine", "reference"))
    assert all(0 <= r["fixed_e2e_hmean"] <= best for r in rows if r["kind"] == "chosen")


def test_tables_and_pictures_are_written(sets: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    rows = study(config(sets, tmp_path), out)
    with (out / "study.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    text = (out / "study.md").read_text()
    assert "| Bars | chosen, gamma 2 |" in text
    assert "E2E Weak" in text
    with Image.open(out / "study_bars.png") as picture:
        assert picture.width > 500


def test_nothing_is_read_twice(sets: dict[str, Any], tmp_path: Path) -> None:
    out, record = tmp_path / "out", tmp_path / "out" / "readings" / "bars.jsonl"
    first = study(config(sets, tmp_path), out)
    lines = record.read_text().splitlines()
    record.write_text("\n".join(lines[:3]) + "\n")  # as if stopped after two images
    CountingBars.count = 0
    again = study(config(sets, tmp_path, gammas=[0.1, 2.0, 5.0]), out)
    readers = len(SCALES) + 1
    assert CountingBars.count == 3 * readers  # two images, and the first of them once more to warm up
    same = ("e2e_hmean", "gflops", "scales")
    assert [[r[k] for k in same] for r in again[: len(first)]] == [[r[k] for k in same] for r in first]
    assert len(again) == len(first) + 1
    record.write_text("\n".join([*lines[:3], "{broken"]) + "\n")
    with pytest.raises(DataError, match=r"bars\.jsonl:4 is damaged"):
        study(config(sets, tmp_path), out)
    with pytest.raises(ConfigError, match="other settings"):
        study(config(sets, tmp_path, scales=[0.25, 0.5, 0.8, 1.0]), out)


def test_records_hold_any_text(tmp_path: Path) -> None:
    record, entry = tmp_path / "bars.jsonl", ImageRecord("a\u2028b\x85c\x1cd", [], [])
    record.write_text(f"settings\n{entry.to_json()}\n", encoding="utf-8")
    assert list(_known(record, "settings")) == [entry]


def test_a_larger_limit_goes_on_with_what_is_new(sets: dict[str, Any], tmp_path: Path) -> None:
    some = {"bars": sets["bars"] | {"limit": 2}}
    study(config(some, tmp_path), tmp_path / "out")
    CountingBars.count = 0
    rows = study(config(sets, tmp_path), tmp_path / "out")
    new = len(HEIGHTS) - 2
    assert CountingBars.count == (new + 1) * (len(SCALES) + 1)  # the first of them once more to warm up
    whole = study(config(sets, tmp_path), tmp_path / "whole")
    assert [r["e2e_hmean"] for r in rows] == [r["e2e_hmean"] for r in whole]


def test_a_study_that_was_killed_goes_on(sets: dict[str, Any], tmp_path: Path) -> None:
    study(config(sets, tmp_path), tmp_path / "out")
    record = tmp_path / "out" / "readings" / "bars.jsonl"
    whole = record.read_text()
    record.write_text(whole[: len(whole) - 40])
    CountingBars.count = 0
    rows = study(config(sets, tmp_path), tmp_path / "out")
    assert CountingBars.count == 2 * (len(SCALES) + 1), "one image anew, and once to warm up"
    assert len(rows) == 6
    assert len(record.read_text().splitlines()) == 1 + len(HEIGHTS)


def test_a_selector_fitted_anew_is_asked_about_what_is_read_already(
    sets: dict[str, Any], tmp_path: Path
) -> None:
    first = study(config(sets, tmp_path), tmp_path / "out")
    old = load_selector(tmp_path / "selector.safetensors")
    torch.manual_seed(1)
    save_selector(DenseSelector(small()), tmp_path / "selector.safetensors")
    fresh = study(config(sets, tmp_path), tmp_path / "fresh")
    CountingBars.count = 0
    rows = study(config(sets, tmp_path), tmp_path / "out")
    assert CountingBars.count == 0
    same = ("kind", "at", "e2e_hmean", "gflops", "scales")
    assert [[r[k] for k in same] for r in rows] == [[r[k] for k in same] for r in fresh]
    record = tmp_path / "out" / "readings" / "bars.jsonl"
    lines = len(record.read_text().splitlines())
    assert lines == 1 + 2 * len(HEIGHTS)
    save_selector(old, tmp_path / "selector.safetensors")  # the first one again: all is known
    assert [[r[k] for k in same] for r in study(config(sets, tmp_path), tmp_path / "out")] == [
        [r[k] for k in same] for r in first
    ]
    assert len(record.read_text().splitlines()) == lines


def test_a_gain_at_equal_time_is_over_the_best_mixture_of_scales() -> None:
    def way(correct: Sequence[float], detections: float, milliseconds: float) -> Way:
        images = len(correct)
        counted = np.full(images, 10 + detections)
        return Way(np.array(correct, float), counted, np.full(images, milliseconds))

    small_scale, full = way([2] * 40, 10, 10), way([8] * 40, 10, 30)
    middle = gain_at_equal_time(way([5] * 40, 10, 20), [full, small_scale])
    assert middle.value == pytest.approx(0)  # as good as half of the images at each scale
    better = gain_at_equal_time(way([6] * 20 + [7] * 20, 10, 20), [small_scale, full])
    assert better.value == pytest.approx(0.65 - 0.5)
    assert 0.09 < better.low < better.value < better.high < 0.21
    assert gain_at_equal_time(way([8] * 40, 10, 90), [small_scale, full]).value == pytest.approx(0)
    assert gain_at_equal_time(way([1] * 40, 10, 5), [small_scale, full]).value == pytest.approx(0.1)


def test_a_difference_is_of_the_same_images() -> None:
    hard_and_easy = np.array([0.0] * 20 + [9.0] * 20)
    words, time = np.full(40, 20.0), np.full(40, 5.0)
    other = Way(hard_and_easy, words, time)
    always_better = difference(Way(hard_and_easy + 1, words, time), other)
    assert [always_better.value, always_better.low, always_better.high] == pytest.approx([0.1] * 3)
    now_and_then = difference(Way(hard_and_easy + np.tile([2.0, -2.0], 20), words, time), other)
    assert now_and_then.value == pytest.approx(0)
    assert now_and_then.low < 0 < now_and_then.high


def test_all_systems_are_compared_with_one_at_equal_scales(sets: dict[str, Any], tmp_path: Path) -> None:
    settings = config(sets, tmp_path)
    name = next(iter(settings.systems))
    systems = {**settings.systems, "other": settings.systems[name].model_copy(update={"selector": None})}
    compared = settings.model_copy(update={"systems": systems, "against": name})
    rows = study(compared, tmp_path / "out")
    assert {r["system"] for r in rows if "difference" in r} == set(systems) - {name}
    other = next(r for r in rows if r["system"] == "other" and r["kind"] == "reference")
    assert other["difference"] == other["difference_low"] == other["difference_high"] == 0
    assert f"beyond {name!r} (95%)" in (tmp_path / "out" / "study.md").read_text()
    with pytest.raises(ConfigError, match="none of the systems"):
        StudyConfig.parse({**compared.model_dump(), "against": "nobody"})


def test_gains_stand_beside_choices(sets: dict[str, Any], tmp_path: Path) -> None:
    rows = study(config(sets, tmp_path), tmp_path / "out")
    for row in rows:
        assert ("gain" in row) == (row["kind"] == "chosen")
    chosen = rows[-1]
    assert chosen["gain_low"] <= chosen["gain_high"]
    assert f"| {chosen['gain']:+.3f} (" in (tmp_path / "out" / "study.md").read_text()


def test_a_selector_needs_its_scales_to_be_read(sets: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacks \[0\.25\]"):
        study(config(sets, tmp_path, scales=[0.5, 1.0]), tmp_path / "out")


def test_the_command(sets: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runner(capsys)
    settings = tmp_path / "study.yaml"
    settings.write_text(
        json.dumps({"sets": sets, "systems": {"A": {"backend": "bars", "scales": [1.0], "selector": None}}})
    )
    code, out, err = run("study", settings, "--out", tmp_path / "out", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["e2e_recall"] == 0.75
    settings.write_text("sets: {}\nsystems: {}\nsistems: 1\n")
    code, _, err = run("study", settings, "--out", tmp_path / "other")
    assert code == 2
    assert "did you mean 'systems'" in err


def test_the_documented_settings_are_the_real_ones() -> None:
    text = (Path(__file__).parents[2] / "docs" / "study.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    parsed = StudyConfig.parse(yaml.safe_load(example))
    assert list(parsed.systems) == ["teacher", "DLD", "RapidOCR"]
    table = text.split("| key of a system", 1)[1].split("\n\n", 1)[0]
    keys = {key for line in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert keys == set(SystemConfig.model_fields)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gammas": [-1]}, "below 0"),
        ({"scales": [], "oracle": True, "selector": None, "gammas": []}, "'oracle' chooses"),
    ],
)
def test_settings_are_checked_before_anything_is_read(
    sets: dict[str, Any], tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        config(sets, tmp_path, **changes)


def test_all_sets_are_opened_before_anything_is_read(sets: dict[str, Any], tmp_path: Path) -> None:
    lacking = {**sets, "more": {**sets["bars"], "lexicons": {"weak": str(tmp_path / "absent.txt")}}}
    CountingBars.count = 0
    with pytest.raises(DLDError, match=r"absent\.txt"):
        study(config(lacking, tmp_path), tmp_path / "out")
    assert CountingBars.count == 0
