"""Full precision for what is short and recurrent, whatever autocast is on around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast on this device (nothing to switch off on the meta device)."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
