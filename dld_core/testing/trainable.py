"""The contracts of every TrainableSpotter (T1 ...), on top of those of a Spotter and of its decoder."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dld_core.interfaces import SequenceDecoder, TrainableSpotter
from dld_core.testing import compare, samples
from dld_core.testing.decoder import SequenceDecoderContract
from dld_core.testing.kit import contract, require
from dld_core.testing.spotter import SpotterContract
from dld_core.types import Batch, RecognitionTrace, TrainOutput

LOSS = 1e-4  # relative; the same batch twice in float32


class TrainableSpotterContract(SpotterContract, SequenceDecoderContract):
    """Write `make`, as for a SpotterContract; it must return a TrainableSpotter, small enough to train."""

    def make(self) -> TrainableSpotter:
        """A new trainable spotter in eval mode; the same architecture every time."""
        raise NotImplementedError("write make(self), which returns the trainable spotter to check")

    def batch(self) -> Batch:
        """Annotated images in which at least one word is don't-care and one image has no word."""
        return samples.batch(self.make().charset)

    def make_decoder(self) -> SequenceDecoder:
        """The spotter's own decoder."""
        return self.make().decoder.eval()

    def make_context(self, decoder: SequenceDecoder, count: int) -> Tensor:
        """Random states of the shape that this spotter's traces have."""
        del decoder
        with torch.no_grad():
            shape = self.make().recognize(self.batch()).context.shape
        return torch.randn((count, *shape[1:]), generator=torch.Generator().manual_seed(0))

    def make_charset(self) -> str:
        """The spotter's characters."""
        return self.make().charset

    @contract("T1", "the spotter is an nn.Module in eval mode whose decoder and parameters are its own")
    def test_t1_is_a_module(self) -> None:
        """The decoder is registered, so that it is trained, moved and saved with the rest."""
        s = self.make()
        require(isinstance(s, nn.Module), f"{type(s).__name__} is no nn.Module")
        require(not s.training, "make() and create() must return it in eval mode; call .eval()")
        require(isinstance(s.decoder, SequenceDecoder), f"decoder is a {type(s.decoder).__name__}")
        own = {id(parameter) for parameter in s.parameters()}
        require(bool(own), "it has no parameters to train")
        strange = [n for n, p in s.decoder.named_parameters() if id(p) not in own]
        require(not strange, f"the decoder's {', '.join(strange)} are not among the spotter's parameters")

    @contract("T2", "forward_train() returns named, finite scalar losses and a trace")
    def test_t2_returns_named_losses(self) -> None:
        """Weights are already applied; the caller adds the losses up."""
        output = self._train(self.make(), self.batch())
        require(isinstance(output, TrainOutput), f"it returned a {type(output).__name__}")
        require(isinstance(output.trace, RecognitionTrace), "its trace is no RecognitionTrace")
        require(bool(output.losses), "there is no loss")
        self._finite(output)

    @contract("T3", "the gradient of the losses reaches every parameter that asks for one")
    def test_t3_gradients_reach_the_parameters(self) -> None:
        """A parameter without gradient stops training on several devices."""
        spotter = self.make()
        total = sum(self._train(spotter, self.batch()).losses.values())
        require(isinstance(total, Tensor) and total.requires_grad, "the losses carry no gradient")
        total.backward()  # type: ignore[union-attr]
        wanted = {n: p.grad for n, p in spotter.named_parameters() if p.requires_grad}
        idle = sorted(n for n, g in wanted.items() if g is None)
        require(not idle, f"no gradient reaches {', '.join(idle[:6])} ({len(idle)} in all)")
        wild = sorted(n for n, g in wanted.items() if g is not None and not bool(g.isfinite().all()))
        require(not wild, f"the gradients of {', '.join(wild[:6])} are not finite")
        require(any(bool(g.any()) for g in wanted.values() if g is not None), "every gradient is zero")

    @contract("T4", "a batch without words has finite losses and a backward pass")
    def test_t4_trains_on_images_without_words(self) -> None:
        """Two thirds of the photos of a street hold no text."""
        spotter = self.make()
        output = self._train(spotter, samples.without_words(self.batch()))
        self._finite(output)
        total = sum(output.losses.values())
        require(
            isinstance(total, Tensor) and total.requires_grad, "the losses carry no graph; backward() fails"
        )
        total.backward()  # type: ignore[union-attr]
        grads = [p.grad for p in spotter.parameters() if p.grad is not None]
        require(all(bool(g.isfinite().all()) for g in grads), "some gradients are not finite")

    @contract("T5", "what a don't-care word says changes no loss, and it has no row in the trace")
    def test_t5_ignores_dont_care_words(self) -> None:
        """Nobody knows what an unreadable word says; its transcription is filler."""
        given, other = self.batch(), self.batch()
        known = [text for _, text in samples.readable(given)]
        for texts, ignore in zip(other.texts, other.ignore, strict=True):
            for index in ignore.nonzero().flatten().tolist():
                texts[index] = known[0] + known[-1]
        spotter = self.make()
        one, two = (self._train(copy.deepcopy(spotter), b) for b in (given, other))
        for name, loss in one.losses.items():
            gap = float((loss - two.losses[name]).detach().abs())
            require(gap <= LOSS * (1 + float(loss.detach().abs())), f"the loss '{name}' moves by {gap:.6f}")
        rows, words = len(one.trace.targets), len(known)
        require(rows == words, f"the trace has {rows} rows for {words} words that are no don't-care")

    @contract("T6", "traces are consistent: N rows in every field, of the kinds and shapes they declare")
    def test_t6_traces_have_consistent_shapes(self) -> None:
        """From forward_train and from recognize, with words and without."""
        spotter, given = self.make(), self.batch()
        for batch in (given, samples.without_words(given)):
            rows = len(samples.readable(batch))
            self._shapes(spotter, self._train(spotter, batch).trace, rows)
            self._shapes(spotter, spotter.eval().recognize(batch), rows)

    @contract("T7", "rows come in the order of the batch: images, then words, with their texts as targets")
    def test_t7_rows_follow_the_batch(self) -> None:
        """Otherwise a teacher's and a student's rows cannot line up."""
        spotter, given = self.make(), self.batch()
        words = samples.readable(given)
        for trace in (spotter.recognize(given), self._train(spotter, given).trace):
            images = trace.sample_index.tolist()
            require(images == [i for i, _ in words], f"sample_index is {images}, not {[i for i, _ in words]}")
            texts = spotter.decoder.decode(trace.targets)
            require(texts == [t for _, t in words], f"the targets say {texts}, not {[t for _, t in words]}")

    @contract("T8", "recognize() gives the same rows at half the resolution, in tensors of the same shape")
    def test_t8_rows_line_up_across_resolutions(self) -> None:
        """This is what the student's traces are compared by."""
        spotter, given = self.make(), self.batch()
        with torch.no_grad():
            full, half = spotter.recognize(given), spotter.recognize(samples.halved(given))
        for name in ("targets", "sample_index"):
            same = torch.equal(getattr(full, name), getattr(half, name))
            require(same, f"{name} differs: {getattr(full, name).tolist()}, {getattr(half, name).tolist()}")
        for name in ("roi_features", "context", "logits"):
            shapes = [tuple(getattr(trace, name).shape) for trace in (full, half)]
            require(shapes[0] == shapes[1], f"{name} has the shapes {shapes[0]} and {shapes[1]}")

    @contract("T9", "recognize() carries gradients, and in eval mode it is repeatable and changes nothing")
    def test_t9_recognize_is_differentiable_and_pure(self) -> None:
        """Features, states and logits all lead back to the parameters."""
        spotter, given = self.make(), self.batch()
        before = compare.snapshot(spotter)
        one, two = spotter.recognize(given), spotter.recognize(given)
        moved = compare.changed(before, compare.snapshot(spotter))
        require(not moved, f"recognize changed {', '.join(moved[:6])}")
        for name in ("roi_features", "context", "logits"):
            require(getattr(one, name).requires_grad, f"{name} carries no gradient")
            same = torch.allclose(getattr(one, name), getattr(two, name), atol=1e-5)
            require(same, f"two calls give different {name}")

    @contract("T10", "after load_state_dict() of its state_dict() another instance does the same")
    def test_t10_state_dict_holds_everything(self) -> None:
        """What is not in the state dict is not in the saved weights."""
        first, second = self.make(), self.make()
        with torch.no_grad():
            for index, parameter in enumerate(first.parameters()):
                parameter.mul_(1 + 0.01 * (index % 3))
        second.load_state_dict(first.state_dict())
        with torch.no_grad():
            one, two = first.recognize(self.batch()), second.recognize(self.batch())
        require(torch.allclose(one.logits, two.logits, atol=1e-5), "the logits differ")
        for image in self.images():
            self._same(self._predict_one(first, image), self._predict_one(second, image), "the words differ")

    @contract(
        "T11", "awkward labels are trained on: foreign characters, long texts, slivers, words off the image"
    )
    def test_t11_survives_awkward_labels(self) -> None:
        """Every data set has them."""
        given = self.batch()
        (text, *_), q = samples.texts_in(self.make().charset, 1), samples.quad
        height, width = given.images[0].shape[1:]
        words = {
            "\u2603\U0001f600": q(4, 4, 60, 30),
            text * 40: q(4, 4, 180, 40),
            text: q(10, 10, 10, 10),
            text[:2]: q(20, 20, 60, 20.2),
            text[:3]: q(-60, -20, 30, 20),
            text[::-1]: q(width + 5, height + 5, width + 80, height + 40),
            "": q(30, 50, 90, 70),
        }
        given.texts[0], given.polygons[0] = list(words), list(words.values())
        given.ignore[0] = torch.zeros(len(words), dtype=torch.bool)
        output = self._train(self.make(), given)
        self._finite(output)
        sum(output.losses.values()).backward()  # type: ignore[union-attr]

    @contract("T12", "forward_train() and recognize() leave the batch as it was")
    def test_t12_leaves_the_batch_alone(self) -> None:
        """The same batch goes to the teacher next."""
        spotter, given = self.make(), self.batch()
        before = copy.deepcopy(given)
        self._train(spotter, given)
        spotter.eval().recognize(given)
        for name in ("images", "polygons", "texts", "ignore", "names"):
            same = compare.equal(getattr(before, name), getattr(given, name))
            require(same, f"the batch's {name} were changed")

    @contract("T13", "train() and eval() switch it back and forth, and predict() works after training")
    def test_t13_switches_modes(self) -> None:
        """A step of training in between, as a validation meets it."""
        spotter = self.make()
        for _ in range(2):
            self._train(spotter, self.batch())
            require(all(m.training for m in spotter.modules()), "forward_train turned training off somewhere")
            spotter.eval()
            require(not any(m.training for m in spotter.modules()), ".eval() left something in training mode")
            spotter.predict(self.images()[:1])

    @contract(
        "T14", "where a batch has `regions`, training and teaching read these, and nothing is moved again"
    )
    def test_t14_reads_the_regions_given(self) -> None:
        """So that teacher and student share one jitter per word: equal spotters have equal features."""
        spotter, given = self.make(), self.batch()
        given.regions = [[polygon + 3 for polygon in image] for image in given.polygons]
        spotter.train()
        for module in spotter.modules():  # norms and dropout as in use
            if isinstance(module, nn.modules.batchnorm._NormBase | nn.modules.dropout._DropoutNd):
                module.eval()
        with torch.no_grad(), compare.seeded():
            student = spotter.forward_train(given).trace
            teacher = spotter.eval().teacher_outputs(given).trace
            still = spotter.recognize(self.batch()).roi_features
        for name in ("roi_features", "context"):
            gap = float((getattr(student, name) - getattr(teacher, name)).abs().max())
            require(gap <= 1e-4, f"{name} of teacher and student differ by {gap:.5f}")
        require(not torch.allclose(still, teacher.roi_features, atol=1e-4), "the regions were not read")

    def _train(self, spotter: TrainableSpotter, given: Batch) -> TrainOutput:
        """A training forward pass with fixed random generators (proposals may be sampled)."""
        spotter.train()
        with compare.seeded():
            return spotter.forward_train(given)

    def _finite(self, output: TrainOutput) -> None:
        for name, loss in output.losses.items():
            require(
                isinstance(name, str) and isinstance(loss, Tensor), f"loss {name!r} is {type(loss).__name__}"
            )
            require(
                loss.dim() == 0, f"the loss '{name}' has the shape {tuple(loss.shape)}; it must be a scalar"
            )
            require(bool(loss.isfinite()), f"the loss '{name}' is {float(loss.detach())}")

    def _shapes(self, spotter: TrainableSpotter, trace: RecognitionTrace, rows: int) -> None:
        tests: dict[str, tuple[int, Callable[[Tensor], bool]]] = {
            "roi_features": (4, lambda t: t.is_floating_point()),
            "context": (3, lambda t: t.is_floating_point()),
            "logits": (3, lambda t: t.is_floating_point() and t.shape[2] == spotter.decoder.vocabulary_size),
            "targets": (2, lambda t: t.dtype == torch.int64),
            "sample_index": (1, lambda t: t.dtype == torch.int64),
        }
        for name, (dimensions, fine) in tests.items():
            value = getattr(trace, name)
            told = f"{name} is {value.dtype} of shape {tuple(value.shape)}"
            require(value.dim() == dimensions and len(value) == rows, f"{told}; it needs {rows} rows")
            require(fine(value), told)
            require(bool(value.isfinite().all()), f"{name} is not finite everywhere")
