"""What `dld doctor` finds out: versions, devices, plugins, weights, and the fix for what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dld_core
from dld_core import errors
from dld_core.plugins import entrypoints

State = Literal["ok", "note", "fault"]
PROBE_TIMEOUT = 180.0  # seconds; the first import of torch from a cold disk can take a minute
PROBED = ("torch", "torchvision", "timm", "cv2")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        section: "python", "libraries", "optional", "devices", "parts", "weights" or "folders".
        state: "ok", "note" (works, but worth knowing) or "fault" (something will not work).
        fix: what to do about it; "" where nothing is needed.
    """

    section: str
    name: str
    state: State
    value: str
    fix: str = ""


def examine(probe_file: Path | None = None) -> list[Finding]:
    """The whole report. No examination can end another: its own failure becomes a finding."""
    probed = {result["name"]: result for result in run_probe(PROBED, probe_file)}
    steps: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", _python),
        ("libraries", lambda: _imported(probed)),
        ("libraries", _requirements),
        ("libraries", _one_opencv),
        ("devices", lambda: _devices(probed.get("torch", {}))),
        ("parts", _parts),
        ("parts", _hook_plugins),
        ("weights", _weights),
        ("folders", _cache),
    ]
    return [finding for section, step in steps for finding in _guard(section, step)]


def _guard(section: str, step: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(step())
    except Exception as error:  # the doctor must outlive what it examines
        name = getattr(step, "__name__", "examination").strip("_<>")
        found.append(Finding(section, name, "fault", f"{type(error).__name__}: {error}", "Report this."))
    return found


# --- imports, in a process of their own ---------------------------------------------------------------


def run_probe(names: tuple[str, ...], probe_file: Path | None = None) -> list[dict[str, Any]]:
    """Import modules in child processes; one that kills its process is told and the rest go on."""
    file = probe_file or Path(__file__).with_name("probe.py")
    results: list[dict[str, Any]] = []
    left = list(names)
    while left:
        # -P: this folder holds a types.py, which must not stand before the standard library's
        lines, ending = _child([sys.executable, "-P", str(file), *left])
        done = [line for line in lines if "name" in line]
        results += done
        left = left[len(done) :]
        if left:
            results.append({"name": left.pop(0), "error": ending})
    return results


def _child(command: list[str]) -> tuple[list[dict[str, Any]], str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as late:
        return _parse(late.stdout or b""), f"its import did not end within {PROBE_TIMEOUT:.0f} s"
    except OSError as error:
        return [], f"no Python process could be started: {error}"
    return _parse(done.stdout), f"its import ended the interpreter (exit status {done.returncode})"


def _parse(output: str | bytes) -> list[dict[str, Any]]:
    text = output.decode(errors="replace") if isinstance(output, bytes) else output
    parsed = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:  # a library that prints at import
            continue
        if isinstance(value, dict):
            parsed.append(value)
    return parsed


# --- the sections ---------------------------------------------------------------------------------------


def _python() -> Iterator[Finding]:
    fine = sys.version_info >= (3, 11)
    fix = "" if fine else "Use Python 3.11 or newer."
    yield Finding("python", "Python", "ok" if fine else "fault", platform.python_version(), fix)
    yield Finding("python", "dld", "ok", f"{dld_core.__version__} in {Path(__file__).parent}")
    yield Finding("python", "platform", "ok", f"{platform.platform()}, {os.cpu_count()} cores")


def _imported(probed: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    for name, result in probed.items():
        error = result.get("error")
        if error is None:
            yield Finding("libraries", name, "ok", result.get("version", ""))
        else:
            fix = errors.explain(RuntimeError(error)) or _reinstall(name)
            yield Finding("libraries", name, "fault", error, fix)


def _reinstall(name: str) -> str:
    return f"`pip install --force-reinstall {'opencv-python-headless' if name == 'cv2' else name}`"


def _requirements() -> Iterator[Finding]:
    """What our own metadata asks for: installed or not, and recent enough."""
    lines = _required()
    if not lines:
        fix = "Install it: `pip install dld`, or `pip install -e .` in a clone."
        yield Finding(
            "libraries", "dld", "note", "runs from a folder; not installed, so it has no parts", fix
        )
    for name, extra, _ in entrypoints.requirements("dld"):
        least = next((m.group(1) for m in map(_minimum(name), lines) if m), "")
        if extra is None:
            finding = _requirement(name, least)
            if finding.state != "ok" or name not in PROBED:  # those have their line already
                yield finding
        elif extra != "test":
            yield _optional(name, extra)


def _required() -> list[str]:
    try:
        return importlib.metadata.requires("dld") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _minimum(name: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(rf"{re.escape(name)}\s*>=\s*([0-9.]+)").match


def _optional(name: str, extra: str) -> Finding:
    try:
        return Finding("optional", name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        if entrypoints.is_installed(name):
            return Finding("optional", name, "ok", "another build of it is installed")
        return Finding("optional", name, "note", "not installed", f'`pip install "dld[{extra}]"`')


def _requirement(name: str, least: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if entrypoints.is_installed(name):
            return Finding("libraries", name, "ok", "another build of it is installed")
        return Finding("libraries", name, "fault", "not installed", f"`pip install {name}`")
    if _numbers(version) < _numbers(least):
        return Finding("libraries", name, "fault", f"{version}, needs {least}", f"`pip install -U {name}`")
    return Finding("libraries", name, "ok", version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def _one_opencv() -> Iterator[Finding]:
    builds = sorted(d for d in _distributions() if re.fullmatch(r"opencv-(contrib-)?python(-headless)?", d))
    if len(builds) > 1:
        fix = f"They overwrite each other's files: `pip uninstall -y {' '.join(builds)}`, then install one."
        yield Finding("libraries", "OpenCV builds", "note", ", ".join(builds), fix)


def _distributions() -> set[str]:
    names = map(entrypoints.name_of, importlib.metadata.distributions())
    return {name.lower().replace("_", "-") for name in names}


def _devices(torch: dict[str, Any]) -> Iterator[Finding]:
    if "devices" not in torch:
        return
    built = f"built for CUDA {torch['cuda']}" if torch["cuda"] else "built for the CPU alone"
    yield Finding("devices", "devices", "ok", f"{', '.join(torch['devices'])} (torch is {built})")
    if torch["cuda"] and len(torch["devices"]) == 1:
        fix = "If the machine has a GPU, update its driver (`nvidia-smi` must list it)."
        yield Finding("devices", "CUDA", "note", "torch could use it, but finds no GPU", fix)
    variables = [f"{v}={os.environ[v]}" for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if v in os.environ]
    yield Finding("devices", "threads", "ok", ", ".join([f"{torch['threads']} for torch", *variables]))


def _parts() -> Iterator[Finding]:
    from dld_core.plugins import registry

    for group in registry.GROUPS:
        for part in group.describe():
            state: State = {"broken": "fault", "missing-extra": "note"}.get(part.status, "ok")  # type: ignore[assignment]
            value = f"{part.status} ({part.distribution} {part.version})"
            yield Finding("parts", f"{group.noun} {part.name}", state, value, part.reason)


def _hook_plugins() -> Iterator[Finding]:
    for entry in entrypoints.scan("dld.hooks"):
        there = entrypoints.is_importable(entry.package)
        fix = "" if there else entrypoints.broken(entry, f"there is no package '{entry.package}'")
        yield Finding("parts", f"hook {entry.name}", "ok" if there else "fault", entry.origin, fix)
    if os.environ.get("DLD_PLUGINS"):
        yield Finding("parts", "DLD_PLUGINS", "ok", os.environ["DLD_PLUGINS"])


def _weights() -> Iterator[Finding]:
    """The safetensors beside the backends that come with this library."""
    from dld_core.plugins import registry

    packages = {e.package for e in registry.backends.entries() if e.distribution.lower() == "dld"}
    for package in sorted(packages):
        spec = importlib.util.find_spec(package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        files = sorted(file for folder in folders for file in Path(folder).rglob("*.safetensors"))
        if not files:
            yield Finding(
                "weights",
                package,
                "fault",
                "no bundled weights",
                "Reinstall: `pip install --force-reinstall dld`",
            )
        for file in files:
            yield _weight_file(file)


def _weight_file(file: Path) -> Finding:
    name = f"{file.parent.parent.name}/{file.name}"
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
    if head == b"version ":  # how a Git LFS pointer begins
        return Finding("weights", name, "fault", "a Git LFS pointer, not the weights", "`git lfs pull`")
    if size < 8 or int.from_bytes(head, "little") > size - 8:
        return Finding("weights", name, "fault", f"damaged ({size} bytes)", "Reinstall or download it again.")
    return Finding("weights", name, "ok", f"{size / 2**20:.1f} MiB")


def _cache() -> Iterator[Finding]:
    from dld_core.config import home

    folder = home()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    source = "DLD_HOME" if os.environ.get("DLD_HOME") else "default; set DLD_HOME to move it"
    if existing.is_dir() and os.access(existing, os.W_OK):
        yield Finding("folders", "cache", "ok", f"{folder} ({source})")
    else:
        fix = f"Make {existing} a writable folder, or set DLD_HOME to one."
        yield Finding("folders", "cache", "fault", f"{folder} cannot be written", fix)
