"""The two ONNX files of an exported spotter: their names, what they say about themselves, opening them.

NAME.onnx finds text, NAME.reader.onnx reads it; who is asked for weights gives the first. Free of torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from dld_backends.segmentation.config import SegmentationConfig
from dld_core.errors import ConfigError, MissingExtraError, WeightsError

BACKEND = "segmentation"
FORMAT = "1"
DETECTOR, READER = "detector", "reader"
_PREFIX = "dld_"  # of the keys in the files' metadata
_SAFE_THREADING = {"session.force_spinning_stop": "1"}  # two pools of threads take turns


class OnnxPair(NamedTuple):
    """Both halves, ready to run, and the options that they were exported with."""

    detector: Any
    reader: Any
    config: SegmentationConfig


def reader_file(file: Path) -> Path:
    """Where the other half of NAME.onnx lies."""
    return file.with_suffix(".reader.onnx")


def described(config: SegmentationConfig, part: str, precision: str, digest: str) -> dict[str, str]:
    """What a file says about itself.

    Args:
        part: DETECTOR or READER.
        precision: "float32" or "int8".
        digest: of the weights; that of both halves is the same.
    """
    values = {
        "format": FORMAT,
        "backend": BACKEND,
        "part": part,
        "precision": precision,
        "weights": digest,
        "config": config.model_dump_json(),
    }
    return {_PREFIX + key: value for key, value in values.items()}


def open_pair(file: Path, device: str, threads: int) -> OnnxPair:
    """Open NAME.onnx and its other half in onnxruntime.

    Args:
        device: "cuda..." is used where this onnxruntime can, otherwise the CPU.
        threads: of each session, on the CPU.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        WeightsError: a file is missing, damaged, not one of ours, or of another export than its other half.
    """
    runtime = onnxruntime()
    detector, said = _open(runtime, file, DETECTOR, device, threads)
    reader, other = _open(runtime, reader_file(file), READER, device, threads)
    if said != other:
        raise WeightsError(
            f"{file.name} and {reader_file(file).name} come from different exports; "
            "keep the two files that one run of `dld export` wrote together"
        )
    try:
        config = SegmentationConfig.parse(json.loads(said["config"]))
    except (ValueError, ConfigError) as error:
        raise WeightsError(f"the options inside {file} are damaged ({error}); export it again") from None
    return OnnxPair(detector, reader, config)


def onnxruntime() -> ModuleType:
    """The runtime. Raises MissingExtraError where it is absent."""
    try:
        import onnxruntime as runtime
    except ImportError:
        raise MissingExtraError('.onnx files need onnxruntime; run: pip install "dld[onnx]"') from None
    found: ModuleType = runtime
    return found


def _open(
    runtime: ModuleType, file: Path, part: str, device: str, threads: int
) -> tuple[Any, dict[str, str]]:
    """A session, and what its file says that must be equal in both halves."""
    if not file.is_file():
        hint = "check the path" if part == DETECTOR else "both files that `dld export` wrote are needed"
        raise WeightsError(f"there is no {file}; {hint}")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    for key, value in _SAFE_THREADING.items():
        options.add_session_config_entry(key, value)
    try:
        session = runtime.InferenceSession(str(file), options, providers=providers(runtime, device))
        said: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # onnxruntime has a type of its own for every way in which a file is bad
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{file} is not a readable ONNX file ({reason}); export it again") from None
    return session, _checked(file, said, part)


def providers(runtime: ModuleType, device: str) -> list[str]:
    """What computes, in order of preference."""
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    return [name for name in wanted if name in runtime.get_available_providers()] + ["CPUExecutionProvider"]


def _checked(file: Path, said: Mapping[str, str], part: str) -> dict[str, str]:
    own = {key.removeprefix(_PREFIX): value for key, value in said.items() if key.startswith(_PREFIX)}
    if (
        own.get("backend") != BACKEND
        or not {"format", "part", "precision", "weights", "config"} <= own.keys()
    ):
        raise WeightsError(
            f"{file} was not written by `dld export --backend {BACKEND}`; export the spotter again"
        )
    if own.pop("format") != FORMAT:
        raise WeightsError(
            f"{file} has another format than this version of dld reads; update dld or export again"
        )
    if own.pop("part") != part:
        other = "NAME.onnx" if part == DETECTOR else "NAME.reader.onnx"
        raise WeightsError(f"{file} is the wrong half of an export; give {other}")
    return own
