"""Which selector chooses: the bundled one, a part by name, a file, or one that is ready."""

from __future__ import annotations

import os
from pathlib import Path

from dld_core.errors import ConfigError, WeightsError
from dld_core.interfaces import BUNDLED, ResolutionSelector, Spotter
from dld_core.plugins.registry import backends, selectors
from dld_core.selection.file import SELECTOR_FILE, load_selector, selector_name


def find_selector(
    given: str | Path | ResolutionSelector | None, spotter: Spotter, shipped: Path | None, device: str
) -> ResolutionSelector | None:
    """The selector to use, in eval mode on the device, or None.

    Args:
        given: "bundled" for the one that is shipped, where it fits the reference size; the name of a part; a
            file or its folder (a `Path`, or text with a slash or the ending .safetensors); a selector that is
            ready; None for none.
        spotter: what it chooses for.
        shipped: the file that lies beside the spotter's weights or ships with its backend.
        device: where it computes.

    Raises:
        UnknownPartError, BrokenPluginError, MissingExtraError: a part cannot be had.
        ConfigError: a part was never trained for this spotter, or `given` is none of these.
        WeightsError: a file is absent or damaged, or its selector is for another reference size.
    """
    if given is None:
        return None
    if isinstance(given, ResolutionSelector):
        selector, source = given, "the selector"
    elif not isinstance(given, str | Path):
        raise ConfigError(
            f"selector must be '{BUNDLED}', the name of a part, a file of `dld distill`, a "
            f"ResolutionSelector or None, not {given!r}"
        )
    elif given == BUNDLED:
        if shipped is None:
            return None
        selector, source = load_selector(shipped), f"the selector {shipped}"
        if not _fits(selector, spotter):
            return None
    elif isinstance(given, Path) or os.sep in given or "/" in given or given.endswith(".safetensors"):
        path = Path(given)
        path = path / SELECTOR_FILE if path.is_dir() else path
        selector, source = load_selector(path), f"the selector {path}"
    else:
        selector, source = _by_name(given, spotter, shipped), f"the selector '{given}'"
    if not _fits(selector, spotter):
        wanted = selector.reference_short_side
        raise WeightsError(
            f"{source} was made for a reference short side of {wanted:g} pixels, and that of this spotter is "
            f"{spotter.reference_short_side}; give reference_short_side={wanted:g} or another selector"
        )
    return selector.to(device).eval()


def _fits(selector: ResolutionSelector, spotter: Spotter) -> bool:
    return selector.reference_short_side in (None, spotter.reference_short_side)


def _by_name(name: str, spotter: Spotter, shipped: Path | None) -> ResolutionSelector:
    """One of a kind: trained for this spotter, or of a kind that needs no training."""
    part = selectors.get(name)
    backend = backends.name_of(type(spotter))
    for path in (shipped, part.weights_for(backend) if backend else None):
        if path is not None and selector_name(path) == name:
            return load_selector(path)
    selector = part.create(reference_short_side=spotter.reference_short_side)
    if any(True for _ in selector.parameters()):
        raise ConfigError(
            f"no selector '{name}' is trained for {backend or type(spotter).__name__}; train one by `dld "
            f"distill` with 'selector: {{name: {name}, ...}}' and give its file as a pathlib.Path"
        )
    return selector
