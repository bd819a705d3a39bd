"""The command `dld`: a table of verbs, each one file, imported only when it is asked for.

A verb `v` is the function `v` of `dld_core/cli/v.py` with typer annotations (or, for a group of verbs, a
`typer.Typer` named `app`). A verb whose module is not in the tree is not offered. Data goes to stdout,
everything else to stderr; an error raised on purpose (DLDError) becomes one line and its exit code.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dld_core.errors import DLDError

VERBS: dict[str, str] = {
    "spot": "dld_core.cli.spot:spot",
    "backends": "dld_core.cli.backends:backends",
    "evaluate": "dld_core.cli.evaluate:evaluate",
    "train": "dld_core.cli.train:train",
    "distill": "dld_core.cli.distill:distill",
    "study": "dld_core.cli.study:study",
    "ablate": "dld_core.cli.ablate:ablate",
    "bench": "dld_core.cli.bench:bench",
    "export": "dld_core.cli.export:export",
    "data": "dld_core.cli.data:app",
    "check": "dld_core.cli.check:check",
    "doctor": "dld_core.cli.doctor:doctor",
}
_INTERRUPTED = 130  # what a shell reports for a command that SIGINT ended
_BAD_INPUT = 3
_ENVIRONMENT = 4


class VerbGroup(TyperGroup):
    """A click group that imports a verb's module when it is first needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs whose modules exist, in the order of the table."""
        del ctx
        return [verb for verb in VERBS if _is_present(verb)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The click command of a verb, or None when there is none of that name."""
        del ctx
        return _load_verb(cmd_name) if cmd_name in VERBS and _is_present(cmd_name) else None

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; an expected error becomes one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except (DLDError, ImportError, RuntimeError, OSError) as error:
            told = _sentence(error)
            if told is None:
                raise
            if ctx.params.get("debug"):
                traceback.print_exception(error)
            sys.stderr.write(f"dld: {told[0]}\n")
            raise typer.Exit(told[1]) from None


def _is_present(verb: str) -> bool:
    return importlib.util.find_spec(VERBS[verb].partition(":")[0]) is not None


def _load_verb(verb: str) -> Any:
    module, _, attribute = VERBS[verb].partition(":")
    entry = getattr(importlib.import_module(module), attribute)
    if not isinstance(entry, typer.Typer):
        function, entry = entry, typer.Typer(add_completion=False)
        entry.command(verb)(function)
    command = typer.main.get_command(entry)
    command.name = verb
    return command


def _sentence(error: BaseException) -> tuple[str, int] | None:
    """What to print for an error and the exit code; None for one that nobody foresaw (a bug)."""
    from dld_core.errors import explain

    known = explain(error)
    if known is not None:
        return known, error.exit_code if isinstance(error, DLDError) else _ENVIRONMENT
    if isinstance(error, DLDError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"cannot use {error.filename!r}: {error.strerror}.", _BAD_INPUT
    return None


def _print_version(wanted: bool) -> None:
    if wanted:
        import dld_core

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
        from dld_core.plugins.hooks import hooks

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
    command().main(args=_hoist(given), prog_name="dld")
