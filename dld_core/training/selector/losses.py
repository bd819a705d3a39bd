"""The loss of a decision: accuracy lost plus gamma times cost, in the paper's way and in expectation.

Both take the same arguments. `paper` draws a one-hot decision (Gumbel-softmax, straight through) and pays for
it alone, sum_i h_i L_i + gamma sum_i h_i T_i; `expected` pays for every scale by its probability. All L_i are
known anyway, so the expectation is exact and its gradient has no noise.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["paper", "expected"]


def decision_loss(
    logits: Tensor,
    accuracy: Tensor,
    cost: Tensor,
    gamma: float | Tensor,
    mode: Mode = "expected",
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean over images of what their decisions cost.

    Args:
        logits: [B, K], higher is likelier.
        accuracy: [B, K] L_i >= 0, what reading at each scale loses (KL to the teacher, or words).
        cost: [B, K] T_i, measured cost of this backend at each scale.
        gamma: weight of cost, one or [B].
        mode: see above.
        temperature: of the Gumbel-softmax ("paper" alone); lower is nearer to one-hot.
        generator: of the noise ("paper" alone).
    """
    weight = torch.as_tensor(gamma, dtype=accuracy.dtype, device=accuracy.device).reshape(-1, 1)
    decision = logits.softmax(1) if mode == "expected" else gumbel_decision(logits, temperature, generator)
    return (decision * (accuracy + weight * cost)).sum(1).mean()


def gumbel_decision(logits: Tensor, temperature: float, generator: torch.Generator | None = None) -> Tensor:
    """One-hot [B, K], drawn in proportion to softmax(logits), with the gradient of the soft sample."""
    uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp(1e-9, 1 - 1e-7)
    soft = ((logits - (-uniform.log()).log()) / temperature).softmax(1)
    hard = F.one_hot(soft.argmax(1), soft.shape[1]).to(soft.dtype)
    return hard + soft - soft.detach()


def temperature_at(progress: float, first: float = 2.0, last: float = 0.5) -> float:
    """The temperature of the Gumbel-softmax at a share in [0, 1] of the training: geometric decay."""
    return float(first * (last / first) ** min(max(progress, 0.0), 1.0))


def divergence(teacher: Tensor, student: Tensor, counts: Tensor) -> Tensor:
    """The paper's accuracy term: KL(teacher || student) of the character distributions, by word.

    Args:
        teacher, student: [N, S, V] logits of the same regions.
        counts: [N, S] which steps say something (`SequenceDecoder.counted_steps`).

    Returns:
        [N], the mean over counted steps.
    """
    wanted, given = teacher.float().log_softmax(-1), student.float().log_softmax(-1)
    per_step = F.kl_div(given, wanted, reduction="none", log_target=True).sum(-1) * counts
    return per_step.sum(1) / counts.sum(1).clamp(min=1)
