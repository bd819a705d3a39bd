"""Entry points of installed distributions, kept as strings, and their guarded import.

The registry (one part by name) and the hooks (many plugins take part) both stand on this. Reading the
entry points imports nothing; one damaged distribution never hides the others.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dld_core.errors import BrokenPluginError, DLDError, MissingExtraError, explain

HERE = "this process"
_OFFERED = {"opencv-python": "cv2", "opencv-python-headless": "cv2", "onnxruntime": "onnxruntime"}
"""Distributions whose module has other builds, under other names: without a display, for GPUs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered thing: where it comes from and what to import.

    Attributes:
        group: entry-point group, such as "dld.backends".
        name: the name it is chosen by.
        target: "package.module:attribute" (or a module alone).
        distribution: who offers it, as pip knows it; HERE when registered by running code.
        version: of that distribution ("" when unknown).
        loaded: the object itself, for what was registered by running code.
    """

    group: str
    name: str
    target: str
    distribution: str
    version: str = ""
    loaded: Any = field(default=None, compare=False, repr=False)

    @property
    def origin(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def package(self) -> str:
        """The top-level package of the target."""
        return re.split(r"[.:]", self.target, maxsplit=1)[0]


def scan(group: str) -> list[Entry]:
    """Every entry of `group`, one copy per distribution, in the order of the import path.

    The same distribution found twice (an editable install beside its build folder) counts once, and the
    copy that comes first on the import path wins, as it does for imports.
    """
    seen: set[str] = set()
    entries: list[Entry] = []
    for distribution in importlib.metadata.distributions():
        try:
            found = list(_entries_of(distribution, group))
            name = _normalised(name_of(distribution)) if found else ""
        except Exception:  # a half-removed distribution must not hide the others
            continue
        if name and name not in seen:
            seen.add(name)
            entries += found
    return entries


def _entries_of(distribution: importlib.metadata.Distribution, group: str) -> Iterator[Entry]:
    if group not in (distribution.read_text("entry_points.txt") or ""):
        return
    for point in distribution.entry_points:
        if point.group == group and point.name:
            target = point.value.split("[")[0].strip()
            yield Entry(group, point.name, target, name_of(distribution), distribution.version or "")


def name_of(distribution: importlib.metadata.Distribution) -> str:
    """What pip calls a distribution; "" for one that is half removed."""
    metadata = distribution.metadata
    return metadata["Name"] if metadata and "Name" in metadata else ""


def load(entry: Entry) -> Any:
    """Import what an entry points at.

    Raises:
        MissingExtraError: an optional dependency is absent (with the install line).
        BrokenPluginError: anything else went wrong; names distribution, version and target, cause chained.
    """
    if entry.loaded is not None:
        return entry.loaded
    try:
        return import_target(entry.target)
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing and missing != entry.package and not is_importable(missing):
            raise MissingExtraError(_missing(entry, missing)) from error
        raise BrokenPluginError(broken(entry, error)) from error
    except (Exception, SystemExit) as error:  # a plugin's import may do anything
        raise BrokenPluginError(broken(entry, error)) from error


def import_target(target: str) -> Any:
    """The object that "package.module:attribute.path" (or "package.module") names."""
    module, _, attributes = target.partition(":")
    value: Any = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        value = getattr(value, attribute)
    return value


def is_importable(package: str) -> bool:
    """Whether a top-level package could be imported; nothing is imported to find out."""
    try:
        return bool(package) and importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def broken(entry: Entry, why: object) -> str:
    """The sentence for an entry that cannot be used."""
    told = explain(why) if isinstance(why, BaseException) else None
    if told is None:
        told = str(why) if isinstance(why, DLDError | str) else f"{type(why).__name__}: {why}"
    what = f"'{entry.name}' ({entry.group}) cannot be used: {entry.target}: {told.rstrip('.')}."
    if entry.distribution == HERE:
        return f"{what} Check the name, and that the module is on the import path."
    advice = f"Upgrade or uninstall {entry.distribution}, or tell its authors; all other parts keep working."
    return f"{what} It comes from {entry.origin}. {advice}"


def _missing(entry: Entry, module: str) -> str:
    extra = _extra_with(entry.distribution, module)
    line = f'pip install "{entry.distribution}[{extra}]"' if extra else f"pip install {module}"
    hint = "" if extra else f" (or whatever provides it; {entry.distribution} does not say in its metadata)"
    return (
        f"'{entry.name}' ({entry.group}) from {entry.origin} needs the module '{module}', "
        f"which is not installed: `{line}`{hint}."
    )


def _extra_with(distribution: str, module: str) -> str | None:
    """The extra of `distribution` that requires `module`, by the names in its metadata."""
    for name, extra, _ in requirements(distribution):
        if extra and _normalised(name) == _normalised(module):
            return extra
    return None


def missing_requirements(entry: Entry) -> tuple[list[str], str | None]:
    """What an entry's distribution requires and is not installed, and the extra that would bring it.

    Counted are the plain requirements, and those of an extra that bears the entry's own name (the
    convention by which a part says that it needs an extra). Only metadata is read.
    """
    absent: list[str] = []
    needs_extra: str | None = None
    for name, extra, conditional in requirements(entry.distribution):
        if conditional or extra not in (None, entry.name) or is_installed(name):
            continue
        absent.append(name)
        needs_extra = needs_extra or extra
    return absent, needs_extra


def requirements(distribution: str) -> Iterator[tuple[str, str | None, bool]]:
    """(name, extra or None, has another condition) of each requirement of a distribution."""
    try:
        lines = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in lines:
        head, _, marker = line.partition(";")
        name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", head)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        rest = marker.replace(extra.group(0), "") if extra else marker
        if name:
            yield name.group(1), extra.group(1) if extra else None, bool(rest.strip(" ()"))


def is_installed(distribution: str) -> bool:
    """Whether a distribution is installed, or another build of what it offers."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return is_importable(_OFFERED.get(_normalised(distribution), ""))
    return True


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
