"""docs/engines.md: its example is true, and its tables agree with the code."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_engines import dark_box, quad

from dld_core.plugins import registry
from dld_core.testing import SpotterContract, run_contracts
from dld_core.training.distill.config import DistillConfig
from dld_core.training.selector.config import SelectorRunConfig
from dld_plugins.easyocr import EasyOCRConfig
from dld_plugins.ppocr.config import PPOCRConfig
from dld_plugins.rapidocr import RapidOCRConfig
from dld_plugins.tesseract import TesseractConfig

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
EXPORTED, SPOTTER, CHECK = re.findall(r"```python\n(.*?)```", TEXT, re.S)
(POINTS,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)


class Reader:
    """The engine of the example: one line round the dark pixels, and some rubbish."""

    characters = "abcd"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def read(self, pixels: np.ndarray) -> Any:
        box = dark_box(pixels)
        if box is None:
            return None
        lost = np.full((4, 2), np.nan)
        return [(quad(box), "ab cd", 0.9), (quad(box), None, 0.9), (lost, "ab", 0.9), (quad(box), "ab", 0.1)]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the two blocks define, with a stand-in for the engine."""
    library, module = types.ModuleType("line_reader"), types.ModuleType("line_spotter")
    library.Reader = Reader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "line_reader", library)
    monkeypatch.setitem(sys.modules, "line_spotter", module)
    exec(compile(SPOTTER, "line_spotter.py", "exec"), module.__dict__)
    names = dict(module.__dict__)
    exec(compile(CHECK, "test_line_spotter.py", "exec"), names)
    return names


def test_the_settings_for_one_s_own_photos_are_valid() -> None:
    selector, student = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", TEXT, re.S))
    assert SelectorRunConfig.parse(selector).selector.measured.labels == "none"
    config = DistillConfig.parse(student)
    assert config.backend == "ppocr"
    assert PPOCRConfig.parse(config.options).max_length == 1


def test_what_rapidocr_is_to_be_given_is_what_the_benchmark_gives_it() -> None:
    (call,) = [node for node in ast.walk(ast.parse(EXPORTED)) if isinstance(node, ast.Dict)]
    told = ast.literal_eval(call)
    assert told.pop("Det.model_path").endswith(".det.onnx")
    source = (ROOT / "benchmarks" / "rapidocr_with_student.py").read_text(encoding="utf-8")
    for name in told:
        assert f'"{name}"' in source
    assert f'"--unclip", default="{told["Det.unclip_ratio"]}"' in source
    assert f'"--box", type=float, default={told["Det.box_thresh"]}' in source


def test_the_example_is_40_lines_at_most() -> None:
    assert len(SPOTTER.splitlines()) <= 40


def test_the_example_keeps_the_contracts(example: dict[str, Any]) -> None:
    case = example["TestLineSpotter"]
    assert issubclass(case, SpotterContract)
    outcomes = {o.contract.number: (o.state, o.message) for o in run_contracts(case)}
    assert outcomes.pop("S14")[0] == "skipped"  # it is not declared thread-safe
    assert {n: o for n, o in outcomes.items() if o[0] != "passed"} == {}


def test_the_example_gives_words_and_drops_rubbish(example: dict[str, Any]) -> None:
    spotter = example["LineSpotter"].create()
    pages = SpotterContract().images()
    assert [[word.text for word in words] for words in spotter.predict(pages)] == [["ab", "cd"]] * len(pages)


def test_the_example_is_registered_as_ours_are() -> None:
    points = tomllib.loads(POINTS)["project"]["entry-points"]["dld.backends"]
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["dld.backends"]
    assert points == {"lines": "line_spotter:LineSpotter"}
    assert {n: registry.backends.find(n).target for n in ours} == ours


@pytest.mark.parametrize(
    ("heading", "config"),
    [("RapidOCR", RapidOCRConfig), ("EasyOCR", EasyOCRConfig), ("Tesseract", TesseractConfig)],
)
def test_every_option_stands_in_its_table_with_its_default(heading: str, config: Any) -> None:
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    told: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.M):
        listed = re.findall(r"`(\w+)`", names)
        values = defaults.split(", ") if len(listed) > 1 else [defaults]
        told.update(zip(listed, values, strict=True))
    assert told.keys() == config.model_fields.keys()
    for name, field in config.model_fields.items():
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert float(told[name]) == field.default, name
