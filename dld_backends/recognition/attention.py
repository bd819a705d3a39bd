"""The attention decoder: an LSTM that looks at the context states through additive attention.

Bahdanau attention (arXiv 1409.0473) as in the paper's recogniser. The beam search advances the real
decoder state of every hypothesis, sums log-probabilities, and is batched over words and hypotheses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dld_core.decoders.charset import Charset
from dld_core.decoders.precision import full_precision
from dld_core.interfaces import SequenceDecoder
from dld_core.types import Hypotheses

_WORTH_DROPPING = 0.8
"""What has ended stays in the batch as long as more than this share goes on: dropping it copies the rest."""


class State(NamedTuple):
    """Hidden and cell state, each [..., H]."""

    hidden: Tensor
    cell: Tensor


class AttentionDecoder(SequenceDecoder):
    """Tokens: the charset's characters, then the end; the pad id doubles as the start token.

    Args:
        charset: what can be read.
        context_features: D of the context states.
        hidden: units of the LSTM and of the attention.
        embedding: size of the embedding of the previous character.
        max_length: characters read at most (>= 1).
    """

    def __init__(
        self,
        charset: Charset,
        context_features: int,
        hidden: int = 256,
        embedding: int = 64,
        max_length: int = 32,
    ) -> None:
        super().__init__()
        self.charset = charset
        self.max_length = max_length
        self.end_id = len(charset)
        self.pad_id = len(charset) + 1
        self.vocabulary_size = len(charset) + 1
        self.hidden = hidden
        self.embedding = nn.Embedding(len(charset) + 2, embedding)
        self.from_context = nn.Linear(context_features, hidden)
        self.from_state = nn.Linear(hidden, hidden, bias=False)
        self.energy = nn.Linear(hidden, 1, bias=False)
        self.gates_input = nn.Linear(embedding + context_features, 4 * hidden)
        self.gates_state = nn.Linear(hidden, 4 * hidden, bias=False)
        self.classify = nn.Linear(hidden + context_features, self.vocabulary_size)

    # --- text and tokens -------------------------------------------------------------------------

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Texts to [N, L] ids, each closed by the end token; longer ones are cut to `max_length`."""
        rows = [[*self.charset.ids(text)[: self.max_length], self.end_id] for text in texts]
        length = max((len(row) for row in rows), default=1)
        return torch.tensor(
            [row + [self.pad_id] * (length - len(row)) for row in rows], dtype=torch.int64
        ).reshape(len(rows), length)

    def decode(self, tokens: Tensor) -> list[str]:
        """[N, L] ids to texts; reading stops at the first end token."""
        texts = []
        for row in tokens.tolist():
            stop = row.index(self.end_id) if self.end_id in row else len(row)
            texts.append(self.charset.text(row[:stop]))
        return texts

    # --- one step ---------------------------------------------------------------------------------

    def _start(self, context: Tensor, *leading: int) -> State:
        zeros = context.new_zeros((*leading, self.hidden))
        return State(zeros, zeros)

    def _step(self, previous: Tensor, state: State, context: Tensor, keys: Tensor) -> tuple[Tensor, State]:
        """One character: previous ids [N, k], states [N, k, H], context [N, T, D] -> logits [N, k, V]."""
        query = self.from_state(state.hidden).unsqueeze(2)
        scores = self.energy(torch.tanh(keys.unsqueeze(1) + query)).squeeze(-1)
        return self._advance(previous, state, scores.softmax(-1) @ context)

    def _quick_step(
        self, previous: Tensor, state: State, context: Tensor, prepared: _Prepared, live: Tensor
    ) -> tuple[Tensor, State]:
        """The same without a gradient; hypotheses that do not live [N, k] get values of no meaning."""
        if int(live.sum()) > _WORTH_DROPPING * live.numel():
            query = _raise(self.from_state(state.hidden))
            scores = prepared.scores(query)
            return self._advance(previous, state, scores.softmax(-1) @ context)
        rows = live.flatten().nonzero()[:, 0]
        own = State(state.hidden.flatten(0, 1)[rows], state.cell.flatten(0, 1)[rows])
        query = _raise(self.from_state(own.hidden))
        scores = prepared.scores_of(rows // live.shape[1], query)
        glimpse = (_spread(scores.softmax(-1), rows, live) @ context).flatten(0, 1)[rows]
        logits, own = self._advance(previous.flatten()[rows], own, glimpse)
        spread = (_spread(values, rows, live) for values in own)
        return _spread(logits, rows, live), State(*spread)

    def _prepare(self, context: Tensor, k: int) -> _Prepared:
        """What all steps of a search for k hypotheses share."""
        offset = 1 / (-2 * self.energy.weight[0])
        raised = _raise(self.from_context(context)) * offset
        return _Prepared(raised, offset, raised.new_empty(k * raised.numel()))

    def _advance(self, previous: Tensor, state: State, glimpse: Tensor) -> tuple[Tensor, State]:
        """The LSTM and the classifier: previous ids [N, k], glimpses [N, k, D] -> logits [N, k, V]."""
        given = torch.cat([self.embedding(previous), glimpse], -1)
        gates = self.gates_input(given) + self.gates_state(state.hidden)
        enter, forget, candidate, leave = gates.chunk(4, -1)
        cell = forget.sigmoid() * state.cell + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * cell.tanh()
        return self.classify(torch.cat([hidden, glimpse], -1)), State(hidden, cell)

    def _teacher_forced(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Logits [N, k, L, V] when the previous character is the one of tokens [N, k, L]."""
        with full_precision(context.device):
            context = context.float()
            keys = self.from_context(context)
            state = self._start(context, *tokens.shape[:2])
            start = torch.full_like(tokens[..., :1], self.pad_id)
            previous = torch.cat([start, tokens[..., :-1]], -1).clamp(0, self.pad_id)
            steps = []
            for index in range(tokens.shape[-1]):
                logits, state = self._step(previous[..., index], state, context, keys)
                steps.append(logits)
            return torch.stack(steps, 2)

    # --- the interface ------------------------------------------------------------------------------

    def logits(self, context: Tensor, targets: Tensor) -> Tensor:
        """Teacher-forced scores [N, L, V]."""
        return self._teacher_forced(context, targets.unsqueeze(1)).squeeze(1)

    def loss(self, context: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy per character, mean over all characters of the batch (end tokens included)."""
        if targets.shape[0] == 0:
            return context.sum() * 0
        return self.loss_of_logits(self.logits(context, targets), targets)

    def log_prob(self, context: Tensor, tokens: Tensor) -> Tensor:
        """Sum of log p over the tokens before padding: [N, L] -> [N], [N, k, L] -> [N, k]."""
        grouped = tokens if tokens.dim() == 3 else tokens.unsqueeze(1)
        log_probs = self._teacher_forced(context, grouped).log_softmax(-1)
        counts = grouped != self.pad_id
        index = grouped.masked_fill(~counts, 0).unsqueeze(-1)
        total = (log_probs.gather(-1, index).squeeze(-1) * counts).sum(-1)
        return total if tokens.dim() == 3 else total.squeeze(1)

    @torch.no_grad()
    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        """Beam search of width k over the real decoder states; k = 1 is greedy reading.

        Loops over characters alone: words and hypotheses advance together, and words whose hypotheses have
        all ended drop out. A hypothesis ends with the end token or after `max_length` characters.
        """
        with full_precision(context.device):
            tokens, scores = self._search(context.float(), k)
        return Hypotheses(tokens, (tokens != self.pad_id).sum(2), scores)

    def _search(self, context: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Tokens [N, k, L] and their log-probabilities [N, k]."""
        count, device = context.shape[0], context.device
        rows = torch.arange(count, device=device)
        prepared = self._prepare(context, k)
        state = self._start(context, count, 1)
        previous = torch.full((count, 1), self.pad_id, device=device)
        tokens = torch.empty((count, 1, 0), dtype=torch.int64, device=device)
        scores = context.new_zeros((count, 1))
        done = torch.zeros((count, 1), dtype=torch.bool, device=device)
        ended: list[_Ended] = []
        for _ in range(self.max_length + 1):
            logits, state = self._quick_step(previous, state, context, prepared, ~done)
            options = self._extend(logits.log_softmax(-1), scores, done)
            scores, flat = options.flatten(1).topk(min(k, options[0].numel() if len(rows) else k), dim=1)
            beam, token = flat // options.shape[2], flat % options.shape[2]
            done = done.gather(1, beam) | (token == self.end_id)
            tokens = torch.cat([_pick(tokens, beam), token.unsqueeze(2)], 2)
            state = State(_pick(state.hidden, beam), _pick(state.cell, beam))
            previous = token
            going = (~done).any(1)
            left = int(going.sum())
            if left == 0:
                break
            if left <= _WORTH_DROPPING * len(rows):
                over = ~going
                ended.append(_Ended(rows[over], tokens[over], scores[over]))
                rows, context, previous = rows[going], context[going], previous[going]
                prepared = prepared._replace(raised=prepared.raised[going])
                tokens, scores, done = tokens[going], scores[going], done[going]
                state = State(state.hidden[going], state.cell[going])
        return _gathered([*ended, _Ended(rows, tokens, scores)], count, self.pad_id)

    def _extend(self, log_probs: Tensor, scores: Tensor, done: Tensor) -> Tensor:
        """Scores [N, k, V + 1] of every continuation; a finished hypothesis continues with padding alone."""
        longer = scores.unsqueeze(2) + log_probs
        longer = longer.masked_fill(done.unsqueeze(2), -torch.inf)
        stay = scores.masked_fill(~done, -torch.inf).unsqueeze(2)
        return torch.cat([longer, stay], 2)


class _Prepared(NamedTuple):
    """Additive attention without a tanh for every hypothesis and column, which was most of a search.

    tanh(a + b) = 1 - 2 / (1 + exp(2a) exp(2b)), and the softmax over columns loses the constant 1. So the
    energy of a column is a sum over the units, with weights w, of 1 / (c + c exp(2a) exp(2b)), c = 1 / (-2w).

    Attributes:
        raised: c exp(2 keys), [N, T, H].
        offset: c, [H].
        room: for what each step computes, used again and again: fresh memory of this size costs more than the
            arithmetic.
    """

    raised: Tensor
    offset: Tensor
    room: Tensor

    def scores(self, query: Tensor) -> Tensor:
        """Energies [N, k, T] of exp(2 query) [N, k, H]."""
        count, k, units = query.shape
        room = self._room(count, k, self.raised.shape[1], units)
        torch.addcmul(self.offset, self.raised.unsqueeze(1), query.unsqueeze(2), out=room)
        return room.reciprocal_().sum(-1)

    def scores_of(self, words: Tensor, query: Tensor) -> Tensor:
        """Energies [M, T] of exp(2 query) [M, H], row by row for these words [M]."""
        room = self._room(len(words), *self.raised.shape[1:])
        torch.index_select(self.raised, 0, words, out=room)
        torch.addcmul(self.offset, room, query.unsqueeze(1), out=room)
        return room.reciprocal_().sum(-1)

    def _room(self, *shape: int) -> Tensor:
        return self.room[: math.prod(shape)].view(shape)


class _Ended(NamedTuple):
    """Words whose search is over: their rows [n], tokens [n, k, L] and log-probabilities [n, k]."""

    rows: Tensor
    tokens: Tensor
    scores: Tensor


def _gathered(parts: Sequence[_Ended], count: int, pad: int) -> tuple[Tensor, Tensor]:
    """Tokens [N, k, L] and scores [N, k] of all words, in their order."""
    last = parts[-1]
    k, length = last.tokens.shape[1:]
    tokens = last.tokens.new_full((count, k, length), pad)
    scores = last.scores.new_empty((count, k))
    for part in parts:
        tokens[part.rows, :, : part.tokens.shape[2]] = part.tokens
        scores[part.rows] = part.scores
    return tokens, scores


def _spread(values: Tensor, rows: Tensor, live: Tensor) -> Tensor:
    """Values [M, X] of the rows that live, among zeros: [N, k, X]."""
    spread = values.new_zeros((live.numel(), values.shape[1])).index_copy_(0, rows, values)
    return spread.view(*live.shape, values.shape[1])


def _raise(values: Tensor) -> Tensor:
    """exp(2x), kept within what float32 can multiply: beyond 20 a tanh has long been 1."""
    return (2 * values).clamp(-40, 40).exp()


def _pick(values: Tensor, beam: Tensor) -> Tensor:
    """Rows [N, k', X] of values [N, k, X] chosen by beam [N, k']."""
    return values.gather(1, beam.unsqueeze(2).expand(-1, -1, values.shape[2]))
