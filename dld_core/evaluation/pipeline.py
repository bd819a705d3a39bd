"""From words to a result: lexicon, then scores, with everything that was in force on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dld_core.evaluation.lexicon import LexiconRule, Lexicons, snap
from dld_core.evaluation.protocol import Protocol
from dld_core.evaluation.rrc import evaluate
from dld_core.evaluation.scores import EvaluationResult
from dld_core.evaluation.words import ImageWords


def score(
    ground_truth: Mapping[str, ImageWords],
    predictions: Mapping[str, ImageWords],
    protocol: Protocol | None = None,
    lexicons: Lexicons | None = None,
    rule: LexiconRule | None = None,
    extras: Mapping[str, Any] | None = None,
) -> EvaluationResult:
    """`evaluate` after snapping to a lexicon; `extras` and the lexicon's rule go into the json."""
    record = dict(extras or {})
    if lexicons is not None:
        predictions = snap(predictions, lexicons, rule or LexiconRule())
        record["lexicon"] = lexicons.describe(rule or LexiconRule())
    result = evaluate(ground_truth, predictions, protocol)
    return replace(result, extras={**result.extras, **record})
