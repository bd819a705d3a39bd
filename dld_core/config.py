"""The pydantic base of every part's options: frozen, and an unknown key is an error with a suggestion."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from dld_core.errors import ConfigError


class PartConfig(BaseModel):
    """Base of a part's options. Subclass it, add fields; `parse` turns trouble into ConfigError."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any] | Self | None, where: str = "") -> Self:
        """Validate a mapping.

        Args:
            values: the options, an instance (returned as it is), or None for all defaults.
            where: what is being configured, for the message ("train.yaml", "backend maskrcnn").

        Raises:
            ConfigError: naming each wrong key, its value, and the nearest valid key.
        """
        if isinstance(values, cls):
            return values
        if not isinstance(values, Mapping | None):
            raise ConfigError(f"{where or cls.__name__}: must be a mapping of options, not {values!r}")
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            raise ConfigError(_explain(cls, error, where)) from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a YAML file and validate it. Raises ConfigError when absent, not YAML or invalid."""
        return cls.parse(read_yaml(path), where=str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, nothing checked. Raises ConfigError when absent, not YAML or no mapping."""
    import yaml

    file = Path(path)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {file}: {error.strerror}; check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from None
    if not isinstance(values, dict | None):
        kind = type(values).__name__
        raise ConfigError(f"{file} must hold a mapping of options at the top, not a {kind}")
    return values or {}


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The nested model that holds the key at the end of `location`."""
    current: type[BaseModel] = model
    for key in location[:-1]:
        fields = current.model_fields.get(str(key))
        annotation = fields.annotation if fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        current = annotation
    return current


def _explain(model: type[BaseModel], error: ValidationError, where: str) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(top)"
        if item["type"] == "extra_forbidden":
            holder = _model_at(model, item["loc"])
            valid = sorted(holder.model_fields) if holder else []
            near = difflib.get_close_matches(str(item["loc"][-1]), valid, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; valid keys: {', '.join(valid) or 'none'}"
            lines.append(f"unknown key '{key}'{hint}")
        else:
            lines.append(f"'{key}': {item['msg']} (got {item['input']!r})")
    prefix = f"{where}: " if where else ""
    return prefix + "; ".join(lines)


def home() -> Path:
    """The cache folder (it may not exist yet); nothing is created by asking."""
    chosen = os.environ.get("DLD_HOME")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("dld", appauthor=False)
