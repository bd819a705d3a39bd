"""Counting what a real run costs, with the formulas of `torch.utils.flop_counter` and our own.

`FlopCounterMode` takes operators that it does not know for free. Here they are free only where they cannot
multiply matrices; the others are reported by name.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from dld_core.errors import DLDError
from dld_core.evaluation.cost.formulas import FORMULAS

T = TypeVar("T")

# Fragments of the names of torch's operators that compute products, decompositions or interpolations: "mm" as
# in addmm (not as in gamma, cummax or hamming), "conv" (not convert), and so on.
_HEAVY = re.compile(
    r"mm(?![ai])|mv(?!l)|dot|addr|matmul|linear|conv(?!ert)|attention|transformer|lstm|gru|rnn|[cp]dist|_dist|fft|"
    r"linalg|(?<!re)solve|cholesky|geqrf|ormqr|matrix_exp|grid_sampler|cubic|lanczos"
)
# Operators with such names that compute nothing of the kind.
_LIGHT = re.compile(
    r"thnn_fused|flatten_weight|reorder|vector_norm|linalg_cross|_check_errors|fftfreq|affine_grid"
)


class UncountedOperatorError(DLDError):
    """Operators ran whose cost is not known; the message names them."""


@dataclass(slots=True)
class Cost:
    """What a run cost.

    Attributes:
        by_operator: FLOPs by operator name, a multiply-add counted as two.
        elements: elements that passed operators without FLOPs (activations, normalisation, pooling, copies).
        uncounted: operators of unknown cost and how often they ran.
    """

    by_operator: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    elements: int = 0
    uncounted: Counter[str] = field(default_factory=Counter)

    @property
    def flops(self) -> float:
        """All FLOPs; a multiply-add is two."""
        return float(sum(self.by_operator.values()))

    def check(self) -> Cost:
        """Itself, or UncountedOperatorError where something ran at an unknown cost."""
        if self.uncounted:
            names = ", ".join(f"{name} (x{times})" for name, times in sorted(self.uncounted.items()))
            raise UncountedOperatorError(
                f"the cost of these operators is unknown: {names}; register a formula with "
                "torch.utils.flop_counter.register_flop_formula"
            )
        return self


class _CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which the operators of this thread are counted into `cost`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cost = Cost()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator and count it; operators made of others are counted by their parts."""
        del types
        options = kwargs or {}
        namespace, _, name = func.name().partition(".")[0].removesuffix("_").partition("::")
        formula = FORMULAS.get(f"{namespace}::{name}") or flop_registry.get(
            # In-place operators are known by their plain form.
            getattr(torch.ops.aten, name, None) if namespace == "aten" else func.overloadpacket
        )
        if formula is None and namespace != "prim":
            with self:
                parts = func.decompose(*args, **options)
                if parts is not NotImplemented:
                    return parts
        out = func(*args, **options)
        cost = self.cost
        if formula is not None:
            cost.by_operator[f"{namespace}::{name}"] += formula(*args, **options, out_val=out)
        elif not func.is_view and _unknown(namespace, name):
            cost.uncounted[f"{namespace}::{name}"] += 1
        elif not func.is_view:
            sizes = [value.numel() for value in tree_iter((args, out)) if isinstance(value, Tensor)]
            cost.elements += max(sizes, default=0)
        return out


def _unknown(namespace: str, name: str) -> bool:
    """Whether an operator without a formula may multiply: by its name, or because it is not torch's own."""
    return namespace not in ("aten", "prim") or bool(_HEAVY.search(name) and not _LIGHT.search(name))


def count(run: Callable[[], T]) -> tuple[T, Cost]:
    """Run something once under a counter: its result and what it cost.

    Only what torch computes in the calling thread is seen. Work in numpy or OpenCV (decoding, contours) costs
    no FLOPs here, as everywhere in the field; latency includes it.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # so that attention layers run operators that are known
    try:
        with _CostCounter() as counter:
            result = run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return result, counter.cost


def flops_of(run: Callable[[], object]) -> float:
    """FLOPs of one run, a multiply-add as two.

    Raises:
        UncountedOperatorError: an operator ran whose cost is not known.
    """
    return count(run)[1].check().flops
