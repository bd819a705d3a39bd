"""`dld backends`: every registered part, where it comes from, and whether it can be used."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dld_core.plugins import registry
from dld_core.plugins.registry import PartInfo

_WORDS = {
    "usable": "[green]usable[/]",
    "unloaded": "[green]found[/]",
    "missing-extra": "[yellow]missing extra[/]",
    "broken": "[red]broken[/]",
}


def backends(
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list on stdout.")] = False,
    load: Annotated[bool, typer.Option("--load", help="Import every part to be sure (loads torch).")] = False,
) -> None:
    """List the registered parts, and why one cannot be used.

    Without --load nothing is imported: "found" means that its package and requirements are installed.
    """
    parts = [part for group in registry.GROUPS for part in group.describe(load=load)]
    if json:
        _print_json(parts)
    else:
        _print_table(parts)


def _print_json(parts: list[PartInfo]) -> None:
    print(json.dumps([dataclasses.asdict(part) for part in parts], indent=2))


def _print_table(parts: list[PartInfo]) -> None:
    table = Table("name", "group", "status", "from", "target", box=None, pad_edge=False)
    for part in parts:
        origin = f"{part.distribution} {part.version}".strip()
        cells: list[Any] = [escape(part.name), part.group, _WORDS[part.status], escape(origin)]
        table.add_row(*cells, escape(part.target))
    screen = Console()
    screen.width = max(screen.width, 160) if not screen.is_terminal else screen.width  # pipes never wrap
    screen.print(table)
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    for part in parts:
        if part.reason:
            notes.print(escape(part.reason))
