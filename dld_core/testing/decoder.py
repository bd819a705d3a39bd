"""The contracts of every SequenceDecoder (Q1 ...)."""

from __future__ import annotations

import torch
from torch import Tensor

from dld_core.interfaces import SequenceDecoder
from dld_core.testing import compare, samples
from dld_core.testing.kit import contract, require, skip
from dld_core.types import Hypotheses

TOLERANCE = 1e-3  # log-probabilities of float32 sums over some thirty steps
WORDS = 5


class SequenceDecoderContract:
    """Write `make_decoder` and `make_context` (a TrainableSpotterContract has both already)."""

    def make_decoder(self) -> SequenceDecoder:
        """A new decoder in eval mode, deterministic weights or not."""
        raise NotImplementedError("write make_decoder(self), which returns the decoder to check")

    def make_context(self, decoder: SequenceDecoder, count: int) -> Tensor:
        """Context states [count, T, D] of the right T and D for this decoder, different from row to row."""
        raise NotImplementedError("write make_context(self, decoder, count), which returns context states")

    def make_charset(self) -> str:
        """The characters that the decoder knows."""
        raise NotImplementedError("write make_charset(self), which returns the decoder's characters")

    def _texts(self) -> list[str]:
        return samples.texts_in(self.make_charset(), WORDS)

    @contract("Q1", "decode(encode(texts)) gives the texts back, as padded int64 rows")
    def test_q1_encodes_and_decodes(self) -> None:
        """Also for no texts, for empty ones, and beside a longer row."""
        decoder, texts = self.make_decoder(), ["", *self._texts()]
        tokens = decoder.encode(texts)
        require(tokens.dtype == torch.int64 and tokens.dim() == 2, f"{tokens.dtype} {tuple(tokens.shape)}")
        require(len(tokens) == len(texts), f"{len(texts)} texts gave {len(tokens)} rows")
        back = decoder.decode(tokens)
        require(back == texts, f"{texts} came back as {back}")
        none = decoder.encode([])
        require(none.dim() == 2 and len(none) == 0, f"no texts gave the shape {tuple(none.shape)}")
        require(none.dtype == torch.int64, f"no texts gave {none.dtype}")
        require(decoder.decode(none) == [], "no rows must decode to no texts")

    @contract("Q2", "characters outside the charset are left out by encode(), and nothing else is")
    def test_q2_leaves_foreign_characters_out(self) -> None:
        """A crash here is one strange label away from the end of a training run."""
        decoder, (text, *_) = self.make_decoder(), self._texts()
        charset = self.make_charset()
        foreign = next(c for c in "\u2603\u0e01\x07\U0001f600\u05d0" if c not in charset)
        (back,) = decoder.decode(decoder.encode([f"{foreign}{text}{foreign}"]))
        require(back == text, f"{text!r} between two foreign characters came back as {back!r}")

    @contract("Q3", "tokens lie in [0, vocabulary_size), and pad_id fills the rest of each row")
    def test_q3_tokens_are_in_range(self) -> None:
        """Padding inside a row would end it early."""
        decoder = self.make_decoder()
        for row in decoder.encode(self._texts()).tolist():
            length = len(row) if decoder.pad_id not in row else row.index(decoder.pad_id)
            require(all(t == decoder.pad_id for t in row[length:]), f"padding inside the row {row}")
            fine = all(0 <= t < decoder.vocabulary_size for t in row[:length])
            require(fine, f"the row {row} leaves [0, {decoder.vocabulary_size})")

    @contract("Q4", "logits() are finite, [N, S, vocabulary_size], also for no words")
    def test_q4_logits_have_the_right_shape(self) -> None:
        """S is the decoder's own affair: steps of attention, columns of CTC."""
        decoder, context, targets = self._decoding()
        logits = decoder.logits(context, targets)
        shape = tuple(logits.shape)
        fine = len(shape) == 3 and shape[0] == WORDS and shape[2] == decoder.vocabulary_size
        require(fine, f"the shape is {shape}, not [{WORDS}, S, {decoder.vocabulary_size}]")
        require(bool(logits.isfinite().all()), "some logits are not finite")
        none = decoder.logits(context[:0], targets[:0])
        require(none.dim() == 3 and len(none) == 0, f"no words gave the shape {tuple(none.shape)}")

    @contract("Q5", "loss() is a finite, non-negative scalar whose gradient reaches context and parameters")
    def test_q5_loss_teaches(self) -> None:
        """Every parameter that asks for a gradient gets one."""
        decoder, context, targets = self._decoding()
        decoder.train()
        context.requires_grad_()
        loss = decoder.loss(context, targets)
        require(loss.dim() == 0 and bool(loss.isfinite()), f"the loss is {loss}")
        require(float(loss.detach()) >= 0, f"a negative log-likelihood cannot be {float(loss.detach())}")
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = context.grad
        require(gradient is not None and float(gradient.abs().sum()) > 0, "no gradient reaches the context")
        idle = [n for n, p in decoder.named_parameters() if p.requires_grad and p.grad is None]
        require(not idle, f"no gradient reaches {', '.join(idle)}")

    @contract("Q6", "loss() of no words is a zero that keeps the graph")
    def test_q6_loss_of_no_words_is_zero(self) -> None:
        """A NaN here ends training on the first batch without text."""
        decoder, context, targets = self._decoding()
        none = context[:0].clone().requires_grad_()
        loss = decoder.loss(none, targets[:0])
        require(loss.dim() == 0 and float(loss.detach()) == 0, f"the loss of no words is {loss}, not 0")
        require(loss.requires_grad, "the loss of no words has no graph; use context.sum() * 0")
        loss.backward()  # type: ignore[no-untyped-call]

    @contract("Q7", "beam_search() gives k distinct hypotheses per word, best first, with true lengths")
    def test_q7_beam_search_is_sorted_and_distinct(self) -> None:
        """-inf marks those that do not exist."""
        decoder, context, _ = self._decoding()
        for k in (1, 3):
            found = decoder.beam_search(context, k)
            self._hypotheses(found, k)
            falling = found.log_probs.diff(dim=1).nan_to_num(nan=0.0) <= TOLERANCE
            require(bool(falling.all()), f"the log-probabilities do not fall: {found.log_probs.tolist()}")
            require(bool((found.log_probs <= TOLERANCE).all()), "a log-probability is above 0")
            for rows, lengths, scores in zip(found.tokens, found.lengths, found.log_probs, strict=True):
                real = [
                    tuple(r[:n].tolist())
                    for r, n, s in zip(rows, lengths, scores, strict=True)
                    if s > -torch.inf
                ]
                require(bool(real), "a word has no hypothesis at all")
                require(len(set(real)) == len(real), f"one hypothesis occurs twice: {real}")
        none = decoder.beam_search(context[:0], 3)
        require(
            none.tokens.shape[0] == 0 and none.log_probs.shape[0] == 0, "no words must give no hypotheses"
        )

    @contract("Q8", "log_prob() of a hypothesis is what beam_search() said of it")
    def test_q8_beam_search_and_log_prob_agree(self) -> None:
        """Together, the probabilities of one word's hypotheses stay at or below 1."""
        decoder, context, _ = self._decoding()
        found = decoder.beam_search(context, 3)
        real = found.log_probs > -torch.inf
        again = decoder.log_prob(context, found.tokens)
        require(again.shape == found.log_probs.shape, f"[N, k, L] gave {tuple(again.shape)}, not [N, k]")
        gap = (again - found.log_probs)[real].abs()
        allowed = TOLERANCE * (1 + found.log_probs[real].abs())
        require(bool((gap <= allowed).all()), f"they differ by up to {float(gap.detach().max()):.4f}")
        total = float(found.log_probs.detach().exp().sum(1).max())
        require(
            total <= 1 + TOLERANCE, f"the hypotheses of one word have the probability {total:.4f} together"
        )

    @contract("Q9", "log_prob() is finite for any text, and does not depend on padding or on other words")
    def test_q9_log_prob_stands_alone(self) -> None:
        """[N, L] gives [N], the same as [N, 1, L], and the gradient reaches the context."""
        decoder, context, targets = self._decoding()
        context.requires_grad_()
        together = decoder.log_prob(context, targets)
        require(tuple(together.shape) == (WORDS,), f"[N, L] gave the shape {tuple(together.shape)}, not [N]")
        require(
            bool(together.isfinite().all()),
            f"some log-probabilities are not finite: {together.detach().tolist()}",
        )
        grouped = decoder.log_prob(context, targets.unsqueeze(1)).squeeze(1)
        self._agree(together, grouped, "[N, L] and [N, 1, L] differ")
        for row, text in enumerate(self._texts()):
            own = decoder.log_prob(context[row : row + 1], decoder.encode([text]))
            self._agree(together[row : row + 1], own, f"'{text}' alone differs from '{text}' among others")
        together.sum().backward()  # type: ignore[no-untyped-call]
        reached = context.grad is not None and bool((context.grad.abs().flatten(1).sum(1) > 0).all())
        require(reached, "no gradient of log_prob reaches the context of some words")

    @contract("Q10", "in eval mode the decoder is deterministic and does not change itself")
    def test_q10_is_deterministic(self) -> None:
        """Beam search keeps no state."""
        decoder, context, targets = self._decoding()
        before = compare.snapshot(decoder)
        first, second = decoder.beam_search(context, 3), decoder.beam_search(context, 3)
        require(torch.equal(first.tokens, second.tokens), "two beam searches found different hypotheses")
        self._agree(
            decoder.log_prob(context, targets), decoder.log_prob(context, targets), "two calls differ"
        )
        moved = compare.changed(before, compare.snapshot(decoder))
        require(not moved, f"decoding changed {', '.join(moved)}")

    def _decoding(self) -> tuple[SequenceDecoder, Tensor, Tensor]:
        decoder = self.make_decoder()
        context = self.make_context(decoder, WORDS).detach().clone()
        if len(context) != WORDS:
            skip(f"make_context gave {len(context)} rows, not {WORDS}")
        return decoder, context, decoder.encode(self._texts()).to(context.device)

    def _hypotheses(self, found: Hypotheses, k: int) -> None:
        rows, width, length = found.tokens.shape
        require(
            rows == WORDS and 1 <= width <= k, f"k = {k} gave tokens of shape {tuple(found.tokens.shape)}"
        )
        for name in ("lengths", "log_probs"):
            shape = tuple(getattr(found, name).shape)
            require(shape == (rows, width), f"{name} has the shape {shape}, not {(rows, width)}")
        fine = (found.lengths >= 0) & (found.lengths <= length)
        require(bool(fine.all()), f"lengths leave [0, {length}]: {found.lengths.tolist()}")

    def _agree(self, one: Tensor, other: Tensor, what: str) -> None:
        gap = (one - other).abs() - TOLERANCE * (1 + one.abs())
        require(bool((gap <= 0).all()), f"{what}: {one.detach().tolist()} and {other.detach().tolist()}")
