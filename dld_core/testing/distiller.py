"""The contracts of every Distiller (D1 ...)."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor

from dld_core.interfaces import Distiller, SequenceDecoder
from dld_core.testing import compare, samples
from dld_core.testing.kit import contract, require
from dld_core.testing.reference import ColumnDecoder
from dld_core.types import Hypotheses, RecognitionTrace

ZERO = 1e-6
SAME = 1e-4
_CHARSET = "abcdefgh"
_WORDS, _COLUMNS, _FEATURES = 4, 6, 12
_TENSORS = ("roi_features", "context", "logits")


class DistillerContract:
    """Write `make`; override `make_decoder` and `make_trace` where it needs traces of other shapes."""

    def make(self) -> Distiller:
        """A new distiller."""
        raise NotImplementedError("write make(self), which returns the distiller to check")

    def make_decoder(self) -> SequenceDecoder:
        """The student's decoder; the same weights every time."""
        with compare.seeded():
            return ColumnDecoder(_CHARSET, _FEATURES)

    def make_trace(self, seed: int, words: int = _WORDS) -> RecognitionTrace:
        """A trace of so many words whose tensors depend on the seed; targets depend on nothing."""
        decoder = self.make_decoder()
        generator = torch.Generator().manual_seed(seed)
        context = torch.randn((_WORDS, _COLUMNS, _FEATURES), generator=generator)[:words]
        features = torch.randn((_WORDS, 5, 2, 8), generator=generator)[:words]
        targets = decoder.encode(samples.texts_in(_CHARSET, _WORDS))[:words]
        logits = decoder.logits(context, targets).detach()
        return RecognitionTrace(features, context, logits, targets, torch.arange(words) // 2)

    @contract("D1", "it returns named, finite, non-negative scalar losses")
    def test_d1_returns_named_losses(self) -> None:
        """The caller adds them up."""
        losses = self._losses(self.make_trace(0), self.make_trace(1))
        require(isinstance(losses, dict) and losses, f"it returned {losses!r:.80}; give losses by name")
        for name, loss in losses.items():
            require(isinstance(loss, Tensor) and loss.dim() == 0, f"'{name}' is no scalar tensor")
            require(
                bool(loss.isfinite()) and float(loss.detach()) >= 0, f"'{name}' is {float(loss.detach())}"
            )

    @contract("D2", "every term of zero_when_equal exists, and is 0 where student and teacher agree")
    def test_d2_is_zero_where_it_says_so(self) -> None:
        """A term that is not, like a sequence loss, does not claim it."""
        same = self._losses(self.make_trace(0), self.make_trace(0))
        for name in sorted(self.make().zero_when_equal):
            require(name in same, f"zero_when_equal names '{name}', which is none of {sorted(same)}")
            require(
                abs(float(same[name].detach())) <= ZERO,
                f"'{name}' is {float(same[name].detach())} for equal traces",
            )

    @contract("D3", "every term is above 0 where student and teacher differ")
    def test_d3_is_positive_where_they_differ(self) -> None:
        """The other way round: a term that is always 0 teaches nothing."""
        for name, loss in self._losses(self.make_trace(0), self.make_trace(1)).items():
            require(float(loss.detach()) > ZERO, f"'{name}' is {float(loss.detach())} for traces that differ")

    @contract("D4", "every term teaches the student, and no gradient reaches the teacher")
    def test_d4_teaches_the_student_alone(self) -> None:
        """The teacher is frozen; its tensors may still ask for gradients."""
        for name in self._losses(self.make_trace(0), self.make_trace(1)):
            teacher, student = self._leaf(self.make_trace(0)), self._leaf(self.make_trace(1))
            loss = self._losses(teacher, student)[name]
            require(loss.requires_grad, f"'{name}' carries no gradient")
            loss.backward()  # type: ignore[no-untyped-call]
            taught = [f for f in _TENSORS if getattr(student, f).grad is not None]
            require(bool(taught), f"'{name}' reaches nothing of the student's trace")
            touched = [f for f in _TENSORS if getattr(teacher, f).grad is not None]
            require(
                not touched, f"'{name}' sends a gradient to the teacher's {', '.join(touched)}; detach it"
            )

    @contract("D5", "traces without words give finite terms with a backward pass")
    def test_d5_takes_no_words(self) -> None:
        """A mean over nothing is NaN."""
        teacher, student = self.make_trace(0, words=0), self._leaf(self.make_trace(1, words=0))
        losses = self._losses(teacher, student)
        for name, loss in losses.items():
            require(bool(loss.isfinite()), f"'{name}' is {float(loss.detach())} without words")
        total = torch.stack(list(losses.values())).sum()
        require(total.requires_grad, "the terms carry no graph without words; backward() would fail")
        total.backward()  # type: ignore[no-untyped-call]

    @contract("D6", "the order of the words does not matter")
    def test_d6_does_not_depend_on_the_order(self) -> None:
        """Rows are compared with their own counterparts alone."""
        teacher, student = self.make_trace(0), self.make_trace(1)
        order = torch.arange(len(teacher.targets)).flip(0)
        losses = self._losses(teacher, student)
        for name, loss in self._losses(_reordered(teacher, order), _reordered(student, order)).items():
            gap = float((loss - losses[name]).detach().abs())
            require(gap <= SAME * (1 + float(loss.detach().abs())), f"'{name}' moves by {gap:.6f}")

    @contract("D7", "it is repeatable, and leaves both traces and the decoder as they were")
    def test_d7_changes_nothing(self) -> None:
        """Other terms are computed from the same traces."""
        distiller, decoder = self.make(), self.make_decoder()
        teacher, student = self.make_trace(0), self.make_trace(1)
        copies, weights = copy.deepcopy((teacher, student)), compare.snapshot(decoder)
        first, second = distiller(teacher, student, decoder), distiller(teacher, student, decoder)
        for name, loss in first.items():
            require(torch.allclose(loss, second[name], rtol=SAME), f"'{name}' differs between two calls")
        for before, after in zip(copies, (teacher, student), strict=True):
            for name in _fields(before):
                same = torch.equal(_fields(before)[name], _fields(after)[name])
                require(same, f"it wrote into {name}")
        moved = compare.changed(weights, compare.snapshot(decoder))
        require(not moved, f"it changed the decoder: {', '.join(moved)}")

    def _losses(self, teacher: RecognitionTrace, student: RecognitionTrace) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.make()(teacher, student, self.make_decoder())
        return losses

    def _leaf(self, trace: RecognitionTrace) -> RecognitionTrace:
        """The same trace whose tensors collect gradients."""
        leaves = {name: getattr(trace, name).detach().clone().requires_grad_() for name in _TENSORS}
        return dataclasses.replace(trace, **leaves)


def _reordered(trace: RecognitionTrace, order: Tensor) -> RecognitionTrace:
    rows = {name: value[order] for name, value in _fields(trace).items() if "." not in name}
    read = trace.hypotheses
    if read is not None:
        read = Hypotheses(read.tokens[order], read.lengths[order], read.log_probs[order])
    return RecognitionTrace(**rows, hypotheses=read)


def _fields(trace: RecognitionTrace) -> dict[str, Tensor]:
    """Every tensor of a trace by its name, those of its hypotheses too where it has some."""
    found = {f.name: getattr(trace, f.name) for f in dataclasses.fields(trace) if f.name != "hypotheses"}
    if trace.hypotheses is not None:
        read = trace.hypotheses
        found |= {f"hypotheses.{f.name}": getattr(read, f.name) for f in dataclasses.fields(read)}
    return found
