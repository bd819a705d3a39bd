"""The command line itself: verbs found lazily, errors in one line, exit codes, global options."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from dld_core import cli, errors
from dld_core.cli import main

LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Install a function as the verb `boom`."""

    def install(function: Callable[[], None]) -> None:
        module = types.ModuleType("fake_verb")
        module.boom = function  # type: ignore[attr-defined]
        module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, "fake_verb", module)
        monkeypatch.setitem(cli.VERBS, "boom", ("fake_verb:boom", "Fail."))

    return install


def raising(error: BaseException) -> Callable[[], None]:
    def boom() -> None:
        """Fail."""
        raise error

    return boom


def test_help_lists_the_verbs_in_order(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert out.index("backends") < out.index("check") < out.index("doctor")
    assert run("absentverb")[0] == 2


def test_every_verb_of_the_table_that_exists_has_help(run: Run) -> None:
    group = cli.command()
    for verb in group.list_commands(None):
        code, out, err = run(verb, "--help")
        assert (code, err) == (0, ""), verb
        assert "Usage: dld " + verb in " ".join(out.split())


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("dld ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.DLDError("It broke; mend it."), 1),
        (errors.ConfigError("It broke; mend it."), 2),
        (errors.UnknownPartError("It broke; mend it."), 2),
        (errors.ImageError("It broke; mend it."), 3),
        (errors.WeightsError("It broke; mend it."), 3),
        (errors.MissingExtraError("It broke; mend it."), 4),
        (errors.BrokenPluginError("It broke; mend it."), 4),
    ],
)
def test_expected_errors_are_one_line_on_stderr(
    run: Run, verb: Callable[..., None], error: Exception, code: int
) -> None:
    verb(raising(error))
    assert run("boom") == (code, "", "dld: It broke; mend it.\n")


def test_debug_shows_the_traceback_before_or_after_the_verb(run: Run, verb: Callable[..., None]) -> None:
    verb(raising(errors.DataError("It broke.")))
    for arguments in (("--debug", "boom"), ("boom", "--debug")):
        code, out, err = run(*arguments)
        assert (code, out) == (3, "")
        assert "Traceback" in err
        assert err.endswith("dld: It broke.\n")


def test_interrupt_ends_with_130(run: Run, verb: Callable[..., None]) -> None:
    verb(raising(KeyboardInterrupt()))
    code, out, err = run("boom")
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def test_a_file_that_cannot_be_used_is_bad_input(run: Run, verb: Callable[..., None]) -> None:
    verb(raising(FileNotFoundError(2, "No such file or directory", "x.yaml")))
    assert run("boom") == (3, "", "dld: cannot use 'x.yaml': No such file or directory.\n")


def test_missing_libgl_says_what_to_install(run: Run, verb: Callable[..., None]) -> None:
    verb(raising(ImportError(LIBGL)))
    code, _, err = run("boom")
    assert code == 4
    assert "libgl1" in err
    assert "opencv-python-headless" in err


def test_missing_libgl_is_told_through_a_chain_too(run: Run, verb: Callable[..., None]) -> None:
    def boom() -> None:
        try:
            raise ImportError(LIBGL)
        except ImportError as error:
            raise errors.BrokenPluginError("A part is broken.") from error

    verb(boom)
    code, _, err = run("boom")
    assert code == 4
    assert "opencv-python-headless" in err


def test_torchvision_of_another_build_is_told(run: Run, verb: Callable[..., None]) -> None:
    verb(raising(RuntimeError("operator torchvision::nms does not exist")))
    code, _, err = run("boom")
    assert code == 4
    assert "pip install --force-reinstall torch torchvision" in err


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), RuntimeError("a bug"), ImportError("a bug")])
def test_bugs_are_not_hidden(verb: Callable[..., None], error: Exception) -> None:
    verb(raising(error))
    with pytest.raises(type(error), match="a bug"):
        main(["boom"])


def test_usage_errors_are_exit_2(run: Run) -> None:
    for arguments in (("nonsense",), ("backends", "--nonsense"), ("--nonsense",)):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert "nonsense" in err


def test_backends_json_is_a_list_of_parts_on_stdout(run: Run) -> None:
    code, out, err = run("backends", "--json")
    assert (code, err) == (0, "")
    parts = {part["name"]: part for part in json.loads(out)}
    assert parts["maskrcnn"]["group"] == "dld.backends"
    assert parts["maskrcnn"]["distribution"] == "dld"
    assert set(parts["maskrcnn"]) == {
        "name",
        "group",
        "target",
        "distribution",
        "version",
        "status",
        "reason",
        "default",
    }


def test_backends_table_tells_reasons_on_stderr(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dld_core.plugins import registry

    info = tmp_path / "away-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: away\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[dld.backends]\naway = cli_not_there:Part\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.backends.refresh()
    try:
        code, out, err = run("backends")
        assert code == 0
        row = next(line for line in out.splitlines() if line.startswith("away"))
        assert "broken" in row
        assert "away 2.0" in row
        assert "cli_not_there" in err
        assert "maskrcnn" in out
    finally:
        monkeypatch.undo()
        registry.backends.refresh()


def test_plugin_option_loads_before_the_verb_runs(
    run: Run, tmp_path: Path, verb: Callable[..., None]
) -> None:
    plugin = tmp_path / "cli_plugin.py"
    plugin.write_text("import sys\nsys.stderr.write('plugin here. ')\n")
    verb(lambda: None)
    assert run("boom", "--plugin", str(plugin)) == (0, "", "plugin here. ")


def test_an_absent_plugin_file_is_told(run: Run) -> None:
    code, _, err = run("--plugin", "no_such_plugin.py", "backends")
    assert code == 4
    assert "no_such_plugin.py" in err
