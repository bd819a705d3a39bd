"""The terms of distillation: contracts, golden values by hand, finite differences, hard words."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dld_backends.recognition.attention import AttentionDecoder
from dld_core.decoders.charset import Charset
from dld_core.decoders.ctc import CTCDecoder
from dld_core.distillation.detection import (
    box_divergence,
    map_divergence,
    shrink,
    with_teacher_boxes,
)
from dld_core.distillation.skd import SequentialDistiller
from dld_core.distillation.terms import (
    feature_distance,
    hypothesis_weights,
    logit_divergence,
    sequence_loss,
)
from dld_core.errors import ConfigError
from dld_core.interfaces import Distiller, SequenceDecoder
from dld_core.plugins.registry import distillers
from dld_core.testing import DistillerContract
from dld_core.testing.reference import ColumnDecoder
from dld_core.types import Batch, BoxOutputs, DenseMap, Hypotheses, RecognitionTrace


class TestSKD(DistillerContract):
    def make(self) -> Distiller:
        return SequentialDistiller()


class TestLogitKD(DistillerContract):
    def make(self) -> Distiller:
        return SequentialDistiller(roi_features=0, context=0, sequence=0, logit=1)


class TestEverythingWithHypotheses(DistillerContract):
    """All terms, weighted by the teacher, on traces that carry the teacher's readings."""

    def make(self) -> Distiller:
        return SequentialDistiller(logit=0.5, weighting="teacher", per="word", k=2)

    def make_trace(self, seed: int, words: int = 4) -> RecognitionTrace:
        trace = super().make_trace(seed, words)
        said = self.make_decoder().beam_search(trace.context, 2)
        return dataclasses.replace(trace, hypotheses=said)


class Scripted(SequenceDecoder):
    """A decoder whose log-probabilities are the context itself: golden values without a network."""

    pad_id, vocabulary_size = 9, 9

    def encode(self, texts: Any) -> Tensor:
        raise NotImplementedError

    decode = logits = loss = encode

    def log_prob(self, context: Tensor, tokens: Tensor) -> Tensor:
        return context[:, : tokens.shape[1], 0]

    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        raise NotImplementedError


def said(log_probs: list[list[float]], lengths: list[list[int]]) -> Hypotheses:
    tokens = torch.zeros((len(lengths), len(lengths[0]), 8), dtype=torch.int64)
    return Hypotheses(tokens, torch.tensor(lengths), torch.tensor(log_probs))


def trace(**changes: Any) -> RecognitionTrace:
    values = {
        "roi_features": torch.zeros(2, 1, 1, 2),
        "context": torch.zeros(2, 3, 1),
        "logits": torch.zeros(2, 1, 2),
        "targets": torch.zeros(2, 1, dtype=torch.int64),
        "sample_index": torch.zeros(2, dtype=torch.int64),
    }
    return RecognitionTrace(**{**values, **changes})


# -- golden values ------------------------------------------------------------------------------------------


def test_feature_distance_is_a_mean_over_elements_and_knows_no_temperature() -> None:
    teacher, student = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])
    assert feature_distance(teacher, student) == pytest.approx((4 + 9) / 2)
    assert feature_distance(teacher.repeat(7, 3), student.repeat(7, 3)) == pytest.approx((4 + 9) / 2)


def test_sequence_loss_sums_log_probabilities_and_divides_by_tokens_or_words() -> None:
    context = torch.tensor([[[-2.0], [-4.0]], [[-6.0], [-100.0]]])
    hypotheses = said([[-0.1, -0.2], [-0.3, -math.inf]], [[3, 4], [5, 0]])
    # the first word: half of -2 and half of -4; the second has one hypothesis alone
    total = (0.5 * 2 + 0.5 * 4) + 6
    by_word = sequence_loss(Scripted(), context, hypotheses, per="word")
    assert by_word == pytest.approx(total / 2)
    by_character = sequence_loss(Scripted(), context, hypotheses, per="character")
    assert by_character == pytest.approx(total / (0.5 * 3 + 0.5 * 4 + 5))


def test_the_teachers_own_probabilities_may_weigh_its_hypotheses() -> None:
    log_probs = torch.tensor([[math.log(0.6), math.log(0.2), -math.inf]])
    torch.testing.assert_close(hypothesis_weights(log_probs, "teacher"), torch.tensor([[0.75, 0.25, 0.0]]))
    torch.testing.assert_close(hypothesis_weights(log_probs, "uniform"), torch.tensor([[0.5, 0.5, 0.0]]))
    context = torch.tensor([[[-1.0], [-3.0], [-50.0]]])
    loss = sequence_loss(Scripted(), context, said(log_probs.tolist(), [[1, 1, 1]]), "teacher")
    assert loss == pytest.approx(0.75 * 1 + 0.25 * 3)


def test_what_the_student_cannot_say_gives_no_infinite_loss() -> None:
    context = torch.tensor([[[-1.0], [-math.inf]]], requires_grad=True)
    loss = sequence_loss(Scripted(), context, said([[-0.1, -0.2]], [[1, 1]]))
    loss.backward()
    assert loss.item() == pytest.approx(0.5 / 1)  # half the weight is gone, and less than a token stays
    assert context.grad is not None
    assert bool(context.grad.isfinite().all())


def test_logit_divergence_is_kl_at_a_temperature_over_the_steps_that_count() -> None:
    teacher = torch.tensor([[[0.0, math.log(9.0)], [5.0, 0.0]]])
    student = torch.zeros(1, 2, 2)
    # at temperature 2 the teacher says (1/4, 3/4): square roots of 1 : 9
    kl = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    counts = torch.tensor([[True, False]])
    assert logit_divergence(teacher, student, counts, 2.0) == pytest.approx(4 * kl)


def test_map_divergence_weighs_text_and_background_alike() -> None:
    wanted, given = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(1, 2, 2)
    teacher = DenseMap(torch.logit(wanted.clamp(1e-6, 1 - 1e-6))[None], 1)
    loss = map_divergence(teacher, DenseMap(given, 1), [(2, 2)], [(2, 2)])
    assert loss == pytest.approx(math.log(2), abs=1e-4)
    rare = map_divergence(teacher, DenseMap(torch.full((1, 2, 2), -8.0), 1), [(2, 2)], [(2, 2)])
    assert rare == pytest.approx(8.0 / 2, abs=0.01)  # the one position of text is half of the loss
    fifth = map_divergence(teacher, DenseMap(torch.full((1, 2, 2), -8.0), 1), [(2, 2)], [(2, 2)], 0.2)
    assert fifth == pytest.approx(8.0 / 5, abs=0.01)


def test_maps_are_averaged_down_without_their_padding() -> None:
    large = torch.full((1, 8, 12), 50.0)
    large[:, :4, :8] = torch.logit(torch.tensor(0.25))
    student = DenseMap(torch.full((1, 4, 8), 3.0), 2)
    student.logits[:, :1, :2] = torch.logit(torch.tensor(0.25))
    loss = map_divergence(DenseMap(large, 2), student, [(8, 16)], [(2, 4)])
    assert loss == pytest.approx(0, abs=1e-5)
    halved = shrink(torch.tensor([[0.0, 1.0, 0.0, 1.0]] * 4), (1, 1))
    assert halved.item() == pytest.approx(0.5, abs=1e-6)


def box_outputs(logits: list[list[float]], deltas: list[list[float]] | None = None) -> BoxOutputs:
    rows = torch.tensor(logits).reshape(-1, 2)
    return BoxOutputs(
        [torch.zeros(len(rows), 4)], rows, torch.tensor(deltas or [[0.0] * 4] * len(rows)).reshape(-1, 4)
    )


def test_classes_of_text_and_background_weigh_alike() -> None:
    teacher = box_outputs([[0.0, 30.0]] + [[30.0, 0.0]] * 9)
    doubtful = box_outputs([[0.0, 0.0]] + [[30.0, 0.0]] * 9)
    assert box_divergence(teacher, doubtful)["class"] == pytest.approx(math.log(2) / 2)
    assert box_divergence(teacher, teacher)["class"] == pytest.approx(0, abs=1e-6)
    rest = box_outputs([[0.0, 30.0]] + [[0.0, 0.0]] * 9)
    assert box_divergence(teacher, rest)["class"] == pytest.approx(math.log(2) / 2)
    assert box_divergence(teacher, rest, 0.2)["class"] == pytest.approx(math.log(2) * 0.8)


def test_boxes_are_compared_where_there_is_text() -> None:
    logits = [[0.0, 30.0], [30.0, 0.0]]
    teacher = box_outputs(logits, [[0.0] * 4, [0.0] * 4])
    student = box_outputs(logits, [[1.0, 0.0, 0.0, 0.0], [50.0] * 4])
    assert box_divergence(teacher, student)["box"] == pytest.approx(1 - 1 / 18, abs=1e-5)


def test_no_boxes_are_no_distance_and_keep_the_graph() -> None:
    given = torch.zeros(0, 2, requires_grad=True)
    student = BoxOutputs([torch.zeros(0, 4)], given, torch.zeros(0, 4))
    loss = box_divergence(box_outputs([]), student)["class"]
    assert loss == 0
    loss.backward()  # type: ignore[no-untyped-call]


def test_boxes_are_shown_in_the_pixels_of_the_view() -> None:
    large, small = (
        Batch([torch.zeros(3, *size)], [[]], [[]], [torch.zeros(0)]) for size in ((40, 60), (20, 15))
    )
    seen = BoxOutputs([torch.tensor([[4.0, 10.0, 60.0, 40.0]])], torch.zeros(1, 2), torch.zeros(1, 4))
    view = with_teacher_boxes(small, seen, large)
    assert view.teacher_boxes is not None
    assert view.teacher_boxes[0].tolist() == [[1.0, 5.0, 15.0, 20.0]]
    assert small.teacher_boxes is None


# -- the sequence term on real decoders ---------------------------------------------------------------------


def decoders() -> list[SequenceDecoder]:
    torch.manual_seed(0)
    letters = Charset("abcd")
    return [AttentionDecoder(letters, 6, hidden=5, embedding=4, max_length=5), CTCDecoder(letters, 6)]


@pytest.mark.parametrize("decoder", decoders(), ids=lambda d: type(d).__name__)
def test_sequence_gradient_agrees_with_finite_differences(decoder: SequenceDecoder) -> None:
    """In float32, as recurrences run: central differences with a step that its rounding bears."""
    generator = torch.Generator().manual_seed(1)
    hypotheses = decoder.beam_search(torch.randn((2, 7, 6), generator=generator), 3)
    context = torch.randn((2, 7, 6), generator=generator).requires_grad_()
    sequence_loss(decoder, context, hypotheses, "teacher").backward()
    assert context.grad is not None
    for _ in range(5):
        direction = torch.randn(context.shape, generator=generator)
        step = 1e-2
        with torch.no_grad():
            up, down = (
                sequence_loss(decoder, context + sign * step * direction, hypotheses, "teacher")
                for sign in (1, -1)
            )
        slope = float(up - down) / (2 * step)
        assert float((context.grad * direction).sum()) == pytest.approx(slope, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("decoder", decoders(), ids=lambda d: type(d).__name__)
def test_hard_words_keep_their_gradient(decoder: SequenceDecoder) -> None:
    """-log(p + 1e-5) of a product of probabilities is flat where p is 1e-30; the sum of logarithms is not."""
    with torch.no_grad():
        for parameter in decoder.classify.parameters():  # type: ignore[union-attr]
            parameter.mul_(60.0)
    generator = torch.Generator().manual_seed(2)
    context = torch.randn((1, 7, 6), generator=generator).requires_grad_()
    texts = decoder.encode(["".join(letters) for letters in itertools.product("abcd", repeat=4)])
    log_prob, place = decoder.log_prob(context, texts[None])[0].min(0)
    assert float(log_prob.detach()) < -30
    worst = Hypotheses(texts[None, place, None], torch.tensor([[4]]), torch.zeros(1, 1))
    (flat,) = torch.autograd.grad(-torch.log(log_prob.exp() + 1e-5), context, retain_graph=True)
    (steep,) = torch.autograd.grad(sequence_loss(decoder, context, worst), context)
    assert float(flat.abs().max()) < 1e-6
    assert float(steep.abs().max()) > 1


# -- the distiller ------------------------------------------------------------------------------------------


def test_a_weight_scales_its_term_and_zero_leaves_it_out() -> None:
    teacher, student = trace(), trace(context=torch.full((2, 3, 1), 2.0), roi_features=torch.ones(2, 1, 1, 2))
    only = SequentialDistiller(sequence=0, roi_features=0, context=3)
    assert {n: float(v) for n, v in only(teacher, student, Scripted()).items()} == {"context": 12.0}
    assert only.hypotheses == 0
    assert only.zero_when_equal == {"context"}


def test_the_teachers_own_readings_are_used_where_the_trace_has_them() -> None:
    """Scripted cannot search: without readings in the trace this would fail."""
    distiller = SequentialDistiller(k=1, roi_features=0, context=0)
    assert distiller.hypotheses == 1
    teacher = trace(hypotheses=said([[-0.1, -9.0]] * 2, [[2, 1]] * 2))
    student = trace(context=torch.tensor([[[-4.0], [-100.0]]] * 2))
    assert float(distiller(teacher, student, Scripted())["sequence"]) == pytest.approx(4 / 2)
    with pytest.raises(NotImplementedError):
        distiller(trace(), student, Scripted())


def test_logit_term_asks_the_decoder_which_steps_count() -> None:
    letters = Charset("abcd")
    column, ctc = ColumnDecoder("abcd", 4), CTCDecoder(letters, 4)
    targets = torch.tensor([[1, column.end_id, column.pad_id]])
    assert column.counted_steps(torch.zeros(1, 3, 5), targets).tolist() == [[True, True, False]]
    assert ctc.counted_steps(torch.zeros(1, 3, 5), torch.tensor([[1, 0, 0]])).all()


def test_traces_that_cannot_be_compared_are_explained() -> None:
    wide = trace(roi_features=torch.zeros(2, 1, 1, 5))
    with pytest.raises(ConfigError, match=r"'roi_features' cannot compare them; give both spotters"):
        SequentialDistiller(sequence=0)(trace(), wide, Scripted())
    assert SequentialDistiller(sequence=0, roi_features=0)(trace(), wide, Scripted())["context"] == 0
    fewer = trace(targets=torch.zeros(1, 1, dtype=torch.int64))
    with pytest.raises(ConfigError, match="2 rows and the student's 1"):
        SequentialDistiller()(trace(), fewer, Scripted())
    with pytest.raises(ConfigError, match="did you mean 'sequence'"):
        SequentialDistiller(sequnce=1)
    with pytest.raises(ConfigError, match="every term has the weight 0"):
        SequentialDistiller(roi_features=0, context=0, sequence=0)


def test_it_is_registered_like_anybody_elses() -> None:
    assert distillers.get("skd") is SequentialDistiller
