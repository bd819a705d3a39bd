"""The base of every part's options, YAML within limits, and files that are written whole or not at all.

Options are frozen, and an unknown key is an error with a suggestion.
"""

from __future__ import annotations

import difflib
import os
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from dld_core.errors import ConfigError, chain

LARGEST_YAML, MOST_NODES, DEEPEST = 1 << 22, 100_000, 64
"""Limits of a YAML file: bytes, values once its aliases are expanded, levels of nesting."""
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 80, 80, 40
_MOST_TROUBLES = 8  # that one message names


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
            raise ConfigError(f"{where or cls.__name__}: must be a mapping of options, not {shown(values)}")
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            raise ConfigError(_explain(cls, error, where)) from None
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            # A validator that met a value of another kind than it expects.
            raise ConfigError(f"{where or cls.__name__}: a value is of the wrong kind ({error})") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a YAML file and validate it. Raises ConfigError when absent, not YAML or invalid."""
        return cls.parse(read_yaml(path), where=str(path))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, nothing checked.

    Raises:
        ConfigError: it is absent, no YAML, no mapping, or beyond the limits.
    """
    file = Path(path)
    try:
        with file.open("rb") as content:
            text = content.read(LARGEST_YAML + 1) if file.is_file() else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read the config {shown(str(path))}: {reason}; check the path") from None
    if text is None or len(text) > LARGEST_YAML:
        raise ConfigError(f"{file} is no config; give a YAML file of at most {LARGEST_YAML >> 20} MiB")
    values = parse_yaml(text.decode("utf-8", "replace"), str(file))
    if not isinstance(values, dict | None):
        kind = type(values).__name__
        raise ConfigError(f"{file} must hold a mapping of options at the top, not a {kind}")
    return values or {}


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text within the limits. Raises ConfigError, which begins with `where`."""
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # PyYAML's constructors raise anything for dates and numbers that do not exist
        reason = str(error) if len(str(error)) < 500 else f"{str(error)[:500]} ..."
        raise ConfigError(f"{where} is not valid YAML: {reason}") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also counts what aliases stand for and how deep values are nested."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._open: list[int] = []
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node, if it is within the limits."""
        self._open.append(1)
        if len(self._open) > DEEPEST:
            raise yaml.YAMLError(f"values are nested in more than {DEEPEST} levels")
        node = super().compose_node(parent, index)
        size = self._sizes.setdefault(id(node), self._open.pop())  # an alias counts as what it stands for
        if size > MOST_NODES:
            raise yaml.YAMLError(f"with its aliases it holds more than {MOST_NODES} values")
        if self._open:
            self._open[-1] += size
        return node


def _bounded_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = loader.construct_yaml_int(node)
    if abs(value) >= 1 << 63:
        raise yaml.YAMLError("an integer has more than 64 bits")
    return value


_Loader.add_constructor("tag:yaml.org,2002:int", _bounded_int)


def shown(value: object) -> str:
    """A value for a message, shortened; whatever it is, this takes no time and does not fail."""
    try:
        text = _SHORT.repr(value)
    except Exception:  # an integer of 5,000 digits has no text, for one
        return f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]} ..."


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to. At the end it takes the place of `path`; if writing fails, it goes.

    Folders are made, and the mode is what the process gives to every new file.

    Raises:
        OSError: it cannot be written; with `errno`, `strerror` and the file name of `path`, whichever library
            has met it.
    """
    partial = path.with_name(f".{uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)  # safetensors makes its files unreadable to others
        partial.replace(path)
    except Exception as error:
        number = _system_error(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_file(path: Path, content: bytes | str) -> Path:
    """Write a file (text as UTF-8) whole or not at all; returns its path. Raises OSError as `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _system_error(error: Exception) -> int | None:
    """The number of the system's error behind one of a library's."""
    for link in chain(error):
        if isinstance(link, OSError) and link.errno is not None:
            return link.errno
        found = re.search(r"\(os error (\d+)\)", str(link))  # as Rust writes it
        if found:
            return int(found.group(1))
    return None


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
    errors = error.errors(include_url=False)
    for item in errors[:_MOST_TROUBLES]:
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            holder = _model_at(model, item["loc"])
            valid = sorted(holder.model_fields) if holder else []
            near = difflib.get_close_matches(str(item["loc"][-1]), valid, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; valid keys: {', '.join(valid) or 'none'}"
            lines.append(f"unknown key '{key[:200]}'{hint}")
        else:
            reason = item["msg"].removeprefix("Value error, ")
            got = "" if item["type"] == "missing" else f" (got {shown(item['input'])})"
            lines.append(f"'{key[:200]}': {reason}{got}" if key else reason)
    if len(errors) > len(lines):
        lines.append(f"and {len(errors) - len(lines)} more")
    prefix = f"{where}: " if where else ""
    return prefix + "; ".join(lines)


def home() -> Path:
    """The cache folder (it may not exist yet); nothing is created by asking."""
    chosen = os.environ.get("DLD_HOME")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("dld", appauthor=False)
