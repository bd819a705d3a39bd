"""The CTC decoder against every alignment written out, and against cases worked by hand."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_core.decoders import prefix_search
from dld_core.decoders.charset import PRINTABLE_ASCII, Charset
from dld_core.decoders.ctc import CTCDecoder, alignment_log_prob
from dld_core.decoders.prefix_search import Texts, best_texts, search_prefixes
from dld_core.testing import SequenceDecoderContract

Text = tuple[int, ...]
SEEDS = range(6)


class TestContracts(SequenceDecoderContract):
    """Random states, the charset of the backends."""

    def make_decoder(self) -> CTCDecoder:
        torch.manual_seed(0)
        return CTCDecoder(Charset(PRINTABLE_ASCII), 24).eval()

    def make_context(self, decoder: CTCDecoder, count: int) -> Tensor:
        return 3 * torch.randn((count, 12, 24), generator=torch.Generator().manual_seed(1))

    def make_charset(self) -> str:
        return PRINTABLE_ASCII


def _columns(seed: int, words: int = 4, columns: int = 5, tokens: int = 3, sharp: float = 2.0) -> Tensor:
    """Random log-probabilities [N, T, V], float64."""
    generator = torch.Generator().manual_seed(seed)
    return (sharp * torch.randn(words, columns, tokens, generator=generator).double()).log_softmax(-1)


def _collapse(path: Text) -> Text:
    """The text of an alignment: repeats merged, then blanks dropped."""
    return tuple(token for token, _ in itertools.groupby(path) if token)


def _every_text(log_probs: Tensor) -> dict[Text, float]:
    """The probability of every text of one word [T, V]: the sum over all V ** T alignments."""
    columns, tokens = log_probs.shape
    total: dict[Text, float] = defaultdict(float)
    for path in itertools.product(range(tokens), repeat=columns):
        total[_collapse(path)] += math.exp(sum(float(log_probs[t, c]) for t, c in enumerate(path)))
    return total


def _found(beam: Texts, row: int) -> list[Text]:
    """The texts of one word, best first, fillers left out."""
    rows = zip(beam.tokens[row].tolist(), beam.lengths[row].tolist(), beam.log_probs[row], strict=True)
    return [tuple(tokens[:length]) for tokens, length, score in rows if score > -math.inf]


def _probabilities(beam: Texts, row: int) -> list[float]:
    return [math.exp(score) for score in beam.log_probs[row] if score > -math.inf]


def _padded(texts: list[Text], length: int) -> Tensor:
    return torch.tensor([[*text, *[0] * (length - len(text))] for text in texts])


# --- log-probabilities ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_log_prob_is_the_sum_over_every_alignment(seed: int) -> None:
    log_probs = _columns(seed, words=2)
    for row in range(2):
        truth = _every_text(log_probs[row])
        texts = sorted(truth)
        found = alignment_log_prob(log_probs[row, None], _padded(texts, 5)[None])[0].exp()
        torch.testing.assert_close(found, torch.tensor([truth[t] for t in texts]).double())
        assert float(found.sum()) == pytest.approx(1.0)


def test_texts_that_do_not_fit_are_impossible_and_have_no_gradient() -> None:
    decoder = CTCDecoder(Charset("ab"), 4)
    context = torch.randn(4, 3, 4)
    tokens = decoder.encode(["aab", "aba", "aa", "abab"])  # 4, 3, 3 and 4 columns at least
    found = decoder.log_prob(context, tokens)
    assert found.isinf().tolist() == [True, False, False, True]
    found[found > -torch.inf].sum().backward()
    gradient = decoder.classify.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert decoder.loss(context, tokens).isfinite()


def test_the_gradient_is_that_of_finite_differences() -> None:
    scores = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tokens = _padded([(1, 2), (2, 2), (), (1,)], 2).reshape(2, 2, 2)

    def forward(values: Tensor) -> Tensor:
        return alignment_log_prob(values.log_softmax(-1), tokens)

    assert torch.autograd.gradcheck(forward, scores.requires_grad_())


def test_loss_is_the_mean_log_probability_per_character() -> None:
    torch.manual_seed(0)
    decoder, context = CTCDecoder(Charset("abc"), 6), torch.randn(3, 7, 6)
    targets = decoder.encode(["ab", "cca", "b"])
    wanted = -decoder.log_prob(context, targets).sum() / 6
    torch.testing.assert_close(decoder.loss(context, targets), wanted)
    empty = decoder.loss(context[:0], targets[:0])
    assert float(empty.detach()) == 0
    assert empty.requires_grad


# --- the search ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("columns", "tokens"), [(5, 3), (4, 4), (7, 2)])
def test_a_wide_beam_finds_what_exhaustive_search_finds(seed: int, columns: int, tokens: int) -> None:
    log_probs = _columns(seed, columns=columns, tokens=tokens)
    beam = search_prefixes(log_probs.numpy(), 400)
    for row in range(len(log_probs)):
        truth, found = _every_text(log_probs[row]), _found(beam, row)
        assert len(set(found)) == len(found)
        assert set(found) == set(truth)
        assert _probabilities(beam, row) == pytest.approx([truth[text] for text in found])


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_a_narrow_beam_finds_the_best_texts_of_clear_columns(seed: int) -> None:
    torch.manual_seed(seed)
    decoder = CTCDecoder(Charset("abc"), 5, beam_width=4).eval()
    decoder.classify.weight.mul_(12)
    context = torch.randn(6, 5, 5)
    log_probs = decoder.logits(context, torch.zeros(6, 1)).log_softmax(-1)
    found = decoder.beam_search(context, 2)
    torch.testing.assert_close(found.log_probs, decoder.log_prob(context, found.tokens))
    for row in range(6):
        truth = _every_text(log_probs[row])
        ranked = sorted(truth, key=lambda text: -truth[text])[:2]
        said = [
            tuple(t[:n]) for t, n in zip(found.tokens[row].tolist(), found.lengths[row].tolist(), strict=True)
        ]
        assert said == ranked


def _plain_search(log_probs: Tensor, width: int) -> dict[Text, float]:
    """Prefix beam search as it is usually written: dictionaries, one word [T, V], every token tried."""
    beam = {(): (1.0, 0.0)}  # prefix -> probability of ending in a blank, in its last character
    for column in log_probs.exp().tolist():
        fresh: dict[Text, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, symbol) in beam.items():
            fresh[prefix][0] += (blank + symbol) * column[0]
            if prefix:
                fresh[prefix][1] += symbol * column[prefix[-1]]
            for token, probability in enumerate(column[1:], 1):
                repeated = bool(prefix) and token == prefix[-1]
                fresh[(*prefix, token)][1] += (blank if repeated else blank + symbol) * probability
        kept = sorted(fresh, key=lambda text: -sum(fresh[text]))[:width]
        beam = {text: (fresh[text][0], fresh[text][1]) for text in kept}
    return {text: sum(both) for text, both in beam.items()}


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_the_batched_search_is_the_usual_one(width: int) -> None:
    log_probs = torch.cat([_columns(seed, columns=9, tokens=12, sharp=1 + seed / 3) for seed in SEEDS])
    beam = search_prefixes(log_probs.numpy(), width)
    for row in range(len(log_probs)):
        wanted, found = _plain_search(log_probs[row], width), _found(beam, row)
        assert set(found) == set(wanted)
        assert _probabilities(beam, row) == pytest.approx([wanted[text] for text in found])


@pytest.mark.parametrize("seed", SEEDS)
def test_texts_are_scored_alike_with_torch_and_without(seed: int) -> None:
    log_probs = _columns(seed, columns=9, tokens=6, sharp=4.0)
    tokens = _padded([(), (1,), (1, 1), (2, 1, 2), (3, 3, 3, 3, 3), (3, 3, 3, 3, 3, 3)], 6).expand(4, -1, -1)
    wanted = alignment_log_prob(log_probs, tokens)
    found = torch.from_numpy(prefix_search.alignment_log_prob(log_probs.numpy(), tokens.numpy()))
    assert found[:, -1].isinf().all(), "six equal characters need eleven columns"
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("sharp", [2.0, 6.0, 12.0])
def test_sure_words_need_no_search(sharp: float, monkeypatch: pytest.MonkeyPatch) -> None:
    log_probs = torch.cat([_columns(seed, columns=6, tokens=4, sharp=sharp) for seed in SEEDS]).numpy()
    truths = [_every_text(torch.from_numpy(word)) for word in log_probs]
    plain = [_collapse(tuple(word.argmax(1).tolist())) for word in log_probs]
    sure = np.array([truth[text] > 0.5 for truth, text in zip(truths, plain, strict=True)])
    searched: list[int] = []

    def spy(rows: NDArray[np.float64], width: int, count: int) -> Texts:
        searched.append(len(rows))
        return search_prefixes(rows, width, count)

    monkeypatch.setattr(prefix_search, "search_prefixes", spy)
    found = best_texts(log_probs, 1, 400)
    assert searched == [int((~sure).sum())]
    for row, truth in enumerate(truths):
        best = max(truth, key=truth.__getitem__)
        assert _found(found, row) == [best]
        assert _probabilities(found, row) == pytest.approx([truth[best]])


def test_many_columns_neither_overflow_nor_underflow() -> None:
    log_probs = np.full((2, 800, 3), -np.log(3))  # 3 ** 800 alignments, each as probable
    tokens = np.ones((2, 1, 190), np.int64)
    found = prefix_search.alignment_log_prob(log_probs, tokens)
    wanted = alignment_log_prob(torch.from_numpy(log_probs), torch.from_numpy(tokens))
    torch.testing.assert_close(torch.from_numpy(found), wanted)
    assert np.isfinite(best_texts(log_probs, 2, 3).log_probs).all()


def _decoder_saying(columns: list[list[float]]) -> tuple[CTCDecoder, Tensor]:
    """A decoder of "a" and "b", and states that make it say these probabilities (blank, a, b)."""
    decoder = CTCDecoder(Charset("ab"), 3).eval()
    with torch.no_grad():
        decoder.classify.weight.copy_(torch.eye(3))
        decoder.classify.bias.zero_()
    return decoder, torch.tensor([columns]).log()


def test_the_best_text_is_not_the_text_of_the_best_alignment() -> None:
    # blank-blank has 0.36, more than any other alignment; "a" has 0.16 + 0.24 + 0.24 = 0.64 in three
    decoder, context = _decoder_saying([[0.6, 0.4, 1e-30], [0.6, 0.4, 1e-30]])
    found = decoder.beam_search(context, 3)
    assert decoder.decode(found.tokens[0])[:2] == ["a", ""]
    assert found.lengths[0, :2].tolist() == [1, 0]
    torch.testing.assert_close(found.log_probs[0, :2].exp(), torch.tensor([0.64, 0.36]))


def test_equal_neighbours_need_a_blank_between() -> None:
    decoder, context = _decoder_saying([[0.1, 0.9, 1e-30], [0.8, 0.2, 1e-30], [0.1, 0.9, 1e-30]])
    found = decoder.beam_search(context, 3)
    assert decoder.decode(found.tokens[0])[:2] == ["aa", "a"]
    # "aa": a-a only; "a": everything else but three blanks
    torch.testing.assert_close(found.log_probs[0, 0].exp(), torch.tensor(0.9 * 0.8 * 0.9))
    torch.testing.assert_close(found.log_probs[0, 1].exp(), torch.tensor(1 - 0.648 - 0.1 * 0.8 * 0.1))


def test_hypotheses_that_do_not_exist_are_marked() -> None:
    decoder = CTCDecoder(Charset("a"), 2).eval()
    found = decoder.beam_search(torch.randn(3, 1, 2), 4)  # one column: "" or "a"
    assert found.log_probs.shape == (3, 4)
    assert found.log_probs.isinf().tolist() == [[False, False, True, True]] * 3
    assert found.log_probs[:, :2].exp().sum(1).tolist() == pytest.approx([1, 1, 1])


@torch.no_grad()
def test_words_are_read_alike_alone_and_together() -> None:
    torch.manual_seed(0)
    decoder, context = CTCDecoder(Charset(PRINTABLE_ASCII), 16).eval(), 3 * torch.randn(7, 20, 16)
    together = decoder.beam_search(context, 3)
    for row in range(7):
        alone = decoder.beam_search(context[row : row + 1], 3)
        torch.testing.assert_close(alone.log_probs[0], together.log_probs[row])
        assert decoder.decode(alone.tokens[0]) == decoder.decode(together.tokens[row])


# --- texts ---------------------------------------------------------------------------------------


def test_texts_become_tokens_and_back() -> None:
    decoder = CTCDecoder(Charset("abc"), 4, max_length=4)
    tokens = decoder.encode(["cab", "", "a?b", "abcabc"])
    assert tokens.tolist() == [[3, 1, 2, 0], [0, 0, 0, 0], [1, 2, 0, 0], [1, 2, 3, 1]]
    assert decoder.decode(tokens) == ["cab", "", "ab", "abca"]
    assert decoder.encode([]).shape == (0, 1)
