"""docs/data.md names every format, option and problem code there is, and its Python runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from formats_common import put, put_image

from dld_core.cli import data_check, data_convert
from dld_core.data import formats

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def _codes_of(file: Path) -> set[tuple[str, str]]:
    """(code, severity) of every problem that a module reports."""
    severities = {**{severity: severity for severity in formats.problems.SEVERITIES}, "malformed": "error"}
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        first = node.args[0]
        if node.func.attr in severities and isinstance(first, ast.Constant):
            found.add((str(first.value), severities[node.func.attr]))
    return found


def test_every_problem_code_is_described() -> None:
    modules = (ROOT / "dld_core" / "data" / "formats").glob("*.py")
    used = set().union(*map(_codes_of, modules))
    described = set(re.findall(r"^\| `([a-z0-9-]+)` \| (error|warning|info) \|", PAGE, re.MULTILINE))
    assert used == described


def test_every_format_and_option_is_described() -> None:
    rows = re.findall(r"^\| `([a-z0-9][a-z0-9-]*)` \| (?!error|warning|info)", PAGE, re.MULTILINE)
    assert rows == list(formats.FORMATS)
    for module in (data_check, data_convert):
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        for option in re.findall(r'"(--[a-z-]+)"', source):
            assert option in PAGE, option


def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "my_set" / "gt_img_1.txt", "10,10,60,10,60,30,10,30,word\n10,10,60,10,60,30,10,30,\n")
    put_image(tmp_path / "my_set" / "img_1.png")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/data.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "img_1.png (4, 2) word False" in printed
    assert "[empty-text]" in printed
    assert (tmp_path / "out" / "datalist.json").is_file()
