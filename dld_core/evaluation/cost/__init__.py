"""What reading costs: FLOPs of real runs, latency, memory."""

from dld_core.evaluation.cost.counter import Cost, CostCounter, UncountedOperatorError, count
from dld_core.evaluation.cost.formulas import FORMULAS, formula

__all__ = ["FORMULAS", "Cost", "CostCounter", "UncountedOperatorError", "count", "formula"]
