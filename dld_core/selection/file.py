"""A selector on disk: one safetensors file whose header names its kind and options. Nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Json
from safetensors.torch import save
from torch import Tensor

from dld_core.config import PartConfig, write_file
from dld_core.errors import ConfigError, UnknownPartError, WeightsError
from dld_core.interfaces import ResolutionSelector
from dld_core.plugins.registry import selectors
from dld_core.runtimes.weight_files import read_safetensors

FORMAT = "dld-selector-1"
SELECTOR_FILE = "selector.safetensors"
"""What a selector is called beside the weights that it chooses scales for."""


class SelectorHeader(PartConfig):
    """What the header of the file holds.

    Attributes:
        format: of the file.
        name: what the kind of selector is registered as.
        config: its options.
    """

    model_config = ConfigDict(extra="ignore")

    format: Literal["dld-selector-1"]
    name: str = "dense"
    config: Json[dict[str, Any]]


def save_selector(selector: ResolutionSelector, path: str | Path, half: bool = True) -> Path:
    """Write a selector; floating-point tensors in 16 bits unless `half` is off. Returns the path.

    Raises:
        ConfigError: its class is not registered, so that nobody could load it.
        OSError: it cannot be written.
    """
    kind = type(selector)
    name = selectors.name_of(kind)
    if name is None:
        raise ConfigError(
            f"a {kind.__name__} cannot be saved, since a file names its kind of selector; offer the class "
            f"as an entry point of '{selectors.group}', or by dld_core.plugins.registry.selectors.register"
        )
    state = {
        key: (value.half() if half and value.is_floating_point() else value).cpu().contiguous().clone()
        for key, value in selector.state_dict().items()
    }
    config = json.dumps(selector.config.model_dump(mode="json"))
    return write_file(Path(path), save(state, {"format": FORMAT, "name": name, "config": config}))


def load_selector(path: str | Path) -> ResolutionSelector:
    """Read a selector of any registered kind, in eval mode.

    Raises:
        WeightsError: the file is absent, damaged, or holds no selector that fits its kind.
        UnknownPartError, BrokenPluginError, MissingExtraError: its kind cannot be had.
    """
    file = Path(path)
    header, state = _read(file)
    try:
        part = selectors.get(header.name)
    except UnknownPartError as error:
        raise UnknownPartError(f"{file} needs a selector that is not installed. {error}") from None
    try:
        selector = part.create(**header.config)
    except (ConfigError, TypeError) as error:
        raise WeightsError(f"{file} is damaged: {error}; make the selector again") from None
    try:
        selector.load_state_dict(state)
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise WeightsError(
            f"{file} does not fit the selector '{header.name}' of this version ({why}); make it again"
        ) from None
    return selector.eval()


def selector_name(path: Path) -> str:
    """Of which kind the selector in a file is. Raises WeightsError."""
    return _read(path)[0].name


def _read(file: Path) -> tuple[SelectorHeader, dict[str, Tensor]]:
    state, header = read_safetensors(file)
    try:
        return SelectorHeader.parse(header), state
    except ConfigError as error:
        raise WeightsError(
            f"{file} holds no selector ({error}); give the {SELECTOR_FILE} that `dld distill` wrote"
        ) from None
