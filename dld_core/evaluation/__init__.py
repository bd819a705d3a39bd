"""Measuring: scores by the Robust Reading rules, lexicons, cost, and curves over scales.

In: words by image name (`ImageWords`; `read_ground_truth` and `read_predictions` read them from files). Out:
an `EvaluationResult` of `score` (or `evaluate`, without a lexicon), and what reading cost (`cost`).
"""

from dld_core.evaluation.files import align, read_ground_truth, read_predictions
from dld_core.evaluation.lexicon import LexiconRule, Lexicons
from dld_core.evaluation.protocol import Protocol
from dld_core.evaluation.rrc import evaluate, score
from dld_core.evaluation.scores import EvaluationResult, Rates, Tally
from dld_core.evaluation.words import ImageWords

__all__ = [
    "EvaluationResult",
    "ImageWords",
    "LexiconRule",
    "Lexicons",
    "Protocol",
    "Rates",
    "Tally",
    "align",
    "evaluate",
    "read_ground_truth",
    "read_predictions",
    "score",
]
