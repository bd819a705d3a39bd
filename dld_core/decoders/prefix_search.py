"""The most probable texts of CTC columns, all words at once. Free of torch, so that every runtime shares it.

The search keeps the most probable prefixes, not alignments (prefix beam search, arXiv 1408.2873), and
what it finds is scored again by the forward algorithm (Graves et al., ICML 2006).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dld_core.decoders.charset import Charset

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLANK = 0
"""The token of "nothing here". It never stands in a text, so it fills rows after their end as well."""

# FNV-1a, 64 bits: texts are told apart by a number rather than letter by letter.
_EMPTY, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_NOBODY = np.uint64(0)


def spell(tokens: Iterable[Iterable[int]], charset: Charset) -> list[str]:
    """The text of each row of tokens; padding says nothing."""
    return [charset.text(token - 1 for token in row) for row in tokens]


class Texts(NamedTuple):
    """K texts for each of N words, best first.

    Attributes:
        tokens: [N, K, L] int64, L >= 1, zeros after the end.
        lengths: [N, K] int64.
        log_probs: [N, K] float64; -inf for fillers, where there are fewer texts than K.
    """

    tokens: Ints
    lengths: Ints
    log_probs: Floats


def best_texts(log_probs: NDArray[Any], k: int, width: int) -> Texts:
    """The k most probable texts of every word, by their whole probability.

    Args:
        log_probs: [N, T, V], normalised over V, token 0 the blank.
        k: texts wanted.
        width: prefixes kept while searching, at least k.
    """
    return _one_each(log_probs, width) if k == 1 else _several(log_probs, k, width)


def _one_each(log_probs: NDArray[Any], width: int) -> Texts:
    """The most probable text of every word.

    A text that has more than half of the probability is the best there is. If the best alignment tells such
    a text, nothing is searched.
    """
    path = log_probs.argmax(2)
    repeated = np.pad(path[:, 1:] == path[:, :-1], ((0, 0), (1, 0)))
    tokens, lengths = _trimmed(_left_packed(np.where(repeated, BLANK, path))[:, None])
    scores = alignment_log_prob(log_probs, tokens)
    rest = np.flatnonzero(scores[:, 0] <= np.log(0.5))
    found = _several(log_probs[rest], 1, width)
    room = max(found.tokens.shape[2], tokens.shape[2])
    tokens, other = (np.pad(t, ((0, 0), (0, 0), (0, room - t.shape[2]))) for t in (tokens, found.tokens))
    tokens[rest], lengths[rest], scores[rest] = other, found.lengths, found.log_probs
    return Texts(tokens, lengths, scores)


def _several(log_probs: NDArray[Any], k: int, width: int) -> Texts:
    # twice as many are scored again as are asked for: the exact score may change their order
    found = search_prefixes(log_probs, max(k, width), 2 * k)
    scores = np.where(np.isneginf(found.log_probs), -np.inf, alignment_log_prob(log_probs, found.tokens))
    missing = max(k - scores.shape[1], 0)
    scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    order = np.argsort(-scores, 1, kind="stable")[:, :k]
    rows = np.minimum(order, found.tokens.shape[1] - 1)
    tokens = np.take_along_axis(found.tokens, rows[:, :, None], 1)
    return Texts(tokens, _pick(found.lengths, rows), _pick(scores, order))


def alignment_log_prob(log_probs: NDArray[Any], tokens: Ints) -> Floats:
    """Log of the sum over all alignments (the forward algorithm): tokens [N, k, L >= 1] -> [N, k].

    -inf where T columns cannot hold the text, a blank between equal neighbours included, and where it is
    1e300 times less probable than all of its beginnings together.
    """
    columns, scale = _probabilities(log_probs)
    states = np.zeros((*tokens.shape[:2], 2 * tokens.shape[2] + 1), np.int64)  # blanks around every character
    states[:, :, 1::2] = tokens
    skips = np.zeros(states.shape)  # over the blank between two characters that differ
    skips[:, :, 3::2] = (tokens[:, :, 1:] != tokens[:, :, :-1]) & (tokens[:, :, 1:] != BLANK)
    emitted = np.take_along_axis(columns[:, None], states[:, :, None], 3)
    reached = np.zeros(states.shape)
    reached[:, :, 0] = 1
    reached[:, :, 1] = tokens[:, :, 0] != BLANK
    for index in range(columns.shape[1]):
        if index:
            fresh = reached.copy()
            fresh[:, :, 1:] += reached[:, :, :-1]
            fresh[:, :, 2:] += reached[:, :, :-2] * skips[:, :, 2:]
            reached = fresh
        reached = reached * emitted[:, :, index]
        most = np.maximum(reached.max(2, keepdims=True), np.finfo(np.float64).tiny)
        reached, scale = reached / most, scale + np.log(most[:, :, 0])
    ends = 2 * (tokens != BLANK).sum(2)
    last = np.take_along_axis(reached, np.stack([ends, np.maximum(ends - 1, 0)], 2), 2)
    total = last[:, :, 0] + last[:, :, 1] * (ends > 0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(total) + scale)


class _Beam(NamedTuple):
    """W prefixes for each of N words, [N, W] each; one of probability 0 fills the place of none.

    Attributes:
        blank: relative probability of the alignments that end in a blank.
        symbol: of those that end in the prefix's last character.
        last: the last token; 0 for the empty prefix.
        name: tells the prefix from any other.
        stem: the name of the prefix without its last character.
    """

    blank: Floats
    symbol: Floats
    last: Ints
    name: NDArray[np.uint64]
    stem: NDArray[np.uint64]


class _Step(NamedTuple):
    """What one column made: of each prefix its parent's place, and the token it grew by (0 for none)."""

    parent: Ints
    token: Ints


def search_prefixes(log_probs: NDArray[Any], width: int, count: int | None = None) -> Texts:
    """The (up to) `width` most probable texts of log_probs [N, T, V], each once; the best `count` of them.

    Exact as long as no more than `width` prefixes exist; otherwise those dropped on the way take their
    later alignments with them. Loops over columns alone.
    """
    columns, scale = _probabilities(log_probs)
    # A prefix keeps at most `width` of its extensions. Up to `width` more may drop out of the running: the
    # repeated character, and those that are prefixes of the beam already.
    options = min(columns.shape[2] - 1, 2 * width)
    ids = np.argpartition(columns[:, :, 1:], -options, 2)[:, :, -options:] + 1
    best = np.take_along_axis(columns, ids, 2)
    beam = _start(len(columns))
    steps = []
    for index in range(columns.shape[1]):
        beam, step = _advance(beam, columns[:, index], best[:, index], ids[:, index], width)
        steps.append(step)
        most = (beam.blank + beam.symbol).max(1, keepdims=True)
        scale = scale + np.log(most)
        beam = beam._replace(blank=beam.blank / most, symbol=beam.symbol / most)
    total = beam.blank + beam.symbol
    order = np.argsort(-total, 1, kind="stable")[:, :count]
    with np.errstate(divide="ignore"):
        return _trace_back(steps, order, np.log(_pick(total, order)) + scale)


def _probabilities(log_probs: NDArray[Any]) -> tuple[Floats, Floats]:
    """Columns [N, T, V] relative to the most probable token of each, and the logarithm [N, 1] of the rest."""
    values = np.asarray(log_probs, np.float64)
    most = values.max(2, keepdims=True)
    return np.exp(values - most), most.sum(1)


def _start(count: int) -> _Beam:
    """The empty prefix alone, for so many words."""
    sure, empty = np.ones((count, 1)), np.zeros((count, 1), np.int64)
    return _Beam(sure, 0 * sure, empty, np.full((count, 1), _EMPTY), np.full((count, 1), _NOBODY))


def _advance(beam: _Beam, column: Floats, best: Floats, ids: Ints, width: int) -> tuple[_Beam, _Step]:
    """One column further: probabilities [N, V] of all tokens, and [N, M] of the candidates `ids`."""
    total = beam.blank + beam.symbol
    own = _pick(column, beam.last)
    stay_blank, stay_symbol = total * column[:, :1], beam.symbol * own
    repeated = beam.last[:, :, None] == ids[:, None, :]
    # a repeated character needs a blank before it
    grow = np.where(repeated, beam.blank[:, :, None], total[:, :, None]) * best[:, None, :]
    # an extension that is a prefix of the beam already is added to that one
    word, parent, child = np.nonzero(beam.name[:, :, None] == beam.stem[:, None, :])
    token = beam.last[word, child]
    before = np.where(token == beam.last[word, parent], beam.blank[word, parent], total[word, parent])
    stay_symbol[word, child] += before * own[word, child]
    pair, option = np.nonzero(ids[word] == token[:, None])
    grow[word[pair], parent[pair], option] = 0
    scores = np.concatenate([(stay_blank + stay_symbol)[:, :, None], grow], 2)
    return _select(beam, scores, ids, stay_blank, stay_symbol, width)


def _select(
    beam: _Beam, scores: Floats, ids: Ints, stay_blank: Floats, stay_symbol: Floats, width: int
) -> tuple[_Beam, _Step]:
    """The best `width` of scores [N, W, 1 + M]: each prefix as it is, then its extensions by `ids`."""
    options = scores.shape[2]
    flat = scores.reshape(len(scores), scores.shape[1] * options)
    if flat.shape[1] > width:
        chosen = np.argpartition(flat, -width, 1)[:, -width:]
    else:
        chosen = np.broadcast_to(np.arange(flat.shape[1]), flat.shape)
    parent, choice = np.divmod(chosen, options)
    stays, top = choice == 0, _pick(flat, chosen)
    token = np.where(stays, BLANK, _pick(ids, np.maximum(choice - 1, 0)))
    above = _pick(beam.name, parent)
    name = np.where(stays, above, (above ^ token.astype(np.uint64)) * _PRIME)
    stem = np.where(stays, _pick(beam.stem, parent), above)
    none = top <= 0
    kept = _Beam(
        np.where(stays, _pick(stay_blank, parent), 0.0),
        np.where(stays, _pick(stay_symbol, parent), top),
        np.where(stays, _pick(beam.last, parent), token),
        np.where(none, _NOBODY, name),
        np.where(none, _NOBODY, stem),
    )
    return kept, _Step(parent, token)


def _trace_back(steps: list[_Step], place: Ints, log_probs: Floats) -> Texts:
    """The tokens of the prefixes at `place` [N, K] after the last step."""
    grown = []
    for step in reversed(steps):
        grown.append(_pick(step.token, place))
        place = _pick(step.parent, place)
    return Texts(*_trimmed(_left_packed(np.stack(grown[::-1], 2))), log_probs)


def _left_packed(tokens: Ints) -> Ints:
    """The same rows with their blanks at the end."""
    return np.asarray(np.take_along_axis(tokens, np.argsort(tokens == BLANK, -1, kind="stable"), -1))


def _trimmed(tokens: Ints) -> tuple[Ints, Ints]:
    """Rows [N, K, L] with no more room than they need, and their lengths [N, K]."""
    lengths = (tokens != BLANK).sum(2)
    return tokens[:, :, : int(lengths.max(initial=1))], lengths


def _pick(values: NDArray[Any], index: Ints) -> NDArray[Any]:
    """Values [N, X] at index [N, k]; np.take_along_axis takes thrice as long over arrays this small."""
    return np.asarray(values[np.arange(len(values))[:, None], index])
