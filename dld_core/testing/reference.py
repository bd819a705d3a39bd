"""The smallest decoder that keeps the contracts, for checking distillers and as an example of the shapes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dld_core.interfaces import SequenceDecoder
from dld_core.types import Hypotheses


class ColumnDecoder(SequenceDecoder):
    """Reads one token from each column, independent of the others; the end token closes a text.

    Args:
        charset: what can be read; at most as many characters per text as the context has columns, less one.
        features: D of the context.
    """

    def __init__(self, charset: str, features: int) -> None:
        super().__init__()
        self.charset = charset
        self.end_id = len(charset)
        self.pad_id = len(charset) + 1
        self.vocabulary_size = len(charset) + 1
        self.classify = nn.Linear(features, self.vocabulary_size)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Each text, its end token, then padding: [N, L]."""
        rows = [[*(self.charset.index(c) for c in t if c in self.charset), self.end_id] for t in texts]
        length = max(map(len, rows), default=1)
        padded = [row + [self.pad_id] * (length - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), length)

    def decode(self, tokens: Tensor) -> list[str]:
        """What stands before the first end token."""
        ends = [row.index(self.end_id) if self.end_id in row else len(row) for row in tokens.tolist()]
        rows = zip(tokens.tolist(), ends, strict=True)
        return ["".join(self.charset[i] for i in row[:end] if i < self.end_id) for row, end in rows]

    def logits(self, context: Tensor, targets: Tensor) -> Tensor:
        """[N, L, V], one step for each target; columns beyond the context repeat its last one."""
        columns = torch.arange(targets.shape[-1], device=context.device).clamp(max=context.shape[1] - 1)
        scores: Tensor = self.classify(context[:, columns])
        return scores

    def loss(self, context: Tensor, targets: Tensor) -> Tensor:
        """Mean over the words of minus log_prob."""
        return -self.log_prob(context, targets).mean() if len(targets) else self.classify(context).sum() * 0

    def log_prob(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Sum over the tokens before padding."""
        grouped = tokens if tokens.dim() == 3 else tokens.unsqueeze(1)
        log_probs = (
            self.logits(context, grouped).log_softmax(-1).unsqueeze(1).expand(-1, grouped.shape[1], -1, -1)
        )
        counts = grouped != self.pad_id
        picked = log_probs.gather(-1, grouped.masked_fill(~counts, 0).unsqueeze(-1)).squeeze(-1)
        total = (picked * counts).sum(-1)
        return total if tokens.dim() == 3 else total.squeeze(1)

    @torch.no_grad()
    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        """Columns from left to right; a text that is as long as the context has no end token."""
        steps = self.classify(context).log_softmax(-1)
        tokens = torch.empty((len(context), 1, 0), dtype=torch.int64)
        scores, done = context.new_zeros((len(context), 1)), torch.zeros((len(context), 1), dtype=torch.bool)
        for step in steps.unbind(1):
            options = (scores.unsqueeze(2) + step.unsqueeze(1)).masked_fill(done.unsqueeze(2), -torch.inf)
            options = torch.cat([options, scores.masked_fill(~done, -torch.inf).unsqueeze(2)], 2)
            scores, flat = options.flatten(1).topk(min(k, options.shape[1] * options.shape[2]), dim=1)
            beam, token = flat // options.shape[2], flat % options.shape[2]
            tokens = torch.cat(
                [tokens.gather(1, beam.unsqueeze(2).expand(-1, -1, tokens.shape[2])), token[..., None]], 2
            )
            done = done.gather(1, beam) | (token == self.end_id)
        return Hypotheses(tokens, (tokens != self.pad_id).sum(2), scores)
