"""`dld check`: the conformance kit on an installed part, contract by contract."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dld_core.cli.building import OPTION_FORM, none, parse_options
from dld_core.errors import ConfigError
from dld_core.plugins import registry
from dld_core.testing import Outcome, contracts_of, run_contracts
from dld_core.testing.installed import case_of

_MARKS = {"passed": "[green]passed[/]", "failed": "[red]FAILED[/]", "skipped": "[yellow]skipped[/]"}


def check(
    name: Annotated[str, typer.Argument(help="A part, as `dld backends` lists it.")],
    group: Annotated[str | None, typer.Option(help="Its group, where the name stands in several.")] = None,
    weights: Annotated[str, typer.Option(help="'bundled', 'none' (random) or a path.")] = "bundled",
    option: Annotated[
        list[str] | None, typer.Option(help="What to build it with; may be repeated.", metavar=OPTION_FORM)
    ] = None,
    only: Annotated[str | None, typer.Option(help="Contracts to check, such as S4,T8.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list on stdout.")] = False,
) -> None:
    """Check an installed part against its contracts (docs/contract.md).

    Exit 0 when none is broken, else 1.
    """
    options = parse_options(option)
    registry.locate(name, group)  # a misspelt name is told before torch is loaded

    case = case_of(name, group, none(weights), options)
    outcomes = _run(case, only)
    failed = _print_json(outcomes) if json else _print_table(name, outcomes)
    raise typer.Exit(int(failed > 0))


def _run(case: type, only: str | None) -> Iterator[Outcome]:
    known = [promised.number for promised, _ in contracts_of(case)]
    wanted = [number.strip().upper() for number in only.split(",")] if only else known
    strange = [number for number in wanted if number not in known]
    if strange:
        raise ConfigError(
            f"There is no contract {', '.join(strange)} for this part; it has {', '.join(known)}."
        )
    return run_contracts(case, set(wanted))


def _print_json(outcomes: Iterator[Outcome]) -> int:
    rows = [
        {
            "number": o.contract.number,
            "promise": o.contract.promise,
            "state": o.state,
            "message": o.message,
            "seconds": round(o.seconds, 3),
        }
        for o in outcomes
    ]
    print(json.dumps(rows, indent=2))
    return sum(row["state"] == "failed" for row in rows)


def _print_table(name: str, outcomes: Iterator[Outcome]) -> int:
    screen = Console(highlight=False, soft_wrap=True)
    counts = dict.fromkeys(_MARKS, 0)
    for o in outcomes:  # a line at a time, since some parts are slow
        counts[o.state] += 1
        pad = " " * (8 - len(o.state))
        screen.print(f"{o.contract.number:<4}{_MARKS[o.state]}{pad}{escape(o.contract.promise)}")
        if o.message:
            screen.print(f"            {escape(o.message)}")
    sys.stdout.flush()
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    screen.print(f"[bold]{escape(name)}[/]: {told}")
    return counts["failed"]
