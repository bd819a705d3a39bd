"""Counting what a real run costs: every operator is charged, declared free, or reported as uncounted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from dld_core.errors import DLDError
from dld_core.evaluation.cost.declared import is_free, is_light
from dld_core.evaluation.cost.formulas import FORMULAS

T = TypeVar("T")


class UncountedOperatorError(DLDError):
    """Operators ran whose cost is neither known nor declared zero; the message names them."""


@dataclass(slots=True)
class Cost:
    """What a run cost.

    Attributes:
        by_operator: FLOPs by operator name, a multiply-add counted as two.
        elements: elements touched by operators that are declared to cost no FLOPs but compute something
            (activations, normalisation, pooling, sorting).
        calls: how often each operator ran.
        uncounted: operators of unknown cost and how often they ran.
    """

    by_operator: Counter[str] = field(default_factory=Counter)
    elements: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)

    @property
    def flops(self) -> float:
        """All FLOPs; a multiply-add is two."""
        return float(sum(self.by_operator.values()))

    @property
    def multiply_adds(self) -> float:
        """Half the FLOPs: the unit of most papers (which often write "FLOPs" for it)."""
        return self.flops / 2

    def check(self) -> Cost:
        """Itself, or UncountedOperatorError where something ran at an unknown cost."""
        if self.uncounted:
            names = ", ".join(f"{name} (x{times})" for name, times in sorted(self.uncounted.items()))
            raise UncountedOperatorError(
                f"the cost of these operators is unknown: {names}; register a formula with "
                "dld_core.evaluation.cost.formula, or declare them in dld_core/evaluation/cost/declared.py"
            )
        return self


class CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which the operators of this thread are counted into `cost`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cost = Cost()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator and charge for it; composite operators are charged for their parts."""
        del types
        options = kwargs or {}
        name = func.name().split(".", 1)[0].removesuffix("_")
        known = name in FORMULAS or _packet(func, name) in flop_registry
        if not known and func is not torch.ops.prim.device.default and not is_free(func):
            with self:
                parts = func.decompose(*args, **options)
                if parts is not NotImplemented:
                    return parts
        out = func(*args, **options)
        self._charge(func, name, args, options, out)
        return out

    def _charge(self, func: Any, name: str, args: tuple[Any, ...], options: dict[str, Any], out: Any) -> None:
        cost = self.cost
        cost.calls[name] += 1
        if name in FORMULAS:
            cost.by_operator[name] += FORMULAS[name](*args, out_val=out, **options)  # type: ignore[assignment]
        elif _packet(func, name) in flop_registry:
            cost.by_operator[name] += flop_registry[_packet(func, name)](*args, **options, out_val=out)
        elif is_free(func) or func is torch.ops.prim.device.default:
            return
        elif is_light(func):
            sizes = [value.numel() for value in tree_iter((args, out)) if isinstance(value, Tensor)]
            cost.elements += max(sizes, default=0)
        else:
            cost.uncounted[name] += 1


def _packet(func: Any, name: str) -> Any:
    """The operator that torch's registry knows: in-place ones go by the name of their plain form."""
    namespace, _, bare = name.partition("::")
    return getattr(torch.ops.aten, bare, None) if namespace == "aten" else func.overloadpacket


def count(run: Callable[[], T]) -> tuple[T, Cost]:
    """Run something once under a counter: its result and what it cost.

    Only what torch computes in the calling thread is seen. Work in numpy or OpenCV (decoding, contours) costs
    no FLOPs here, as everywhere in the field; latency includes it.
    """
    with CostCounter() as counter:
        result = run()
    return result, counter.cost
