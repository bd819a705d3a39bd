"""Rendered training pages for scene-text spotting: words on signs, labels, posters and photos.

Names load on first use, so that importing this package loads neither OpenCV nor Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dld_core.data.synth.config import SynthConfig
    from dld_core.data.synth.page import PageRenderer, render_page

__all__ = ["PageRenderer", "SynthConfig", "render_page"]

_HOMES = {"SynthConfig": "config", "PageRenderer": "page", "render_page": "page"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
