"""`dld doctor`: versions, devices, plugins, what is missing and the fix."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dld_core.cli.doctor_checks.health import Finding, examine

_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fault": "[red]fault[/]"}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list on stdout.")] = False,
) -> None:
    """Examine the installation, and tell the fix for what is missing.

    Exit 0 when nothing is at fault, else 1.
    """
    findings = examine()
    if json:
        _print_json(findings)
    else:
        _print_table(findings)
    raise typer.Exit(int(any(finding.state == "fault" for finding in findings)))


def _print_json(findings: list[Finding]) -> None:
    print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))


def _print_table(findings: list[Finding]) -> None:
    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen.width = 200  # lines in a pipe or a bug report stay whole
    table = Table(box=None, show_header=False, pad_edge=False)
    section = ""
    for f in findings:
        if f.section != section:
            section = f.section
            table.add_row(f"[bold]{section}[/]")
        table.add_row(f"  {escape(f.name)}", _MARKS[f.state], escape(f.value))
    screen.print(table)
    for f in findings:
        if f.fix:
            screen.print(f"{_MARKS[f.state]} {escape(f.name)}: {escape(f.fix)}", soft_wrap=True)
