"""A selector and a distiller of somebody else's package, installed: checked, trained, saved, chosen."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bar_spotter import SCALES, BarSpotter, bars_on_disk, page, written
from cli_runner import Run, runner
from safetensors import safe_open
from safetensors.torch import save_file
from test_installed_plugins import install

from dld_backends.segmentation import SegmentationConfig, SegmentationSpotter
from dld_core import DLDWrapper
from dld_core.plugins import registry

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("setuptools", "pip")),
    reason="installing a package needs pip and setuptools here: pip install 'dld[test]'",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("selector"), "example_selector")


@pytest.fixture
def run(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`dld` with the package on the import path, and a backend of known limits."""
    monkeypatch.syspath_prepend(str(site))
    registry.backends.register("bars", BarSpotter)
    for group in registry.GROUPS:
        group.refresh()
    yield runner(capsys)
    registry.backends.unregister("bars")
    monkeypatch.undo()
    for group in registry.GROUPS:
        group.refresh()


def header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as content:
        return dict(content.metadata())


def test_it_is_listed_and_keeps_every_contract(run: Run) -> None:
    code, out, _ = run("backends", "--json")
    parts = {(p["group"], p["name"]): p["distribution"] for p in json.loads(out)}
    assert code == 0
    assert parts["dld.selectors", "edges"] == parts["dld.distillers", "cosine"] == "example-selector"
    assert parts["dld.selectors", "dense"] == "dld", "registered like anybody's"
    for name in ("edges", "cosine", "dense"):
        code, out, err = run("check", name)
        assert code == 0, out + err


def test_it_is_trained_saved_and_chosen_for_an_engine(run: Run, tmp_path: Path) -> None:
    base = bars_on_disk(tmp_path / "pages").measured.model_dump(mode="json", serialize_as_any=True)
    values = {"scales": list(SCALES), "long_side": 96, "measured": base, "fit": {"steps": 30, "lr": 0.05}}
    selector = {"name": "edges", "options": {"width": 4}, **values}
    config = written(tmp_path / "c.yaml", {"backend": "bars", "selector": selector})
    code, out, err = run("distill", config, "--out", tmp_path / "run")
    assert code == 0, err
    path = Path(out.strip())
    assert header(path)["name"] == "edges"
    assert json.loads(header(path)["config"])["width"] == 4
    image = page([40]).image
    for given in (path, "edges", "bundled"):
        with DLDWrapper("bars", tmp_path / "run", selector=given) as dld:
            assert type(dld.selector).__name__ == "EdgeSelector"
            assert dld.spot(image).scale in SCALES
    again = DLDWrapper.load(dld_saved(tmp_path))
    assert type(again.selector).__name__ == "EdgeSelector"
    wrong = written(
        tmp_path / "w.yaml", {"backend": "bars", "selector": {**selector, "options": {"wdith": 4}}}
    )
    code, _, err = run("distill", wrong, "--out", tmp_path / "other")
    assert code == 2
    assert "did you mean 'width'" in err


def dld_saved(folder: Path) -> Path:
    with DLDWrapper("bars", folder / "run", selector="edges") as dld:
        return dld.save(folder / "saved")


def test_both_learn_in_the_loop_with_a_student(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = {"preset": "tiny", "reference_short_side": 96}
    teacher = SegmentationSpotter(SegmentationConfig.parse(options))
    save_file(teacher.state_dict(), tmp_path / "teacher.safetensors")
    values = {
        "backend": "segmentation",
        "options": options,
        "teacher": str(tmp_path / "teacher.safetensors"),
        "data": [{"kind": "synth", "page": {"page_size": [96, 128], "words": [2, 4]}}],
        **{"sizes": [96], "batch_size": 2, "steps": 2, "workers": 0, "warmup_steps": 1, "log_steps": 1},
        **{"scales": [0.5, 1.0, 1.25], "read_others": True, "joint": {"mode": "paper"}},
        "selector": {"name": "edges", "scales": [0.5, 1.0, 1.25], "long_side": 96},
        **{"distiller": "cosine", "distiller_options": {"weight": 0.5}},
    }
    code, _, err = run("distill", written(tmp_path / "c.yaml", values), "--out", tmp_path / "run")
    assert code == 0, err
    columns = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"kd_direction", "selection"} <= set(columns)
    with DLDWrapper("segmentation", tmp_path / "run", selector="edges", **options) as dld:
        assert type(dld.selector).__name__ == "EdgeSelector"
        assert dld.teacher is not dld.spotter
        assert dld.spot(page([30]).image).scale in (0.5, 1.0, 1.25)
