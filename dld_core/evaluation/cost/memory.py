"""Peak memory of a stretch of work."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path


def reset_peak(device: str = "cpu") -> None:
    """Forget the peaks of the process, where the system can, and of a GPU."""
    if device.startswith("cuda"):
        import torch  # heavy

        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Peak resident memory of this process, weights and interpreter included, since the last reset.

    Where the system cannot reset it: since the process started. 0 on Windows.
    """
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found.group(1)) * 1024
    try:
        import resource  # absent on Windows
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes(device: str) -> int | None:
    """Peak memory that torch allocated on a GPU since the last reset; None on other devices."""
    if not device.startswith("cuda"):
        return None
    import torch  # heavy

    return torch.cuda.max_memory_allocated(device)
