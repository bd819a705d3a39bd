"""The terms of sequential knowledge distillation, each a scalar that reaches the student alone.

Dynamic Low-Resolution Distillation, ECCV 2022 (arXiv 2207.06694), section 3.3. Where the authors' code does
otherwise, the functions say so.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_core.interfaces import SequenceDecoder
from dld_core.types import Hypotheses

Weighting = Literal["uniform", "teacher"]
Per = Literal["character", "word"]


def feature_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean squared difference over all elements; 0 (with a graph) where there are no words.

    A mean, so that neither the number of words nor the size of the features changes what a weight means.
    The authors' code divides both by a temperature and multiplies the result by its square, which cancels
    exactly; there is none here.
    """
    if student.numel() == 0:
        return student.sum() * 0
    return F.mse_loss(student.float(), teacher.detach().float())


def sequence_loss(
    decoder: SequenceDecoder,
    context: Tensor,
    hypotheses: Hypotheses,
    weighting: Weighting = "uniform",
    per: Per = "character",
) -> Tensor:
    """Minus the student's log-likelihood of the teacher's hypotheses.

    The student is teacher-forced on each hypothesis itself, and the log-probabilities of its steps are
    summed, so that the gradient is largest on the words that it reads worst. (The authors' code multiplies
    probabilities that were forced on the label and takes -log(x + 1e-5), whose gradient vanishes there.)

    Args:
        decoder: the student's.
        context: the student's states [N, T, D].
        hypotheses: the teacher's, [N, k, L]; those whose log-probability is -inf do not exist.
        weighting: "uniform" over the hypotheses of a word (the paper), or "teacher": the softmax of the
            teacher's log-probabilities.
        per: "character" divides by the (weighted) number of tokens, as decoders do in their own loss, so
            that a weight of 1 means as much as the loss of reading has; "word" divides by the words.
    """
    if len(context) == 0:
        return context.sum() * 0
    weights = hypothesis_weights(hypotheses.log_probs, weighting)
    said = decoder.log_prob(context, hypotheses.tokens)
    # A hypothesis that the student cannot utter at all (too few columns) has no gradient to give.
    possible = (weights > 0) & said.isfinite()
    weights = weights.masked_fill(~possible, 0.0)
    total = -(weights * said.masked_fill(~possible, 0.0)).sum()
    tokens = (weights * hypotheses.lengths).sum() if per == "character" else weights.sum()
    return total / tokens.clamp(min=1.0)


def hypothesis_weights(log_probs: Tensor, weighting: Weighting) -> Tensor:
    """Weights [N, k] that add up to 1 per word; 0 for hypotheses that do not exist (-inf)."""
    exists = log_probs > -torch.inf
    if weighting == "uniform":
        return exists / exists.sum(1, keepdim=True).clamp(min=1)
    return log_probs.softmax(1).masked_fill(~exists, 0.0)


def logit_divergence(teacher: Tensor, student: Tensor, counts: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) per step, times the temperature squared (Hinton et al., arXiv 1503.02531).

    Args:
        teacher, student: logits [N, S, V].
        counts: [N, S], the steps that say something; the mean is taken over these.
        temperature: both are divided by it. Its square keeps the gradient's size (about) independent of it.
    """
    if student.numel() == 0:
        return student.sum() * 0
    wanted = (teacher.detach().float() / temperature).log_softmax(-1)
    given = (student.float() / temperature).log_softmax(-1)
    per_step = F.kl_div(given, wanted, reduction="none", log_target=True).sum(-1)
    return temperature**2 * (per_step * counts).sum() / counts.sum().clamp(min=1)
