"""What "the same" and "unchanged" mean in the contracts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dld_core.types import Word

PIXELS = 0.5  # other batch sizes may sum in another order, which can move a contour by less than this
SCORE = 1e-3


def difference(one: Sequence[Word], other: Sequence[Word]) -> str | None:
    """The first difference between two readings of one image, told in words; None when they agree."""
    if [w.text for w in one] != [w.text for w in other]:
        return f"the texts are {[w.text for w in one]} and {[w.text for w in other]}"
    for a, b in zip(one, other, strict=True):
        if abs(a.score - b.score) > SCORE:
            return f"'{a.text}' has the scores {a.score:.5f} and {b.score:.5f}"
        if a.array.shape != b.array.shape or np.abs(a.array - b.array).max(initial=0) > PIXELS:
            return f"'{a.text}' has the polygons {a.polygon} and {b.polygon}"
    return None


def snapshot(part: object) -> dict[str, Any]:
    """Everything in a part that can be compared: tensors, arrays, plain values, and training flags."""
    taken: dict[str, Any] = {}
    if isinstance(part, nn.Module):
        taken.update({f"state {k}": v.detach().clone() for k, v in part.state_dict().items()})
        taken.update({f"buffer {k}": v.detach().clone() for k, v in part.named_buffers()})
        taken.update({f"training flag of {k or 'itself'}": m.training for k, m in part.named_modules()})
        taken.update({f"requires_grad of {k}": p.requires_grad for k, p in part.named_parameters()})
    for name, value in vars(part).items():
        if not name.startswith("_parameters") and _is_plain(value):
            taken[f"attribute {name}"] = _copy(value)
    return taken


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what two snapshots disagree on."""
    names = sorted(before.keys() | after.keys())
    return [n for n in names if n not in before or n not in after or not equal(before[n], after[n])]


def process_state() -> dict[str, Any]:
    """The global state that a part has no business changing."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "Python's random state": random.getstate(),
        "numpy's random state": (kind, keys.tolist(), position, has_gauss, gauss),  # type: ignore[union-attr]
        "torch's random state": torch.get_rng_state().clone(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's thread count": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Fixed random generators inside, the previous state outside."""
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    return value is None or isinstance(value, bool | int | float | str | bytes | Tensor | np.ndarray)


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return type(value)(_copy(v) for v in value) if isinstance(value, list | set) else value


def equal(a: Any, b: Any) -> bool:
    """Whether two values, or nests of lists and dicts of tensors and plain values, are identical."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)
