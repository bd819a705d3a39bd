"""Peak memory of each system at each scale, in a process of its own, so that none carries another's."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from dld_core.config import write_file
from dld_core.evaluation.cost.memory import peak_bytes
from dld_core.images import open_image
from dld_core.runtimes.devices import cpu_threads
from dld_core.study.readings import System

if TYPE_CHECKING:
    from dld_core.study.config import StudyConfig, SystemConfig

Peaks = dict[str, float]
"""MB (1e6 bytes) by `key`: the largest resident memory of the process until then, scales rising."""
LARGEST = 5
"""Images that are read: those whose files are largest."""


def key(base: str, scale: float) -> str:
    """Names a fixed scale in Peaks."""
    return f"{base} {scale:g}"


def memory_of(
    config: StudyConfig, files: Mapping[str, Path], record: Path, settings: str
) -> dict[str, Peaks]:
    """Peaks by system, from the record where it was written under the same settings, else measured."""
    paths = sorted(files.values(), key=lambda path: path.stat().st_size)[-LARGEST:]
    about = {"settings": settings, "images": [path.name for path in paths]}
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if {name: known.get(name) for name in about} == about:
        return dict(known["peaks"])
    peaks = {
        name: _apart(system, config.device, system.threads or config.threads, paths)
        for name, system in config.systems.items()
    }
    write_file(record, json.dumps({**about, "peaks": peaks}) + "\n")
    return peaks


def _apart(config: SystemConfig, device: str, threads: int | None, paths: Sequence[Path]) -> Peaks:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_read_and_watch, config, device, threads, paths).result()


def _read_and_watch(config: SystemConfig, device: str, threads: int | None, paths: Sequence[Path]) -> Peaks:
    found = {}
    with cpu_threads(threads):
        system = System("", config, device)
        for path in paths[:1]:
            system.choose(open_image(path, exif=False))
        for reader in sorted(system.readers, key=lambda reader: reader.scale):
            for path in paths:
                reader.read(open_image(path, exif=False))
            found[key(reader.base, reader.scale)] = peak_bytes() / 1e6
    return found
