"""Ablations: variants laid over one config, run once each, and compared in one study."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from bar_spotter import NETWORK, BarSpotter, page, photos
from cli_runner import Run, runner
from safetensors.torch import save_file
from tiny_training import write_photos

from dld_backends.segmentation import SegmentationConfig, SegmentationSpotter
from dld_core.errors import ConfigError
from dld_core.plugins.registry import backends
from dld_core.study.ablation import AblationConfig, folder_name, merged


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def written(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_changes_are_laid_over_the_base_key_by_key() -> None:
    base = {"a": 1, "b": {"c": 2, "d": [3]}}
    assert merged(base, {"b": {"d": [4, 5]}, "e": None}) == {"a": 1, "b": {"c": 2, "d": [4, 5]}, "e": None}
    assert base == {"a": 1, "b": {"c": 2, "d": [3]}}
    assert folder_name("k = 5, logit") == "k-5-logit"


def test_variants_must_be_told_apart() -> None:
    rest = {"base": "b.yaml", "sets": {"s": {"images": "i", "gt": "g"}}}
    for variants in ({}, {"teacher": {}}, {"a b": {}, "a-b": {}}, {"?": {}}):
        with pytest.raises(ConfigError, match="tell them apart"):
            AblationConfig.parse({**rest, "variants": variants})


def test_students_are_taught_once_and_compared_with_their_teacher(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = SegmentationSpotter(SegmentationConfig.parse({"preset": "tiny"}))
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    photos_ = write_photos(tmp_path / "photos")
    written(
        tmp_path / "base.yaml",
        {
            "backend": "segmentation",
            "options": {"preset": "tiny", "reference_short_side": 96},
            "teacher": str(tmp_path / "teacher.safetensors"),
            "data": [{"kind": "synth", "page": {"page_size": [96, 128], "words": [2, 4]}}],
            **{"sizes": [96], "batch_size": 2, "steps": 9, "workers": 0, "warmup_steps": 1},
            **{"scales": [0.5, 1.0], "log_steps": 1},
        },
    )
    config = written(
        tmp_path / "ablation.yaml",
        {
            "base": "base.yaml",
            "change": {"steps": 2},
            "variants": {
                "all": None,
                "no features": {"distiller_options": {"roi_features": 0, "context": 0}},
            },
            "sets": {"s": {"images": str(photos_ / "images"), "gt": str(photos_ / "gt")}},
            "scales": [0.5, 1.0],
        },
    )
    code, out, err = run("ablate", config, "--out", tmp_path / "out")
    assert code == 0, err
    assert all(f"| {name} | scale 0.5 |" in out for name in ("teacher", "all", "no features"))
    assert "beyond 'all' (95%)" in out
    differing = [line.split(" | ")[0] for line in out.splitlines() if re.search(r"\| [+-]0\.\d{3} \(", line)]
    assert differing == ["| teacher"] * 2 + ["| no features"] * 2
    first = (tmp_path / "out" / "all" / "metrics.csv").read_text().splitlines()
    other = (tmp_path / "out" / "no-features" / "metrics.csv").read_text().splitlines()
    assert len(first) == len(other) == 3
    assert "kd_context" in first[0]
    assert "kd_context" not in other[0]
    code, again, err = run("ablate", config, "--out", tmp_path / "out")
    assert code == 0, err
    assert again == out
    assert (tmp_path / "out" / "all" / "metrics.csv").read_text().splitlines() == first


def test_selectors_share_one_reading_of_the_images(run: Run, tmp_path: Path) -> None:
    images = photos(tmp_path / "photos")
    gt = tmp_path / "gt"
    gt.mkdir()
    for number in range(10):
        sample = page([20, 50], seed=number)
        lines = [",".join(str(int(v)) for v in p.ravel()) + ",bar\n" for p in sample.polygons]
        (gt / f"gt_img_{number}.txt").write_text("".join(lines))
    source = {"kind": "icdar", "images": str(images), "gt": str(gt)}
    network = {**NETWORK, "scales": [0.5, 1.0]}
    selector = {**network, "measured": {"data": [source], "images": 10}, "fit": {"steps": 3}}
    written(tmp_path / "base.yaml", {"backend": "bars", "selector": selector})
    values = {
        "base": "base.yaml",
        "variants": {"wide": {}, "narrow": {"selector": {"long_side": 64}}},
        "sets": {"s": {"images": str(images), "gt": str(gt), "limit": 3}},
        "gammas": [0.1],
    }
    config = written(tmp_path / "ablation.yaml", values)
    backends.register("bars", BarSpotter)
    try:
        code, out, err = run("ablate", config, "--out", tmp_path / "out")
        assert code == 0, err
        values["variants"]["narrow"] = {"selector": {"long_side": 64, "fit": {"steps": 4}}}
        values["gammas"] = []
        code, _, err = run("ablate", written(config, values), "--out", tmp_path / "out")
        assert "selector 'narrow'" in err  # of other settings, so it is made again
        assert "selector 'wide'" not in err
    finally:
        backends.unregister("bars")
    assert "| bars | wide: chosen, gamma 0.1 |" in out
    assert "| bars | narrow: chosen, gamma 0.1 |" in out
    assert len(list((tmp_path / "out" / "measured").rglob("*.npz"))) == 10
    sides = {
        name: json.loads((tmp_path / "out" / name / "selector.json").read_text())["settings"]["long_side"]
        for name in ("wide", "narrow")
    }
    assert sides == {"wide": 96, "narrow": 64}


def test_students_and_selectors_are_not_compared(run: Run, tmp_path: Path) -> None:
    written(tmp_path / "base.yaml", {"backend": "segmentation"})
    values = {"base": "base.yaml", "variants": {"a": {}, "b": {"data": []}}, "sets": {}}
    code, _, err = run("ablate", written(tmp_path / "mixed.yaml", values), "--out", tmp_path / "out")
    assert code == 2
    assert "none of them (selectors)" in err
