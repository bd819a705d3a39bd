"""Typed calls of the hook events, with guarded loading of the plugins that listen.

    from dld_core.plugins.hooks import hooks
    hooks.page_spotted(page)

Installed plugins (entry-point group `dld.hooks`) and those in the environment variable DLD_PLUGINS (files or
modules, separated as in PATH) are loaded at the first event; one that cannot be loaded is reported and
skipped. A plugin named on purpose (`--plugin`, `hooks.load`) must load. A hook that raises is reported once,
and the run goes on, unless `hooks.strict` is set.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_core.errors import BrokenPluginError, DLDError
from dld_core.plugins import entrypoints
from dld_core.plugins.entrypoints import HERE, Entry

if TYPE_CHECKING:
    from pluggy import HookImpl, PluginManager
    from torch import Tensor

    from dld_core.results.page import Page

GROUP = "dld.hooks"
_LOG = logging.getLogger("dld_core.plugins.hooks")


class Hooks:
    """One set of listening plugins. The process has one, `hooks`; tests make their own.

    Attributes:
        strict: whether a hook that raises ends the run with BrokenPluginError (default: report, go on).
    """

    def __init__(self, discover: bool = True) -> None:
        self.strict = False
        self._lock = threading.RLock()
        self._manager: PluginManager | None = None
        self._pending = discover
        self._listeners: dict[str, tuple[HookImpl, ...]] = {}
        self._reported: set[tuple[str, str]] = set()

    def run_configured(self, kind: str, config: Mapping[str, Any]) -> None:
        """See `hookspecs.dld_run_configured`."""
        self._call("dld_run_configured", kind=kind, config=config)

    def scale_chosen(self, image: str, scale: float, scores: Mapping[float, float]) -> None:
        """See `hookspecs.dld_scale_chosen`."""
        self._call("dld_scale_chosen", image=image, scale=scale, scores=scores)

    def losses_computed(self, step: int, losses: Mapping[str, Tensor]) -> None:
        """See `hookspecs.dld_losses_computed`."""
        self._call("dld_losses_computed", step=step, losses=losses)

    def step_ended(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `hookspecs.dld_step_ended`."""
        self._call("dld_step_ended", step=step, metrics=metrics)

    def page_spotted(self, page: Page) -> None:
        """See `hookspecs.dld_page_spotted`."""
        self._call("dld_page_spotted", page=page)

    def listening(self, event: str) -> bool:
        """Whether anybody listens to "page_spotted", ...: lets a caller skip preparing arguments."""
        if self._pending:
            self.discover()
        return bool(self._listeners.get(f"dld_{event}"))

    def plugins(self) -> list[str]:
        """The names of the loaded plugins, sorted."""
        if self._pending:
            self.discover()
        return sorted(name for name, _ in self._manager.list_name_plugin()) if self._manager else []

    def register(self, plugin: object, name: str) -> None:
        """Let an object (module, instance, or class made without arguments) listen, under a unique name.

        Raises:
            BrokenPluginError: it implements an event that does not exist, or asks for an unknown argument.
        """
        listener = plugin() if isinstance(plugin, type) else plugin
        with self._lock:
            manager = self._get_manager()
            if manager.has_plugin(name) or manager.is_registered(listener):
                return
            self._register_checked(manager, listener, name)
            self._rebuild(manager)

    def unregister(self, name: str) -> None:
        """Stop a plugin from listening."""
        with self._lock:
            manager = self._get_manager()
            manager.unregister(name=name)
            self._rebuild(manager)

    def load(self, target: str) -> None:
        """Load a plugin from a Python file, a module or "module:object".

        Raises:
            BrokenPluginError: it cannot be loaded; names it, cause chained.
            MissingExtraError: it needs a module that is not installed.
        """
        entry = Entry(GROUP, target, target, HERE)
        self.register(_import_file(target) if target.endswith(".py") else entrypoints.load(entry), target)

    def discover(self) -> None:
        """Load the installed plugins and those of DLD_PLUGINS, once; report and skip the broken ones."""
        with self._lock:
            if not self._pending:
                return
            self._pending = False
            for entry in entrypoints.scan(GROUP):
                self._try(lambda e=entry: self.register(entrypoints.load(e), f"{e.distribution}:{e.name}"))
            for target in filter(None, os.environ.get("DLD_PLUGINS", "").split(os.pathsep)):
                self._try(lambda t=target: self.load(t))

    def _try(self, action: Any) -> None:
        try:
            action()
        except DLDError as error:
            _LOG.warning("hook plugin skipped: %s", error)

    def _get_manager(self) -> PluginManager:
        if self._manager is None:
            from pluggy import PluginManager

            from dld_core.plugins import hookspecs

            self._manager = PluginManager("dld")
            self._manager.add_hookspecs(hookspecs)
        return self._manager

    def _register_checked(self, manager: PluginManager, plugin: object, name: str) -> None:
        from pluggy import PluginValidationError

        try:
            manager.register(plugin, name)
            manager.check_pending()
            if _wraps(manager, plugin):
                raise PluginValidationError(plugin, "an event cannot be wrapped, only listened to")
        except PluginValidationError as error:
            if manager.has_plugin(name):
                manager.unregister(name=name)
            reason = " ".join(str(error).split())
            raise BrokenPluginError(
                f"The hook plugin '{name}' cannot be used: {reason}. The events and their arguments are "
                f"listed in dld_core/plugins/hookspecs.py."
            ) from error

    def _rebuild(self, manager: PluginManager) -> None:
        """Replace the table of listeners as a whole, so that events on other threads need no lock."""
        callers = {
            name: getattr(manager.hook, name) for name in vars(manager.hook) if name.startswith("dld_")
        }
        # pluggy keeps the implementations in the reverse of the order in which they are to be called
        self._listeners = {name: tuple(reversed(c.get_hookimpls())) for name, c in callers.items()}

    def _call(self, event: str, **arguments: Any) -> None:
        if self._pending:
            self.discover()
        for implementation in self._listeners.get(event, ()):
            try:
                implementation.function(*[arguments[name] for name in implementation.argnames])
            except Exception as error:  # somebody's listener must not end an hour of training
                self._report(implementation.plugin_name, event, error)

    def _report(self, plugin: str, event: str, error: Exception) -> None:
        message = f"The hook plugin '{plugin}' failed in {event}: {type(error).__name__}: {error}"
        if self.strict:
            raise BrokenPluginError(f"{message}. Mend it or run without it.") from error
        if (plugin, event) not in self._reported:
            self._reported.add((plugin, event))
            _LOG.warning("%s. The run goes on; further failures of this hook are not shown.", message)


def _wraps(manager: PluginManager, plugin: object) -> bool:
    """Whether a plugin holds a pluggy wrapper, which one call per listener would never run."""
    implementations = (i for c in manager.get_hookcallers(plugin) or () for i in c.get_hookimpls())
    return any(i.plugin is plugin and (i.wrapper or i.hookwrapper) for i in implementations)


def _import_file(path: str) -> object:
    file = Path(path)
    name = f"dld_plugin_{file.stem}"
    if not file.is_file():
        raise BrokenPluginError(f"There is no plugin file {path}; check the path.")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # a name that ends in .py always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, DLDError):
            raise
        raise BrokenPluginError(
            f"The plugin file {path} cannot be run: {type(error).__name__}: {error}. Mend it or leave it out."
        ) from error
    return module


hooks = Hooks()
