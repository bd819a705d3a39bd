"""Third-party packages really installed with pip: found by name, checked, and harmless when broken."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dld_core.cli import main
from dld_core.plugins import registry

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]
PLUGINS = Path(__file__).parents[1] / "sample_plugins"
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("setuptools", "pip")),
    reason="installing a package needs pip and setuptools here: pip install 'dld[test]'",
)


def install(work: Path, *names: str) -> Path:
    """pip-install packages of tests/sample_plugins, copied since a build leaves files; offline."""
    target = work / "site"
    for name in names:
        shutil.copytree(PLUGINS / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, *(str(work / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("good"), "example_spotter")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("broken-import", "missing-extra", "wrong-type", "duplicate-name", "raising-hook")
    return install(tmp_path_factory.mktemp("broken"), *names)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs `dld` in this process, which has torch already, with these folders on its import path."""

    def call(sites: list[Path], *arguments: str) -> tuple[int, str, str]:
        for site in sites:
            monkeypatch.syspath_prepend(str(site))
        registry.backends.refresh()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    yield call
    monkeypatch.undo()
    registry.backends.refresh()


class Machine:
    """Runs `dld` in a process whose import path has these folders."""

    def __init__(self, *sites: Path) -> None:
        path = os.pathsep.join(map(str, [*sites, ROOT]))
        self.env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def dld(self, *arguments: str) -> tuple[int, str, str]:
        return self.python("-m", "dld_core", *arguments)

    def python(self, *arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env, check=False)
        return done.returncode, done.stdout, done.stderr

    def parts(self) -> list[dict[str, Any]]:
        code, out, err = self.dld("backends", "--json")
        assert code == 0, err
        listed: list[dict[str, Any]] = json.loads(out)
        return listed


def test_an_installed_package_is_found_and_keeps_every_contract(good: Path) -> None:
    machine = Machine(good)
    (part,) = [p for p in machine.parts() if p["name"] == "example"]
    assert (part["distribution"], part["version"]) == ("example-spotter", "0.3")
    assert part["status"] == "unloaded"
    code, out, err = machine.dld("check", "example", "--json")
    assert (code, err) == (0, "")
    outcomes = json.loads(out)
    assert {o["state"] for o in outcomes} == {"passed"}
    assert {o["number"][0] for o in outcomes} == set("STQ")


def test_the_table_of_check_names_what_it_checked(good: Path, here: Run) -> None:
    code, out, _ = here([good], "check", "example", "--only", "s2,T1", "--option", "gap=12")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["S2", "passed"], ["T1", "passed"]]
    assert lines[-1] == "example: 2 passed"


def test_a_part_that_breaks_a_contract_ends_check_with_1(
    good: Path, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(good))
    import example_spotter

    monkeypatch.setattr(example_spotter.ExampleSpotter, "size_divisor", 0)
    code, out, _ = here([good], "check", "example", "--only", "S1,S2")
    assert code == 1
    assert "S2  FAILED" in out
    assert "size_divisor must be a whole number" in out
    assert out.splitlines()[-1] == "example: 1 passed, 1 failed"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("check", "exampel"), 2, "Did you mean 'example'?"),
        (("check", "example", "--only", "S99"), 2, "There is no contract S99"),
        (("check", "example", "--option", "gapp=1"), 2, "did you mean 'gap'"),
        (("check", "example", "--option", "gap"), 2, "KEY=VALUE"),
        (("check", "example", "--group", "dld.distillers"), 2, "There is no distiller named 'example'"),
        (("check", "example", "--group", "dld.nothing"), 2, "dld.backends"),
        (("check", "example", "--weights", "no_such_file.pt"), 1, "cannot be built"),
    ],
)
def test_usage_errors_of_check_are_told(
    good: Path, here: Run, arguments: tuple[str, ...], code: int, told: str
) -> None:
    found, out, err = here([good], *arguments)
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err


def test_broken_packages_are_listed_with_reasons_and_the_others_work(
    good: Path, broken: Path, here: Run
) -> None:
    code, out, _ = here([good, broken], "backends", "--json", "--load")
    assert code == 0
    parts = {(p["name"], p["distribution"]): p for p in json.loads(out)}
    states = {key: part["status"] for key, part in parts.items()}
    assert states["broken-import", "broken-import"] == "broken"
    assert states["needs-engine", "missing-extra"] == "missing-extra"
    assert states["wrong-type", "wrong-type"] == "broken"
    assert states["example", "example-spotter"] == states["example", "duplicate-name"] == "broken"
    assert states["maskrcnn", "dld"] == "usable"
    reasons = {name: part["reason"] for (name, _), part in parts.items()}
    assert "a_name_of_another_version" in reasons["broken-import"]
    assert "broken-import 1.0" in reasons["broken-import"]
    assert '`pip install "missing-extra[engine]"`' in reasons["needs-engine"]
    assert "must be a class" in reasons["wrong-type"]
    assert "example-spotter 0.3" in reasons["example"]
    assert "duplicate-name 1.0" in reasons["example"]


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("broken-import", 4, "broken_import:BrokenSpotter"),
        ("needs-engine", 4, '`pip install "missing-extra[engine]"`'),
        ("wrong-type", 4, "must be a class"),
        ("example", 2, "duplicate-name 1.0"),
    ],
)
def test_asking_for_a_broken_part_is_one_line(
    good: Path, broken: Path, here: Run, name: str, code: int, told: str
) -> None:
    found, out, err = here([good, broken], "check", name)
    assert (found, out) == (code, "")
    assert told in err
    assert err.startswith("dld: ")
    assert err.count("\n") == 1


def test_broken_hook_plugins_are_reported_and_the_run_goes_on(broken: Path) -> None:
    calls = "for _ in range(3): hooks.page_spotted(None)\nprint(hooks.plugins())"
    script = f"from dld_core.plugins.hooks import hooks\n{calls}"
    code, out, err = Machine(broken).python("-c", script)
    assert code == 0
    assert out.strip() == "['raising-hook:raising']"
    assert err.count("this hook always fails") == 1
    assert "raising-hook:raising" in err
    assert "raising_hook_that_is_not_there" in err
