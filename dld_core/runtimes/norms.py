"""Batch norms with one set of weights and statistics per scale (switchable norms, arXiv 2007.09558).

What a norm measures depends on the resolution that it sees; students that share one set across scales let
every scale disturb the others' statistics.

    switch_norms(spotter, scales)        # once; also done by loading weights that have such sets
    with use_scale(0.5):
        spotter.predict(images)

The scale travels in a context variable, not in the modules, so that threads may read at different scales with
one spotter. The set of the largest scale keeps the norm's own names (`x.weight`), those of the others stand
beside it (`x.sets.0_5.weight`), and `x.largest` says which scale the largest is, where it is not 1. So
weights without sets load into switched norms, every set starting from the shared one, and a spotter without
switched norms can load the largest scale's weights.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dld_core.errors import ConfigError

_SCALE: ContextVar[float | None] = ContextVar("dld_scale", default=None)
_KEY = re.compile(r"(?:^|\.)sets\.(\d+(?:_\d+)?)\.")


@contextmanager
def use_scale(scale: float | None) -> Iterator[None]:
    """Inside, switched norms use the set nearest to this scale; None: that of the largest scale."""
    token = _SCALE.set(scale)
    try:
        yield
    finally:
        _SCALE.reset(token)


class Switchable:
    """What a switched norm does beside being the norm that it was; see `switch_norms`."""

    sets: nn.ModuleDict
    _buffers: dict[str, Tensor | None]
    largest: Tensor
    own_scale: float

    def forward(self, x: Tensor) -> Tensor:
        """The norm of the scale in use."""
        chosen = self._chosen()
        return super().forward(x) if chosen is None else chosen(x)  # type: ignore[misc,no-any-return]

    def _chosen(self) -> nn.Module | None:
        """The set in use; None for the norm's own."""
        scale = _SCALE.get()
        if scale is None:
            return None
        options = {self.own_scale: None, **{_scale_of(key): key for key in self.sets}}
        key = options[min(options, key=lambda s: (abs(s - scale), -s))]
        return None if key is None else self.sets[key]

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Sets that the state does not have start from the norm's own values in it."""
        own = {name: state[prefix + name] for name in _names(self) if prefix + name in state}
        for key in self.sets:
            for name, value in own.items():
                state.setdefault(f"{prefix}sets.{key}.{name}", value)
        if "largest" in self._buffers:
            state.setdefault(f"{prefix}largest", self.largest)
        super()._load_from_state_dict(state, prefix, *rest)  # type: ignore[misc]


def switch_norms(module: nn.Module, scales: Sequence[float]) -> nn.Module:
    """Give every batch norm a set for each scale, all starting from what it holds; in place.

    Any subclass of torch's batch norms is taken (timm's come with an activation). Norms that are switched
    already stay. Returns the module.
    """
    largest, *others = sorted(set(scales), reverse=True)
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and not isinstance(m, Switchable)]
    for norm in norms:
        sets = nn.ModuleDict({_key_of(scale): copy.deepcopy(norm) for scale in others})
        norm.__class__ = _switchable(type(norm))  # type: ignore[assignment,arg-type]
        norm.sets = sets
        norm.own_scale = largest  # type: ignore[assignment]
        if largest != 1:
            norm.register_buffer("largest", torch.tensor(float(largest)))
    if not norms and not any(isinstance(m, Switchable) for m in module.modules()):
        raise ConfigError(
            f"{type(module).__name__} has no batch norms, so there is nothing to keep per scale; leave out "
            "'norms: per_scale'"
        )
    return module


def match_norms(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Switch the norms of a module that is to load a state with sets; do nothing for any other state."""
    keys = {found.group(1) for name in state for found in [_KEY.search(name)] if found}
    if keys:
        said = next((value for name, value in state.items() if name.endswith(".largest")), None)
        largest = 1.0 if said is None else round(float(said), 3)
        switch_norms(module, [largest, *map(_scale_of, keys)])


def _names(norm: Any) -> list[str]:
    """The parameters and buffers of the norm itself."""
    hidden = {"largest", *norm._non_persistent_buffers_set}
    return [*norm._parameters, *(name for name in norm._buffers if name not in hidden)]


@cache
def _switchable(kind: type[nn.Module]) -> type[nn.Module]:
    return type(f"Switchable{kind.__name__}", (Switchable, kind), {})


def _key_of(scale: float) -> str:
    return f"{scale:g}".replace(".", "_")


def _scale_of(key: str) -> float:
    return float(key.replace("_", "."))
