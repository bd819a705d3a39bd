"""Peak memory of a stretch of work."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak() -> bool:
    """Forget the process's peak so far; False where the system cannot (then the peak is since its start)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Peak resident memory of this process since the last reset, weights and interpreter included."""
    try:
        found = re.search(r"VmHWM:\s+([0-9]+) kB", _STATUS.read_text())
    except OSError:
        found = None
    return int(found.group(1)) * 1024 if found else _peak_since_start()


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
