"""Imports libraries one by one in a process of its own and says how each went, one JSON object a line.

`dld doctor` runs this file: an import that crashes the interpreter takes only the probe with it. It stands
alone (standard library at the top, nothing of ours), since what it examines may be broken.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def _torch(torch: Any) -> dict[str, Any]:
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {"devices": devices, "threads": torch.get_num_threads(), "cuda": torch.version.cuda}


def _torchvision(torchvision: Any) -> dict[str, Any]:
    import torch

    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0])
    return {"nms": torchvision.ops.nms(boxes, scores, 0.5).tolist() == [0]}


_EXAMINE = {"torch": _torch, "torchvision": _torchvision}


def probe(name: str) -> dict[str, Any]:
    """Import a module and exercise it: its version and findings, or the error and what caused it."""
    try:
        module = importlib.import_module(name)
        version = str(getattr(module, "__version__", ""))
        return {"name": name, "version": version, **_EXAMINE.get(name, lambda _: {})(module)}
    except BaseException as error:  # whatever an import does, the next one has its turn
        return {"name": name, "error": f"{type(error).__name__}: {error}"}


def main(names: list[str]) -> None:
    """Announce each module before its import, so that a crash can be told from its name."""
    for name in names:
        print(json.dumps({"begin": name}), flush=True)
        print(json.dumps(probe(name)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
