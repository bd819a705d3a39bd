"""A wrapper on disk: config.json beside model.safetensors. Nothing is ever pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_core.config import PartConfig, write_file
from dld_core.errors import ConfigError, WeightsError
from dld_core.pipeline.parts import CONFIG, MODEL, SELECTOR_FILE, TEACHER_FILE
from dld_core.pipeline.request import POLICY_OPTIONS

if TYPE_CHECKING:
    from dld_core.interfaces import ResolutionSelector, Spotter

_FORMAT = 1


def device_of(spotter: Spotter) -> str | None:
    """Where a spotter computes: its own `device`, else that of its parameters; None if it does not say."""
    from torch import nn

    from dld_core.interfaces import module_device

    declared = getattr(spotter, "device", None)
    if declared is None and isinstance(spotter, nn.Module):
        declared = module_device(spotter)
    return None if declared is None else str(declared)


def save(
    folder: Path,
    config: dict[str, Any],
    spotter: Spotter,
    options: dict[str, Any],
    weights: str | Path | None,
    selector: ResolutionSelector | None = None,
    teacher: Spotter | None = None,
) -> Path:
    """Write config.json, for a spotter with a state model.safetensors, and teacher and selector if there are.

    Args:
        config: the wrapper's own settings; "backend" must be a registered name.
        options: what the spotter was made with, used where it has no `config` of its own.
        weights: what an engine without a state was loaded from.
        teacher: what reads at full scale, if that is another spotter.

    Raises:
        ConfigError: the spotter was not given by name.
        WeightsError: the folder cannot be written.
    """
    from dld_core.plugins.registry import backends

    if config["backend"] not in backends.names():
        raise ConfigError(
            f"only a wrapper made with the name of a backend can be saved, not one of {config['backend']}; "
            "register the class (dld_core.plugins.registry.backends.register) and make the wrapper by name"
        )
    own = getattr(spotter, "config", None)
    values = own.model_dump(mode="json") if isinstance(own, PartConfig) else options
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_state = _write_state(spotter, folder / MODEL)
        if teacher is not None and _write_state(teacher, folder / TEACHER_FILE):
            config["teacher"] = TEACHER_FILE
        config = {**config, "selector": _write_selector(selector, folder)}
        source = MODEL if has_state else weights if weights is None else str(weights)
        text = json.dumps({"format": _FORMAT, **config, "options": values, "weights": source}, indent=2)
        write_file(folder / CONFIG, text + "\n")
    except OSError as error:
        raise WeightsError(f"cannot write to {folder} ({error.strerror}); choose another folder") from error
    except TypeError as error:
        raise ConfigError(f"the options of {config['backend']} cannot be written as JSON: {error}") from error
    return folder


def _write_selector(selector: ResolutionSelector | None, folder: Path) -> str | None:
    if selector is None:
        return None
    from dld_core.selection import save_selector

    return save_selector(selector, folder / SELECTOR_FILE, half=False).name


def _write_state(spotter: Spotter, path: Path) -> bool:
    from safetensors.torch import save as to_bytes
    from torch import nn

    if not isinstance(spotter, nn.Module):
        return False
    # Clones, because safetensors refuses tensors that share memory.
    state = {name: value.detach().cpu().clone().contiguous() for name, value in spotter.state_dict().items()}
    write_file(path, to_bytes(state, {"format": "pt"}))
    return True


def load(folder: Path) -> dict[str, Any]:
    """The keywords that make the saved wrapper again.

    Raises:
        WeightsError: the folder is not one that `save` wrote, or was written by a later version.
    """
    file = folder / CONFIG
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        version = values.pop("format")
        options = values.pop("options")
        known = {key: values[key] for key in ("backend", "scale", "max_pixels", "batch_size", "weights")}
        known |= {key: values[key] for key in (*POLICY_OPTIONS, "escalate", "selector") if key in values}
    except OSError as error:
        raise WeightsError(
            f"cannot read {file} ({error.strerror}); give a folder written by save()"
        ) from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(f"{file} is damaged ({error!r}); save the wrapper again") from error
    if version != _FORMAT:
        raise WeightsError(
            f"{file} has format {version}, and this version of dld reads {_FORMAT}; update dld"
        )
    if known["weights"] == MODEL:
        known["weights"] = folder / MODEL
    if known.get("selector") == SELECTOR_FILE:
        known["selector"] = folder / SELECTOR_FILE
    return {**options, **known}
