"""Options and files: YAML within limits, messages that are short whatever was given, files that are whole."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from dld_core.config import parse_yaml, read_yaml, replacing, shown, write_file
from dld_core.errors import ConfigError
from dld_core.training import TrainConfig

_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12)
)
_BASE = "backend: x\ndata: [{kind: synth}]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: !!timestamp x", "is not valid YAML"),
        ("a: 2024-13-45", "is not valid YAML: month must be"),
        ("a: " + "9" * 5000, "is not valid YAML"),
        ("a: " + "[" * 3000 + "]" * 3000, "more than 64 levels"),
        (_BOMB, "more than 100000 values"),
        (f"lr: &l [{'1, ' * 99}1]\nbatch_size: {{a: *l, b: [*l, *l]}}", "'batch_size': Input should be"),
        ("a: &a {x: 1}\nb: {<<: [*a, *b]}", "is not valid YAML"),
        ("\x00", "is not valid YAML"),
        ("- 1", "must hold a mapping"),
        (f"{_BASE}sizes: null", "sizes"),
        (f"{_BASE}sizes: [null]", "sizes"),
        (f"{_BASE}lr: &l [*l]", "'lr': Input should be a valid number"),
        (f"{_BASE}lr: 2024-01-01", "'lr': Input should be a valid number"),
        (f"{_BASE}steps: 0x{'f' * 5000}", "more than 64 bits"),
        (f"{_BASE}optimizer: {{betas: 7}}", "optimizer.betas"),
        (f"{_BASE}validation: 7", "validation: must be a mapping"),
        ("\n".join(f"key{i}: 1" for i in range(50)), "and 44 more"),
    ],
    ids=lambda value: value[:20],
)
def test_any_yaml_is_a_config_or_a_short_error_at_once(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    start = time.perf_counter()
    with pytest.raises(ConfigError, match=says) as error:
        TrainConfig.load(path)
    assert len(str(error.value)) < 3000
    assert time.perf_counter() - start < 10


def test_only_regular_files_of_sane_size_are_configs(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(ConfigError):
            read_yaml(path)
    large = tmp_path / "large.yaml"
    large.write_bytes(b" " * (5 << 20))
    with pytest.raises(ConfigError, match="at most 4 MiB"):
        read_yaml(large)
    assert parse_yaml("[1, {a: &x 2, b: *x}]", "here") == [1, {"a": 2, "b": 2}]


def test_values_in_messages_are_short() -> None:
    nested: list[object] = []
    for _ in range(40):
        nested = [nested, nested]
    for value in (nested, 10**5000, "x" * 10**6, {i: i for i in range(9999)}):
        assert len(shown(value)) < 300


def test_files_are_whole_or_absent_and_everybodys_mode(tmp_path: Path) -> None:
    path = write_file(tmp_path / "new" / "a.txt", "one")
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    with pytest.raises(TypeError), replacing(path) as partial:
        partial.write_text(7)  # type: ignore[arg-type]
    assert path.read_text() == "one"
    for cause in (OSError(errno.ENOSPC, "full"), RuntimeError("I/O error: full (os error 28)")):
        with pytest.raises(OSError, match="No space left") as error, replacing(path):
            raise cause
        assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(path))
    assert os.listdir(path.parent) == ["a.txt"]
    with pytest.raises(OSError, match="Not a directory"):
        write_file(path / "below", b"")
