"""Peak memory of a stretch of work."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_SLACK = 1 << 24  # bytes, by which the kernel's counts may differ


def reset_peak() -> bool:
    """Forget the process's peak so far; False where the system cannot (then the peak is since its start).

    Some systems take the request and do nothing, so the peak is compared with what is resident now.
    """
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    peak, now = _status("VmHWM"), _status("VmRSS")
    return peak is not None and now is not None and peak <= now + _SLACK


def peak_bytes() -> int:
    """Peak resident memory of this process since the last reset, weights and interpreter included."""
    peak = _status("VmHWM")
    return _peak_since_start() if peak is None else peak


def _status(name: str) -> int | None:
    """Bytes that the kernel tells of this process under ``name``; None where it tells nothing."""
    try:
        found = re.search(rf"{name}:\s+([0-9]+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def _peak_since_start() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_device_peak(device: str) -> None:
    """The same for a GPU's own memory; nothing on other devices."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def device_peak_bytes(device: str) -> int | None:
    """Peak memory that torch allocated on a GPU since the last reset, or None elsewhere."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)
