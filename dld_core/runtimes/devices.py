"""Devices by name (one that is not there is an error that lists those that are), and CPU threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch

from dld_core.errors import DeviceError


def available_devices() -> list[str]:
    """Every device that torch can use here, as strings; "cpu" comes first."""
    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def resolve_device(asked: object = "auto") -> str:
    """The device meant by "auto", "cpu", "cuda", "cuda:1", "mps" or a torch.device.

    "auto" is the first GPU of CUDA, else the CPU. ("mps" has to be named: operators that torch lacks
    there would end a run that the CPU carries out.)

    Raises:
        DeviceError: it is not here, or is no device at all.
    """
    name = str(asked).strip().lower()
    available = available_devices()
    if name == "auto":
        return "cuda:0" if "cuda:0" in available else "cpu"
    name = {"cuda": "cuda:0", "cpu:0": "cpu", "mps:0": "mps"}.get(name, name)
    if name not in available:
        cause = " (torch was built without CUDA or finds no driver)" if name.startswith("cuda") else ""
        raise DeviceError(
            f"there is no device {asked!r} here{cause}; use auto or one of: {', '.join(available)}"
        )
    return name


@contextmanager
def cpu_threads(count: int | None) -> Iterator[int]:
    """Let torch and OpenCV use so many threads inside (None: as many as now); gives the number in force."""
    before, cv2_before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        if count is not None:
            torch.set_num_threads(count)
            cv2.setNumThreads(count)
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(cv2_before)
