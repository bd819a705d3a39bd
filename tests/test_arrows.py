"""Who may import whom, and what the light entrances may load."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dld_core", "dld_backends", "dld_plugins")
ALLOWED = {
    "dld_core": {"dld_core"},
    "dld_backends": {"dld_core", "dld_backends"},
    "dld_plugins": {"dld_core", "dld_plugins"},
}
ROOMS = (  # of dld_core, from the top down; a room imports what stands below it
    *("cli", "study", "training", "pipeline", "regions", "testing", "selection", "distillation", "plugins"),
    *("evaluation", "data", "results", "decoders", "runtimes", "images", "geometry"),
)
WORDS = ("types", "interfaces", "config", "errors")  # which everybody speaks
UPWARDS = {("pipeline", "training")}  # `DLDWrapper.distill` only calls the function of training
HEAVY = ("torch", "torchvision", "timm", "cv2")


def first_party_imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import of ours, also those inside functions and by string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module" and node.args:
            names = [str(node.args[0].value)] if isinstance(node.args[0], ast.Constant) else []
        else:
            continue
        for name in names:
            if name.partition(".")[0] in PACKAGES:
                yield node.lineno, name.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_towards_the_core(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {other}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, other in first_party_imports(path.read_text(encoding="utf-8"))
        if other not in ALLOWED[package]
    ]
    assert not wrong, "; ".join(wrong)


def rooms_imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room of dld_core) of every import of another room, annotations' own included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("dld_core"):
            continue
        parts = (node.module or "").split(".")
        for name in [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]:
            yield node.lineno, name


def test_rooms_import_downwards_only() -> None:
    rank = {name: index for index, name in enumerate((*ROOMS, *WORDS))}
    core, wrong = ROOT / "dld_core", []
    for path in sorted(core.rglob("*.py")):
        room = path.relative_to(core).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        assert room in rank, f"{path.relative_to(ROOT)}: a room that no list names"
        for line, other in rooms_imported(path):
            up = other in rank and other not in WORDS and rank[other] < rank[room]
            if up and (room, other) not in UPWARDS:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {other}, which stands above {room}")
    assert not wrong, "; ".join(wrong)


def test_rooms_and_loose_modules_are_few() -> None:
    for package in PACKAGES:
        loose = [
            p.name for p in (ROOT / package).glob("*.py") if p.name not in ("__init__.py", "__main__.py")
        ]
        assert len(loose) <= 5, f"{package}: {loose}"
    for folder in sorted({path.parent for path in (ROOT / "dld_core").rglob("*.py")}):
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert text, f"{folder.relative_to(ROOT)} does not say what it is for"
        if folder.parent == ROOT / "dld_core":
            assert re.search(r"^In: .*Out:\s", text, re.M | re.S), f"{folder.name}: what goes in and out?"


def test_function_local_imports_are_few() -> None:
    """They serve optional and heavy packages alone; each is a place where a newcomer loses the thread."""
    count = 0
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                inner = (inside for part in node.body for inside in ast.walk(part))
                count += any(isinstance(inside, ast.Import | ast.ImportFrom) for inside in inner)
    assert count <= 60, f"{count} functions import inside"


def test_the_walk_sees_every_kind_of_import() -> None:
    source = (
        "import dld_backends.x\nfrom dld_plugins import y\n"
        "def f():\n    import dld_core as c\nimportlib.import_module('dld_backends.z')\nfrom . import w\n"
    )
    found = {(line, package) for line, package in first_party_imports(source)}
    assert found == {(1, "dld_backends"), (2, "dld_plugins"), (4, "dld_core"), (5, "dld_backends")}


@pytest.mark.parametrize(
    "code",
    [
        "import dld_core; dld_core.__version__; dld_core.hookimpl; dld_core.Word",
        "from dld_core.plugins.registry import GROUPS; [g.describe() for g in GROUPS]",
        "from dld_core.plugins.hooks import hooks; hooks.step_ended(step=1, metrics={})",
        "from dld_core.cli import main; main(['--help'])",
        "from dld_core.cli import main; main(['backends'])",
        "from dld_core.cli import main; main(['backends', '--json'])",
        "from dld_core.cli import main; main(['--version'])",
    ],
)
def test_light_entrances_load_no_heavy_library(code: str) -> None:
    check = f"sys.stderr.write('LOADED ' + ' '.join(m for m in {HEAVY} if m in sys.modules))"
    script = (
        f"import sys\ntry:\n    exec({code!r})\nexcept SystemExit as end:\n    assert not end.code\n{check}"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("LOADED "), done.stderr


def test_every_verb_of_the_table_can_be_run() -> None:
    from dld_core.cli import VERBS, main

    for verb in VERBS:
        with pytest.raises(SystemExit) as end:
            main([verb, "--help"])
        assert not end.value.code, verb


def test_every_public_name_resolves() -> None:
    import dld_core

    absent = [n for n in dir(dld_core) if not n.startswith("_") and getattr(dld_core, n, None) is None]
    assert not absent
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dld_core.no_such_name
