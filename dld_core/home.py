"""Where this library keeps what it can make again: DLD_HOME, else the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The cache folder (it may not exist yet); nothing is created by asking."""
    chosen = os.environ.get("DLD_HOME")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("dld", appauthor=False)
