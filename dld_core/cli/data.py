"""`dld data synth|convert|check`: render, convert and validate data sets."""

from __future__ import annotations

import typer

from dld_core.cli.data_check import check
from dld_core.cli.data_convert import convert
from dld_core.cli.data_synth import synth

app = typer.Typer(help="Render, convert and check data sets.", no_args_is_help=True, add_completion=False)
for _verb in (synth, convert, check):
    app.command(_verb.__name__)(_verb)
