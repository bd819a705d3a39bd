"""`dld doctor`: it finds what is wrong, tells the fix, and outlives whatever it examines."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from dld_core.cli import main
from dld_core.cli.doctor_checks import health
from dld_core.cli.doctor_checks.health import Finding
from dld_core.plugins import entrypoints, registry

FAKE_PROBE = """
import json, os, sys
names = sys.argv[1:]
for name in names:
    print("a library that chatters at import", flush=True)
    print(json.dumps({"begin": name}), flush=True)
    if name == "cv2":
        print(json.dumps({"name": name, "error": "ImportError: libGL.so.1: cannot open shared object file"}))
    elif name == "torchvision":
        os._exit(139)
    else:
        found = {"version": "1.0", "devices": ["cpu"], "threads": 2, "cuda": None}
        print(json.dumps({"name": name, **found}), flush=True)
"""


@pytest.fixture
def fake_probe(tmp_path: Path) -> Path:
    file = tmp_path / "probe.py"
    file.write_text(FAKE_PROBE)
    return file


def named(findings: list[Finding], name: str) -> Finding:
    (finding,) = [f for f in findings if f.name == name]
    return finding


def test_a_crashing_import_takes_only_itself_down(fake_probe: Path) -> None:
    results = {r["name"]: r for r in health.run_probe(health.PROBED, fake_probe)}
    assert set(results) == set(health.PROBED)
    assert "exit status 139" in results["torchvision"]["error"]
    assert results["timm"]["version"] == "1.0"
    assert "libGL" in results["cv2"]["error"]


def test_the_report_names_each_fix(fake_probe: Path) -> None:
    findings = health.examine(fake_probe)
    assert named(findings, "torch").state == "ok"
    assert named(findings, "torchvision").state == "fault"
    assert "opencv-python-headless" in named(findings, "cv2").fix
    assert named(findings, "devices").value.startswith("cpu")
    assert named(findings, "pluggy").state == "ok"
    assert named(findings, "backend maskrcnn").section == "parts"


def test_an_import_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "probe.py"
    file.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.5)
    (result,) = health.run_probe(("torch",), file)
    assert "did not end" in result["error"]


def test_the_real_probe_reports_versions_and_errors() -> None:
    fine, absent = health.run_probe(("json", "no_such_module"))
    assert fine["name"] == "json"
    assert "error" not in fine
    assert absent["error"].startswith("ModuleNotFoundError")


def test_mismatched_torchvision_has_its_own_fix(fake_probe: Path) -> None:
    error = "RuntimeError: operator torchvision::nms does not exist"
    (finding,) = health._imported({"torchvision": {"name": "torchvision", "error": error}})
    assert finding.state == "fault"
    assert "--force-reinstall torch torchvision" in finding.fix


def test_an_examination_that_fails_becomes_a_finding(
    fake_probe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode() -> set[str]:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(health, "_distributions", explode)
    findings = health.examine(fake_probe)
    assert any(f.state == "fault" and "ZeroDivisionError: boom" in f.value for f in findings)
    assert named(findings, "cache").section == "folders"


@pytest.mark.parametrize(
    ("version", "state"), [("2.0", "fault"), ("2.10.3", "fault"), ("2.11", "ok"), ("3.0.1+cpu", "ok")]
)
def test_versions_are_compared_as_numbers(version: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    assert health._requirement("torch", "2.11").state == state


def test_absent_requirement_and_extra_give_the_install_line() -> None:
    assert health._requirement("no-such-dist", "1.0").fix == "`pip install no-such-dist`"
    assert health._optional("no-such-dist", "plots").fix == '`pip install "dld[plots]"`'


def test_two_builds_of_opencv_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        health, "_distributions", lambda: {"opencv-python", "opencv-python-headless", "numpy"}
    )
    (finding,) = health._one_opencv()
    assert finding.state == "note"
    monkeypatch.setattr(health, "_distributions", lambda: {"opencv-python-headless"})
    assert list(health._one_opencv()) == []


def test_gpu_build_without_gpu_is_noted() -> None:
    findings = list(health._devices({"devices": ["cpu"], "cuda": "12.8", "threads": 2}))
    assert named(findings, "CUDA").state == "note"
    findings = list(health._devices({"devices": ["cpu", "cuda:0 X"], "cuda": "12.8", "threads": 2}))
    assert [f.name for f in findings] == ["devices", "threads"]


@pytest.mark.parametrize(
    ("content", "state", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "fault", "git lfs pull"),
        (b"", "fault", "damaged"),
        (b"\xff" * 20, "fault", "damaged"),
        ((2).to_bytes(8, "little") + b"{}", "ok", "MiB"),
    ],
)
def test_weight_files_are_looked_into(tmp_path: Path, content: bytes, state: str, told: str) -> None:
    file = tmp_path / "small.safetensors"
    file.write_bytes(content)
    finding = health._weight_file(file)
    assert finding.state == state
    assert told in finding.value + finding.fix


def test_the_cache_folder_follows_dld_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLD_HOME", str(tmp_path / "new"))
    (finding,) = health._cache()
    assert finding.state == "ok"
    assert str(tmp_path / "new") in finding.value
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DLD_HOME", str(tmp_path / "file" / "below"))
    (finding,) = health._cache()
    assert finding.state == "fault"
    monkeypatch.delenv("DLD_HOME")
    (finding,) = health._cache()
    assert "dld" in finding.value


def test_broken_parts_and_hooks_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entrypoints.Entry("dld.backends", "gone", "not_there_at_all:X", "gone-dist", "1.0")
    monkeypatch.setattr(registry.backends, "_scanned", [entry])
    (part,) = [f for f in health._parts() if "gone" in f.name]
    assert part.state == "fault"
    assert "gone-dist" in part.fix
    monkeypatch.setattr(entrypoints, "scan", lambda group: [entry])
    assert next(iter(health._hook_plugins())).state == "fault"


def test_the_command_prints_json_and_exits_by_state(
    fake_probe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = Finding("python", "x[y]", "fault", "broken [value]", "Mend `x[y]`.")
    for findings, code in (([fault], 1), ([Finding("python", "x", "note", "v")], 0)):
        monkeypatch.setattr("dld_core.cli.doctor.examine", lambda found=findings: found)
        with pytest.raises(SystemExit) as ended:
            main(["doctor", "--json"])
        assert (ended.value.code or 0) == code
        assert json.loads(capsys.readouterr().out)[0]["state"] == findings[0].state
    monkeypatch.setattr("dld_core.cli.doctor.examine", lambda: [fault])
    with pytest.raises(SystemExit):
        main(["doctor"])
    out = capsys.readouterr().out
    assert "broken [value]" in out
    assert "Mend `x[y]`." in out
