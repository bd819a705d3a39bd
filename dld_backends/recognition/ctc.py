"""The CTC decoder: every column of the context says a character or nothing (Graves et al., ICML 2006).

A text's probability is the sum over all its alignments to the columns, found by the forward algorithm.
The search keeps the most probable prefixes, not alignments (prefix beam search, arXiv 1408.2873), and
what it returns is scored again by the forward algorithm, so that both agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_backends.recognition.precision import full_precision
from dld_core.charset import Charset
from dld_core.interfaces import SequenceDecoder
from dld_core.types import Hypotheses

BLANK = 0
"""The token of "nothing here". It never stands in a text, so it fills rows after their end as well."""


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
        return [self.charset.text(token - 1 for token in row) for row in tokens.tolist()]

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
        """The k best texts of each word, by their whole probability.

        Loops over columns alone: words and prefixes advance together.
        """
        with full_precision(context.device):
            log_probs = self._scores(context).log_softmax(-1)
            # twice as many are scored again as are asked for: the exact score may change their order
            beam = search_prefixes(log_probs, max(k, self.beam_width)).best(2 * k)
            scores = alignment_log_prob(log_probs, beam.tokens).masked_fill(~beam.alive, -torch.inf)
        missing = max(k - scores.shape[1], 0)
        scores, order = F.pad(scores, (0, missing), value=-torch.inf).sort(1, descending=True)
        order = order[:, :k].clamp(max=beam.tokens.shape[1] - 1)
        return Hypotheses(_rows(beam.tokens, order), beam.lengths.gather(1, order), scores[:, :k])


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


class Prefixes(NamedTuple):
    """W prefixes for each of N words, best first.

    Attributes:
        tokens: [N, W, L] int64, zeros after the end; a search gives L = T + 1.
        lengths: [N, W] int64.
        last: [N, W] int64, the last token; 0 for the empty prefix.
        blank: [N, W] log-probability of its alignments that end in a blank.
        symbol: [N, W] of those that end in its last character.
    """

    tokens: Tensor
    lengths: Tensor
    last: Tensor
    blank: Tensor
    symbol: Tensor

    @property
    def total(self) -> Tensor:
        """Log-probability of all alignments [N, W]."""
        return torch.logaddexp(self.blank, self.symbol)

    @property
    def alive(self) -> Tensor:
        """Whether the prefix exists [N, W]; the beam holds fillers while there are fewer than W."""
        return self.total > -torch.inf

    def best(self, count: int) -> Prefixes:
        """The first `count`, and no more room for tokens than they need (at least 1)."""
        kept = Prefixes(*(values[:, :count] for values in self))
        longest = int(kept.lengths.max()) if len(kept.lengths) else 0
        return kept._replace(tokens=kept.tokens[:, :, : max(longest, 1)])


def search_prefixes(log_probs: Tensor, width: int) -> Prefixes:
    """The (up to) `width` most probable texts of log_probs [N, T, V], each once, by prefix beam search.

    Exact as long as no more than `width` prefixes exist; otherwise those dropped on the way take their
    later alignments with them.
    """
    count, columns, vocabulary = log_probs.shape
    # A prefix keeps at most `width` of its extensions. Up to `width` more may drop out of the running: the
    # repeated character, and those that are prefixes of the beam already.
    options = min(vocabulary - 1, 2 * width)
    best, ids = log_probs[:, :, 1:].topk(options, -1)
    empty = torch.zeros((count, 1), dtype=torch.int64, device=log_probs.device)
    sure = log_probs.new_zeros((count, 1))
    beam = Prefixes(empty.unsqueeze(2), empty, empty, sure, sure - torch.inf)
    for column in range(columns):
        beam = _advance(beam, log_probs[:, column], best[:, column], ids[:, column] + 1, width)
    return beam


def _advance(beam: Prefixes, column: Tensor, best: Tensor, ids: Tensor, width: int) -> Prefixes:
    """One column further: log-probabilities [N, V] of all tokens, and [N, M] of the candidates `ids`."""
    child = _children(beam)
    own = column.gather(1, beam.last)
    stay_blank = beam.total + column[:, BLANK, None]
    stay_symbol = torch.logaddexp(beam.symbol + own, _from_parent(beam, own, child))
    grow = best.unsqueeze(1) + _before(beam, ids.unsqueeze(1).expand(-1, beam.last.shape[1], -1))
    # an extension that is a prefix of the beam already has been added to that one
    known = (child.unsqueeze(3) & (beam.last[:, None, :, None] == ids[:, None, None, :])).any(2)
    grow = grow.masked_fill(known, -torch.inf)
    scores = torch.cat([torch.logaddexp(stay_blank, stay_symbol).unsqueeze(2), grow], 2)
    return _select(beam, scores, ids, stay_blank, stay_symbol, width)


def _children(beam: Prefixes) -> Tensor:
    """[N, W, W]: whether prefix b (last index) is prefix a and one character more."""
    stems = beam.tokens.scatter(2, (beam.lengths - 1).clamp(min=0).unsqueeze(2), BLANK)
    same = (beam.tokens.unsqueeze(2) == stems.unsqueeze(1)).all(3)
    alive = beam.alive
    return same & alive.unsqueeze(2) & (alive & (beam.lengths > 0)).unsqueeze(1)


def _before(beam: Prefixes, tokens: Tensor) -> Tensor:
    """Log-probability [N, W, M] of what may precede a token [N, W, M]: a repeated one needs a blank."""
    repeated = tokens == beam.last.unsqueeze(2)
    return torch.where(repeated, beam.blank.unsqueeze(2), beam.total.unsqueeze(2))


def _from_parent(beam: Prefixes, own: Tensor, child: Tensor) -> Tensor:
    """What each prefix [N, W] gains from its parent in the beam, extended by its last character."""
    lasts = beam.last.unsqueeze(1).expand(-1, beam.last.shape[1], -1)
    gained = (_before(beam, lasts) + own.unsqueeze(1)).masked_fill(~child, -torch.inf)
    return gained.amax(1)  # at most one prefix is the parent


def _select(
    beam: Prefixes, scores: Tensor, ids: Tensor, stay_blank: Tensor, stay_symbol: Tensor, width: int
) -> Prefixes:
    """The best `width` of scores [N, W, 1 + M]: each prefix as it is, then its extensions by `ids`."""
    options = scores.shape[2]
    top, flat = scores.flatten(1).topk(min(width, scores.shape[1] * options), 1)
    parent, choice = flat // options, flat % options
    stays = choice == 0
    token = ids.gather(1, (choice - 1).clamp(min=0))
    tokens, lengths = F.pad(_rows(beam.tokens, parent), (0, 1)), beam.lengths.gather(1, parent)
    return Prefixes(
        tokens.scatter(2, lengths.unsqueeze(2), token.masked_fill(stays, BLANK).unsqueeze(2)),
        lengths + ~stays,
        torch.where(stays, beam.last.gather(1, parent), token),
        stay_blank.gather(1, parent).masked_fill(~stays, -torch.inf),
        torch.where(stays, stay_symbol.gather(1, parent), top),
    )


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows [N, k, X] of values [N, W, X] chosen by index [N, k]."""
    return values.gather(1, index.unsqueeze(2).expand(-1, -1, values.shape[2]))
