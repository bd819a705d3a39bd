"""The command `dld`: a table of verbs, each one file, imported when it is run.

In: arguments. Out: data on stdout, messages on stderr, an exit code. A verb `v` is the function `v` of
`dld_core/cli/v.py` with typer annotations (or, for a group of verbs, a `typer.Typer` named `app`). An error
raised on purpose (DLDError) becomes one line and its exit code. Others call `main`.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import dld_core
from dld_core.errors import DLDError, explain
from dld_core.plugins.hooks import hooks

VERBS: dict[str, tuple[str, str]] = {
    "spot": ("dld_core.cli.spot:spot", "Read the words of images."),
    "backends": ("dld_core.cli.backends:backends", "List the registered parts, and why one cannot be used."),
    "evaluate": ("dld_core.cli.evaluate:evaluate", "Score predictions, or a backend on annotated images."),
    "train": ("dld_core.cli.train:train", "Train a spotter from a config."),
    "distill": ("dld_core.cli.distill:distill", "Train a low-resolution student, a selector, or both."),
    "study": ("dld_core.cli.study:study", "Compare systems on sets of images: tables and plots."),
    "ablate": ("dld_core.cli.ablate:ablate", "Run a config once for each change to it, and compare."),
    "bench": ("dld_core.cli.bench:bench", "Count the FLOPs of real runs and time them."),
    "export": ("dld_core.cli.export:export", "Write a spotter as ONNX files."),
    "data": ("dld_core.cli.data:app", "Render, convert and check data sets."),
    "check": ("dld_core.cli.check:check", "Check an installed part against its contracts."),
    "doctor": (
        "dld_core.cli.doctor:doctor",
        "Examine the installation, and name the fix for what is missing.",
    ),
}
_INTERRUPTED = 130  # what a shell reports for a command that SIGINT ended
_BAD_INPUT = 3
_ENVIRONMENT = 4


class LazyVerb(TyperCommand):
    """A verb that is known by name and help, and whose module is imported when it is run."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """The context of the verb itself."""
        return _load_verb(str(self.name)).make_context(info_name, args, parent, **extra)


class VerbGroup(TyperGroup):
    """A click group of lazy verbs."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs in the order of the table."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The click command of a verb, or None when there is none of that name."""
        del ctx
        return LazyVerb(cmd_name, help=VERBS[cmd_name][1]) if cmd_name in VERBS else None

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; an expected error becomes one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except (DLDError, ImportError, RuntimeError, OSError) as error:
            known = _sentence(error)
            if known is None:
                raise
            if ctx.params.get("debug"):
                traceback.print_exception(error)
            sys.stderr.write(f"dld: {known[0]}\n")
            if isinstance(error, OSError):
                _forget_output()
            raise typer.Exit(known[1]) from None


def _forget_output() -> None:
    """What is left in the buffer of an output that takes no more would fail again when the process ends."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _load_verb(verb: str) -> Any:
    module, _, attribute = VERBS[verb][0].partition(":")
    entry = getattr(importlib.import_module(module), attribute)
    if not isinstance(entry, typer.Typer):
        function, entry = entry, typer.Typer(add_completion=False)
        entry.command(verb)(function)
    command = typer.main.get_command(entry)
    command.name = verb
    return command


def _sentence(error: BaseException) -> tuple[str, int] | None:
    """What to print for an error and the exit code; None for one that nobody foresaw (a bug)."""
    known = explain(error)
    if known is not None:
        return known, error.exit_code if isinstance(error, DLDError) else _ENVIRONMENT
    if isinstance(error, DLDError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"cannot use {error.filename!r}: {error.strerror}.", _BAD_INPUT
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
        return f"cannot write the output: {error.strerror}; make room and run it again.", _BAD_INPUT
    return None


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"dld {dld_core.__version__}")
        raise typer.Exit


def _root(
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            help="A Python file or module with hooks to load; may be repeated.", metavar="FILE_OR_MODULE"
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Read scene text at the smallest resolution that still reads it right."""
    del debug, version
    if plugin:
        for name in plugin:
            hooks.load(name)


def command() -> Any:
    """The click command behind `dld` (for tests and for completion)."""
    app = typer.Typer(cls=VerbGroup, no_args_is_help=True, add_completion=False)
    app.callback()(_root)
    return typer.main.get_command(app)


def _hoist(arguments: Sequence[str]) -> list[str]:
    """Move --plugin and --debug to the front, so that they are understood after the verb as well."""
    front: list[str] = []
    rest: list[str] = []
    queue = list(arguments)
    while queue:
        item = queue.pop(0)
        if item == "--":
            rest += [item, *queue]
            break
        if item == "--plugin" and queue:
            front += [item, queue.pop(0)]
        elif item == "--debug" or item.startswith("--plugin="):
            front.append(item)
        else:
            rest.append(item)
    return front + rest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `dld` with these arguments (those of the process by default); ends with SystemExit."""
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console of another encoding must not end a run
            stream.reconfigure(errors="backslashreplace")
    command().main(args=_hoist(given), prog_name="dld")
