"""What reading costs: FLOPs of real runs, latency, memory."""

from dld_core.evaluation.cost.counter import Cost, UncountedOperatorError, count, flops_of
from dld_core.evaluation.cost.sized import SizedCost

__all__ = ["Cost", "SizedCost", "UncountedOperatorError", "count", "flops_of"]
