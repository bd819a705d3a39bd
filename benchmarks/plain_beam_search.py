"""Beam search the plain way, word by word and hypothesis by hypothesis: the yardstick of beam_search.py.

The same rules as the decoders', written so that they can be read: nothing is batched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dld_backends.recognition.attention import AttentionDecoder, State
from dld_core.decoders.ctc import BLANK, CTCDecoder

Scored = list[tuple[list[int], float]]
"""Token ids (without padding) and log-probability, best first."""


@dataclass
class Hypothesis:
    tokens: list[int]
    score: float
    state: State
    done: bool = False


@torch.no_grad()
def attention_beam_search(decoder: AttentionDecoder, context: Tensor, k: int) -> list[Scored]:
    """The k best hypotheses of every word of context [N, T, D], each by real steps of the decoder."""
    return [_attend(decoder, word.unsqueeze(0), k) for word in context.float()]


def _attend(decoder: AttentionDecoder, context: Tensor, k: int) -> Scored:
    keys = decoder.from_context(context)
    beam = [Hypothesis([], 0.0, decoder._start(context, 1, 1))]
    for _ in range(decoder.max_length + 1):
        options: list[tuple[float, Hypothesis, int | None, State]] = []
        for hypothesis in beam:
            if hypothesis.done:
                options.append((hypothesis.score, hypothesis, None, hypothesis.state))
                continue
            last = hypothesis.tokens[-1] if hypothesis.tokens else decoder.pad_id
            logits, state = decoder._step(torch.tensor([[last]]), hypothesis.state, context, keys)
            for token, log_prob in enumerate(logits[0, 0].log_softmax(-1).tolist()):
                options.append((hypothesis.score + log_prob, hypothesis, token, state))
        options.sort(key=lambda option: -option[0])
        beam = [
            parent
            if token is None
            else Hypothesis([*parent.tokens, token], score, state, token == decoder.end_id)
            for score, parent, token, state in options[:k]
        ]
        if all(hypothesis.done for hypothesis in beam):
            break
    return [(hypothesis.tokens, hypothesis.score) for hypothesis in beam]


@torch.no_grad()
def ctc_beam_search(decoder: CTCDecoder, context: Tensor, k: int) -> list[Scored]:
    """The k best texts of every word, by prefix beam search, scored again by the forward algorithm."""
    columns = decoder.logits(context, context).double().log_softmax(-1).tolist()
    return [_search(word, k, max(k, decoder.beam_width)) for word in columns]


def _search(columns: list[list[float]], k: int, width: int) -> Scored:
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for column in columns:
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (blank, symbol) in beam.items():
            _add(grown, prefix, _log_add(blank, symbol) + column[BLANK], -math.inf)
            for token in range(1, len(column)):
                if prefix and prefix[-1] == token:
                    _add(grown, prefix, -math.inf, symbol + column[token])
                    _add(grown, (*prefix, token), -math.inf, blank + column[token])
                else:
                    _add(grown, (*prefix, token), -math.inf, _log_add(blank, symbol) + column[token])
        best = sorted(grown.items(), key=lambda item: -_log_add(*item[1]))
        beam = dict(best[:width])
    found = [(list(prefix), _forward(columns, prefix)) for prefix in list(beam)[: 2 * k]]
    return sorted(found, key=lambda item: -item[1])[:k]


def _forward(columns: list[list[float]], text: tuple[int, ...]) -> float:
    """Log-probability of a text over all its alignments."""
    states = [BLANK, *(token for letter in text for token in (letter, BLANK))]
    alpha = [0.0] + [-math.inf] * (len(states) - 1)
    for number, column in enumerate(columns):
        previous = alpha
        alpha = []
        for index, token in enumerate(states):
            total = previous[index]
            if index >= 1 and number > 0:
                total = _log_add(total, previous[index - 1])
            elif index == 1:
                total = 0.0
            skips = index >= 2 and token != BLANK and token != states[index - 2]
            if skips and number > 0:
                total = _log_add(total, previous[index - 2])
            alpha.append(total + column[token])
        if number == 0:
            alpha = alpha[:2] + [-math.inf] * (len(states) - 2)
    return _log_add(alpha[-1], alpha[-2]) if len(alpha) > 1 else alpha[-1]


def _add(
    beam: dict[tuple[int, ...], tuple[float, float]], prefix: tuple[int, ...], blank: float, symbol: float
) -> None:
    before = beam.get(prefix, (-math.inf, -math.inf))
    beam[prefix] = _log_add(before[0], blank), _log_add(before[1], symbol)


def _log_add(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
