"""`dld data synth|convert|check`: render, convert and validate data sets."""

from __future__ import annotations

import importlib
import importlib.util

import typer

app = typer.Typer(help="Render, convert and validate data sets.", no_args_is_help=True, add_completion=False)

_VERBS = {
    "synth": "dld_core.cli.data_synth",
    "convert": "dld_core.cli.data_convert",
    "check": "dld_core.cli.data_check",
}

for _verb, _module in _VERBS.items():
    if importlib.util.find_spec(_module) is not None:
        app.command(_verb)(getattr(importlib.import_module(_module), _verb))
