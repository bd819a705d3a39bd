"""The tutorial's blocks are the example package's files, and what they promise is true."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from dld_core.testing import SpotterContract, run_contracts
from dld_core.testing.installed import case_of

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "sample_plugins" / "example_spotter"
TEXT = (ROOT / "docs" / "tutorial-backend.md").read_text(encoding="utf-8")
# a file name in backquotes closes the paragraph before the block
BLOCKS = dict(re.findall(r"`([\w.]+)`[^`\n]*:\n\n```\w+\n(.*?)```", TEXT, re.S))


def engine(array: np.ndarray) -> list[tuple[tuple[float, ...], str, float]]:
    """Stands for somebody's engine: one word around the dark pixels, one pixel too wide."""
    assert array.flags.c_contiguous
    rows, columns = np.nonzero(array.min(2) < 128)
    if not len(rows):
        return []
    box = (columns.min() - 1, rows.min() - 1, columns.max() + 2, rows.max() + 2)
    return [(box, "ab", 0.5)]


def test_the_blocks_are_the_files_of_the_example_package() -> None:
    assert sorted(BLOCKS) == sorted(
        [*(f.name for f in EXAMPLE.iterdir() if f.is_file()), "engine_spotter.py"]
    )
    for file in EXAMPLE.iterdir():
        if file.is_file():
            assert BLOCKS[file.name] == file.read_text(encoding="utf-8"), file.name


def test_the_backend_is_under_sixty_lines() -> None:
    assert len(BLOCKS["example_spotter.py"].splitlines()) < 60


def test_the_predict_only_block_keeps_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("my_engine")
    stand_in.CHARACTERS, stand_in.read = "ab", engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_engine", stand_in)
    names: dict[str, type] = {}
    exec(compile(BLOCKS["engine_spotter.py"], "engine_spotter.py", "exec"), names)  # type: ignore[arg-type]
    made = {"make": lambda self: names["EngineSpotter"].create()}  # type: ignore[attr-defined]
    outcomes = list(run_contracts(type("Case", (SpotterContract,), made)))
    states = {o.contract.number: (o.state, o.message) for o in outcomes}
    assert states.pop("S14")[0] == "skipped"  # it declares that it is not thread safe
    assert {n: s for n, s in states.items() if s[0] != "passed"} == {}


def test_the_option_of_the_text_reaches_the_spotter(monkeypatch: pytest.MonkeyPatch) -> None:
    from dld_core import ConfigError
    from dld_core.plugins import registry

    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.setattr(registry.backends, "_added", [])
    registry.backends.register("example", "example_spotter:ExampleSpotter")
    case = case_of("example", options={"gap": 12})
    assert case().make().config.gap == 12
    with pytest.raises(ConfigError, match="did you mean 'gap'"):
        case_of("example", options={"gapp": 12})
