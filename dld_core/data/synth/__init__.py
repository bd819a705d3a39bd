"""Rendered training pages for scene-text spotting: words on signs, labels, posters and photos.

In: options, fonts, the user's photos and word crops. Out: annotated pages, the same for the same seed.
Others call `PageRenderer`, `render_page`, and `export.write_pages`.
"""

from dld_core.data.synth.config import SynthConfig
from dld_core.data.synth.page import PageRenderer, render_page

__all__ = ["PageRenderer", "SynthConfig", "render_page"]
