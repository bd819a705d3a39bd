"""The CTC decoder: every column of the context says a character or nothing (Graves et al., ICML 2006).

A text's probability is the sum over all its alignments to the columns, found by the forward algorithm.
The search for the best texts stands in `prefix_search`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_core.decoders.charset import Charset
from dld_core.decoders.precision import full_precision
from dld_core.decoders.prefix_search import BLANK, best_texts, spell
from dld_core.interfaces import SequenceDecoder
from dld_core.types import Hypotheses


class CTCDecoder(SequenceDecoder):
    """One linear layer on the context states. Token 0 is blank and padding, i + 1 the charset's character i.

    Args:
        charset: what can be read.
        context_features: D of the context states.
        max_length: characters that `encode` keeps at most (>= 1). No text has more than T columns.
        beam_width: prefixes kept while searching, at least (>= 1); a search for more hypotheses keeps more.
    """

    def __init__(
        self, charset: Charset, context_features: int, max_length: int = 32, beam_width: int = 8
    ) -> None:
        super().__init__()
        self.charset = charset
        self.max_length = max_length
        self.beam_width = beam_width
        self.pad_id = BLANK
        self.vocabulary_size = len(charset) + 1
        self.classify = nn.Linear(context_features, self.vocabulary_size)

    # --- text and tokens -------------------------------------------------------------------------

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Texts to [N, L] ids, L >= 1; longer ones are cut to `max_length`."""
        rows = [[i + 1 for i in self.charset.ids(text)[: self.max_length]] for text in texts]
        length = max((len(row) for row in rows), default=1) or 1
        padded = [row + [self.pad_id] * (length - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), length)

    def decode(self, tokens: Tensor) -> list[str]:
        """[N, L] ids to texts; padding says nothing."""
        return spell(tokens.tolist(), self.charset)

    # --- the interface ---------------------------------------------------------------------------

    def logits(self, context: Tensor, targets: Tensor) -> Tensor:
        """Scores of every column, [N, T, V]; the targets play no part."""
        del targets
        return self._scores(context)

    def _scores(self, context: Tensor) -> Tensor:
        with full_precision(context.device):
            scores: Tensor = self.classify(context.float())
        return scores

    def loss(self, context: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood per character, mean over all characters of the batch."""
        return self.loss_of_logits(self.logits(context, targets), targets)

    def loss_of_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The same from logits [N, T, V]; a target that T columns cannot hold adds nothing."""
        if targets.shape[0] == 0:
            return logits.sum() * 0
        with full_precision(logits.device):
            found = alignment_log_prob(logits.float().log_softmax(-1), targets.unsqueeze(1))
        total = found.masked_fill(found == -torch.inf, 0.0).sum()
        return -total / (targets != self.pad_id).sum().clamp(min=1)

    def counted_steps(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Every column says something, if only that nothing is there: all True [N, T]."""
        del targets
        return torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)

    def log_prob(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Log of the sum over all alignments: [N, L] -> [N], [N, k, L] -> [N, k].

        -inf (without a gradient) where T columns cannot hold the text.
        """
        grouped = tokens if tokens.dim() == 3 else tokens.unsqueeze(1)
        with full_precision(context.device):
            total = alignment_log_prob(self._scores(context).log_softmax(-1), grouped)
        return total if tokens.dim() == 3 else total.squeeze(1)

    @torch.no_grad()
    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        """The k best texts of each word, by their whole probability (see `prefix_search`).

        Words and prefixes advance together, on the CPU: what one column needs is too little for a GPU.
        """
        log_probs = self._scores(context).log_softmax(-1)
        found = best_texts(log_probs.cpu().numpy(), k, self.beam_width)
        tokens, lengths, scores = (torch.from_numpy(values).to(context.device) for values in found)
        return Hypotheses(tokens, lengths, scores.to(log_probs.dtype))


def alignment_log_prob(log_probs: Tensor, tokens: Tensor) -> Tensor:
    """The CTC forward algorithm (equation 5 ff. of the paper; torch's own, which is differentiable).

    Args:
        log_probs: [N, T, V], normalised over V, token 0 the blank.
        tokens: [N, k, L >= 1] int64, zeros after the end.

    Returns:
        [N, k] log-probabilities; -inf where the text does not fit into T columns, a blank between equal
        neighbours included, and no gradient there.
    """
    count, k, _ = tokens.shape
    columns = log_probs.shape[1]
    if count * k == 0:
        return log_probs.sum() * 0 + log_probs.new_zeros((count, k))
    flat = tokens.flatten(0, 1)
    lengths = (flat != BLANK).sum(1)
    repeats = ((flat[:, 1:] == flat[:, :-1]) & (flat[:, 1:] != BLANK)).sum(1)
    by_column = log_probs.repeat_interleave(k, 0).transpose(0, 1)
    loss = F.ctc_loss(
        by_column,
        flat,
        torch.full_like(lengths, columns),
        lengths,
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return (-loss).masked_fill(lengths + repeats > columns, -torch.inf).reshape(count, k)
