"""Parts by name: backends, selectors and distillers, from entry points, imported on first use.

    from dld_core.plugins.registry import backends
    backends.names()               # ["maskrcnn", ...]
    spotter = backends.get("maskrcnn").create(device="cpu")

First-party parts are registered in the same way as anybody else's. Importing this module loads no torch.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from dld_core.errors import (
    BrokenPluginError,
    ConfigError,
    DLDError,
    DuplicatePartError,
    MissingExtraError,
    UnknownPartError,
)
from dld_core.plugins import entrypoints
from dld_core.plugins.entrypoints import HERE, Entry

if TYPE_CHECKING:
    from dld_core.interfaces import Distiller, ResolutionSelector, Spotter

AUTO = "auto"
T = TypeVar("T")
Status = Literal["usable", "unloaded", "missing-extra", "broken"]


@dataclass(frozen=True, slots=True)
class PartInfo:
    """What is known of one registered part.

    Attributes:
        status: "usable" (imported and of the right type), "unloaded" (nothing speaks against it, but it
            was not imported), "missing-extra" (a requirement is not installed) or "broken".
        reason: why it is missing-extra or broken, with the fix; "" otherwise.
        default: whether "auto" stands for it.
    """

    name: str
    group: str
    target: str
    distribution: str
    version: str
    status: Status
    reason: str = ""
    default: bool = False


class Group(Generic[T]):
    """The parts of one entry-point group.

    Args:
        group: the entry-point group, such as "dld.backends".
        noun: what one part is called in messages.
        interface: "module:Class" that every part must subclass; imported only when a part is.
        best: names of parts, best first; "auto" stands for the first of them that can be used.
    """

    def __init__(self, group: str, noun: str, interface: str, best: Sequence[str] = ()) -> None:
        self.group = group
        self.noun = noun
        self.interface = interface
        self.best = best
        self._lock = threading.Lock()
        self._scanned: list[Entry] | None = None
        self._added: list[Entry] = []
        self._checked: dict[Entry, type[T]] = {}

    def entries(self) -> list[Entry]:
        """Everything registered, nothing imported; two entries of one name are both listed."""
        with self._lock:
            if self._scanned is None:
                self._scanned = entrypoints.scan(self.group)
            return [*self._scanned, *self._added]

    def refresh(self) -> None:
        """Look for entry points again (after an installation in this process)."""
        with self._lock:
            self._scanned = None

    def register(self, name: str, part: type[T] | str) -> None:
        """Offer a class (or its "module:Class") under a name, for this process only.

        Raises:
            DuplicatePartError: the name is taken; nothing is ever overridden.
            ConfigError: it is "auto", which stands for another.
        """
        if name == AUTO:
            raise ConfigError(f"'{AUTO}' stands for the best {self.noun}; register under another name")
        target = part if isinstance(part, str) else f"{part.__module__}:{part.__qualname__}"
        entry = Entry(self.group, name, target, HERE, loaded=None if isinstance(part, str) else part)
        twins = [e for e in self.entries() if e.name == name]
        if twins:
            raise DuplicatePartError(self._clash([*twins, entry]))
        with self._lock:
            self._added.append(entry)

    def unregister(self, name: str) -> None:
        """Take back what `register` added; entry points stay."""
        with self._lock:
            self._added = [e for e in self._added if e.name != name]

    def names(self) -> list[str]:
        """The sorted names of all registered parts, usable or not."""
        return sorted({entry.name for entry in self.entries()})

    def name_of(self, part: type[Any]) -> str | None:
        """The name that a class is registered under, or None; other parts are imported only if need be."""
        target = f"{part.__module__}:{part.__qualname__}"
        for entry in self.entries():
            if entry.loaded is part or entry.target == target:
                return entry.name
        for entry in self.entries():
            with suppress(DLDError):
                if self._load(entry) is part:
                    return entry.name
        return None

    def resolve(self, name: str) -> str:
        """The name itself; for "auto" that of the best part that can be used, by its metadata alone.

        Raises:
            UnknownPartError: "auto" stands for nothing in this group.
        """
        if name != AUTO or not self.best:
            return name
        found = next((info.name for info in self.describe() if info.default), None)
        if found is None:
            raise UnknownPartError(
                f"'{AUTO}' stands for the first {self.noun} of {', '.join(self.best)} that is installed, and "
                "none is; install dld again, or name another"
            )
        return found

    def get(self, name: str) -> type[T]:
        """The class registered under `name` ("auto" for the best one), imported now if it was not.

        Raises:
            UnknownPartError: there is none (lists those that are, and the nearest).
            DuplicatePartError: two distributions offer the name.
            MissingExtraError: something that it needs is not installed (with the install line).
            BrokenPluginError: it cannot be imported, or is not what the group holds.
        """
        return self._load(self.find(self.resolve(name)))

    def find(self, name: str) -> Entry:
        """The one entry of that name, not imported. Raises UnknownPartError and DuplicatePartError."""
        matches = [entry for entry in self.entries() if entry.name == name]
        if not matches:
            raise UnknownPartError(self._unknown(name))
        if len(matches) > 1:
            raise DuplicatePartError(self._clash(matches))
        return matches[0]

    def describe(self, load: bool = False) -> list[PartInfo]:
        """One PartInfo per entry, sorted by name. Nothing is imported unless `load` is set."""
        ordered = sorted(self.entries(), key=lambda e: (e.name, e.distribution))
        parts = [self._info(entry, *self._state(entry, load)) for entry in ordered]
        able = {part.name for part in parts if part.status in ("usable", "unloaded")}
        default = next((name for name in self.best if name in able), None)
        return [replace(part, default=part.name == default) for part in parts]

    def _info(self, entry: Entry, status: Status, reason: str) -> PartInfo:
        return PartInfo(
            entry.name, self.group, entry.target, entry.distribution, entry.version, status, reason
        )

    def _state(self, entry: Entry, load: bool) -> tuple[Status, str]:
        try:
            self.find(entry.name)
            if load or entry in self._checked or entry.loaded is not None:
                return _loaded_state(self._load(entry))
        except MissingExtraError as error:
            return "missing-extra", str(error)
        except DLDError as error:
            return "broken", str(error)
        return _static_state(entry)

    def _load(self, entry: Entry) -> type[T]:
        if entry not in self._checked:
            self._checked[entry] = self._check(entry, entrypoints.load(entry))
        return self._checked[entry]

    def _check(self, entry: Entry, part: Any) -> type[T]:
        reason = _misfit(part, entrypoints.import_target(self.interface))
        if reason is not None:
            raise BrokenPluginError(entrypoints.broken(entry, reason))
        return cast("type[T]", part)

    def _unknown(self, name: str) -> str:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        listed = ", ".join(names) or f"none (install a distribution with entry points in '{self.group}')"
        return f"There is no {self.noun} named '{name}'.{guess} Registered: {listed}."

    def _clash(self, entries: list[Entry]) -> str:
        offers = " and ".join(f"{entry.origin} ({entry.target})" for entry in entries)
        return (
            f"The {self.noun} name '{entries[0].name}' is offered by {offers}; "
            f"uninstall or rename one of them, since neither may hide the other."
        )


def _misfit(part: Any, wanted: type[Any]) -> str | None:
    """Why an imported object cannot be a part of a group whose interface is `wanted`; None if it can."""
    full_name = f"{wanted.__module__}.{wanted.__name__}"
    if not isinstance(part, type):
        return f"it must be a class that subclasses {full_name}, and is of type {type(part).__name__}"
    if not issubclass(part, wanted):
        return f"the class {part.__name__} must subclass {full_name}"
    unwritten = sorted(getattr(part, "__abstractmethods__", ()))
    if unwritten:
        return f"the class {part.__name__} leaves abstract methods unwritten: {', '.join(unwritten)}"
    return None


def _loaded_state(part: Any) -> tuple[Status, str]:
    """What an imported part says of itself: `missing()`, if it has it, names what this machine lacks.

    For parts whose engine is imported when one is made, or is a program: the import alone proves nothing.
    """
    lacking = part.missing() if hasattr(part, "missing") else None
    return ("missing-extra", str(lacking)) if lacking else ("usable", "")


def _static_state(entry: Entry) -> tuple[Status, str]:
    """What can be said of an entry from its metadata alone."""
    absent, extra = entrypoints.missing_requirements(entry)
    if absent:
        line = f'pip install "{entry.distribution}[{extra}]"' if extra else f"pip install {' '.join(absent)}"
        return "missing-extra", f"'{entry.name}' needs {', '.join(absent)}: `{line}`."
    if not entrypoints.is_importable(entry.package):
        return "broken", entrypoints.broken(entry, f"there is no package '{entry.package}' to import")
    return "unloaded", ""


backends: Group[Spotter] = Group(
    "dld.backends", "backend", "dld_core.interfaces:Spotter", best=("ppocr", "segmentation", "maskrcnn")
)
selectors: Group[ResolutionSelector] = Group(
    "dld.selectors", "selector", "dld_core.interfaces:ResolutionSelector"
)
distillers: Group[Distiller] = Group("dld.distillers", "distiller", "dld_core.interfaces:Distiller")
GROUPS: tuple[Group[Any], ...] = (backends, selectors, distillers)


def default_backend() -> str:
    """What `backend="auto"` stands for: the best reader that is installed. Nothing is imported."""
    return backends.resolve(AUTO)


def locate(name: str, group: str | None = None) -> Group[Any]:
    """The group that holds a part of that name; nothing is imported.

    Args:
        group: an entry-point group to look in; None for all.

    Raises:
        ConfigError: no such group, or the name stands in several and `group` does not say which is meant.
        UnknownPartError: no group holds the name.
        DuplicatePartError: two distributions offer it.
    """
    groups = [g for g in GROUPS if group in (None, g.group)]
    if not groups:
        known = ", ".join(g.group for g in GROUPS)
        raise ConfigError(f"There is no group '{group}'; choose one of {known}.")
    having = [g for g in groups if name in g.names()]
    if len(having) > 1:
        found = " and ".join(g.group for g in having)
        raise ConfigError(f"The name '{name}' stands in {found}; say which with --group.")
    chosen = having[0] if having else groups[0]
    chosen.find(name)
    return chosen
