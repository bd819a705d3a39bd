"""What reading costs: FLOPs of real runs, latency, memory."""

from dld_core.evaluation.cost.counter import Cost, CostCounter, UncountedOperatorError, count
from dld_core.evaluation.cost.formulas import FORMULAS, formula
from dld_core.evaluation.cost.sized import SizedCost

__all__ = ["FORMULAS", "Cost", "CostCounter", "SizedCost", "UncountedOperatorError", "count", "formula"]
