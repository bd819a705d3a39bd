"""Small parts that keep every contract, and for each contract some that break it, each in its own way."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dld_core.config import PartConfig
from dld_core.interfaces import (
    Distiller,
    ResolutionSelector,
    SelectorConfig,
    SequenceDecoder,
    Spotter,
    TrainableSpotter,
)
from dld_core.testing import (
    DistillerContract,
    ResolutionSelectorContract,
    SequenceDecoderContract,
    SpotterContract,
    TrainableSpotterContract,
)
from dld_core.testing.reference import ColumnDecoder
from dld_core.types import Batch, Hypotheses, RecognitionTrace, TrainOutput, Word

sys.path.insert(0, str(Path(__file__).parent / "sample_plugins" / "example_spotter"))
from example_spotter import ExampleSpotter

BROKEN: list[tuple[str, str, Callable[[], Any]]] = []  # (contract, what is wrong, how to make it)


def breaks(number: str, why: str = "") -> Callable[[Any], Any]:
    """Enter a class (or a function that makes a part) as one that breaks a contract."""

    def enter(maker: Any) -> Any:
        BROKEN.append((number, why or maker.__name__, maker))
        return maker

    return enter


def breaks_by(number: str, base: type, **attributes: Any) -> None:
    """Enter `base` with other class attributes."""
    name = ", ".join(f"{k}={v!r:.30}" for k, v in attributes.items())
    BROKEN.append((number, name, type(f"Broken{base.__name__}", (base,), attributes)))


def case_for(number: str, maker: Callable[[], Any]) -> type:
    """The contract class of a toy, by the letter of a contract."""
    if number[0] == "Q":
        return type("Case", (DecoderCase,), {"make_decoder": lambda self: maker().eval()})
    base = {
        "S": SpotterContract,
        "T": TrainableSpotterContract,
        "R": ResolutionSelectorContract,
        "D": DistillerContract,
    }[number[0]]
    return type("Case", (base,), {"make": lambda self: maker()})


# --- spotters ---------------------------------------------------------------------------------------------


class ToySpotter(Spotter):
    """Every band of dark rows is a word, whose letter depends on how much ink it has."""

    charset = "abcdef"
    thread_safe = True

    def __init__(self, config: PartConfig | None = None) -> None:
        self.config = config

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        return [self.read(image) for image in images]

    def read(self, image: Tensor) -> list[Word]:
        dark = (image.float().mean(0) < 128).numpy()
        bands = np.flatnonzero(np.diff(np.pad(dark.any(1), 1).astype(int))).reshape(-1, 2)
        return [self.word(dark, int(top), int(bottom)) for top, bottom in bands]

    def word(self, dark: Any, top: int, bottom: int) -> Word:
        columns = np.flatnonzero(dark[top:bottom].any(0))
        left, right, ink = float(columns[0]), float(columns[-1] + 1), int(dark[top:bottom].sum())
        polygon = ((left, float(top)), (right, float(top)), (right, float(bottom)), (left, float(bottom)))
        return Word(self.charset[ink % len(self.charset)], ink / (ink + 9), polygon)

    def flops(self, height: int, width: int, words: int = 0) -> float | None:
        return 3.0 * height * width + 100.0 * words


@breaks("S1")
class TrainsInSecret(ToySpotter):
    def forward_train(self, batch: Batch) -> None: ...


@breaks("S1")
class IsNoSpotter:
    pass


@breaks("S3")
class IgnoresOptions(ToySpotter):
    @classmethod
    def create(cls, weights: Any = None, device: str = "cpu", **options: Any) -> Spotter:
        return cls()


@breaks("S4")
class ForgetsImages(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        return [self.read(images[0])]


@breaks("S4")
class ReturnsTuples(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> Any:
        return [[dataclasses.astuple(word) for word in self.read(image)] for image in images]


@breaks("S4")
class NeedsAnImage(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        torch.stack([image.float().mean() for image in images])
        return super().predict(images)


def spoils_words(number: str, name: str, spoil: Callable[[Word], Word]) -> None:
    """Enter a toy that does something to every word."""

    def read(self: ToySpotter, image: Tensor) -> list[Word]:
        return [spoil(word) for word in ToySpotter.read(self, image)]

    BROKEN.append((number, name, type("SpoilsWords", (ToySpotter,), {"read": read})))


def points(word: Word, move: Callable[[float, float], tuple[float, float]]) -> Word:
    return dataclasses.replace(word, polygon=tuple(move(x, y) for x, y in word.polygon))


spoils_words("S4", "text is None", lambda w: dataclasses.replace(w, text=None))  # type: ignore[arg-type]
spoils_words("S5", "two points", lambda w: dataclasses.replace(w, polygon=w.polygon[:2]))
spoils_words("S5", "not a number", lambda w: points(w, lambda x, y: (x, float("nan"))))
spoils_words("S5", "axes swapped", lambda w: points(w, lambda x, y: (y, x)))
spoils_words("S5", "not scaled back", lambda w: points(w, lambda x, y: (2 * x, 2 * y)))
spoils_words("S5", "left of the image", lambda w: points(w, lambda x, y: (x - 20, y)))
spoils_words("S6", "score above 1", lambda w: dataclasses.replace(w, score=1.5))
spoils_words("S6", "score not a number", lambda w: dataclasses.replace(w, score=float("nan")))
spoils_words("S6", "foreign character", lambda w: dataclasses.replace(w, text="z"))
for attributes in (
    {"size_divisor": 0},
    {"size_divisor": 32.0},
    {"reference_short_side": True},
    {"thread_safe": None},
    {"charset": ""},
    {"charset": "abca"},
    {"config_type": dict},
):
    breaks_by("S2", ToySpotter, **attributes)


@breaks("S7")
class NeedsFourPixels(ToySpotter):
    def read(self, image: Tensor) -> list[Word]:
        nn.functional.max_pool2d(image.float(), 4)
        return super().read(image)


@breaks("S8")
class NeedsWords(ToySpotter):
    def read(self, image: Tensor) -> list[Word]:
        words = super().read(image)
        return [max(words, key=lambda word: word.score), *words[1:]]


@breaks("S9")
class RollsDice(ToySpotter):
    generator = np.random.default_rng(0)

    def word(self, dark: Any, top: int, bottom: int) -> Word:
        word = super().word(dark, top, bottom)
        return dataclasses.replace(word, score=float(self.generator.random()))


@breaks("S10")
class LooksAtTheBatch(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        shift = (max((i.shape[1] for i in images), default=0)) / 1000
        pages = super().predict(images)
        return [[points(w, lambda x, y: (x, y * (1 - shift))) for w in page] for page in pages]


@breaks("S10")
class DependsOnThePlace(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        return [page if index == 0 else page[1:] for index, page in enumerate(super().predict(images))]


@breaks("S11")
class CountsCalls(ToySpotter):
    calls = 0

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        self.calls += 1
        return super().predict(images)


@breaks("S11")
class UpdatesBuffers(ToySpotter, nn.Module):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.register_buffer("mean", torch.zeros(1))

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        self.mean += 1
        return ToySpotter.predict(self, images)


@breaks("S12")
class SeedsTheProcess(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        torch.manual_seed(3)
        np.random.seed(3)
        return super().predict(images)


@breaks("S12")
class SwitchesGradientsOff(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        torch.autograd.set_grad_enabled(False)
        return super().predict(images)


@breaks("S13")
class WritesIntoImages(ToySpotter):
    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        words = super().predict(images)
        for image in images:
            image[:, 0] = 0
        return words


@breaks("S13")
class NeedsContiguousImages(ToySpotter):
    def read(self, image: Tensor) -> list[Word]:
        image.view(-1)
        return super().read(image)


@breaks("S13")
class ReadsRawMemory(ToySpotter):
    def read(self, image: Tensor) -> list[Word]:
        _, height, width = image.shape
        raw = image.as_strided(image.shape, (height * width, width, 1))
        return super().read(raw)


@breaks("S14")
class SharesAField(ToySpotter):
    image: Tensor

    def read(self, image: Tensor) -> list[Word]:
        self.image = image
        time.sleep(0.002)
        return super().read(self.image)


def costing(flops: Callable[[int, int, int], float | None]) -> type:
    return type("Costs", (ToySpotter,), {"flops": lambda self, h, w, words=0: flops(h, w, words)})


class TwoStages(ToySpotter):
    """Gets native images."""

    reads_native = True


@breaks("S16")
class ForgetsImagesAtASize(ToySpotter):
    def predict_at(self, images: Sequence[Tensor], sizes: Any) -> list[list[Word]]:
        return self.predict(images[:1])


@breaks("S16")
class ReadsAtHalfTheSizeAskedFor(ToySpotter):
    def predict_at(self, images: Sequence[Tensor], sizes: Any) -> list[list[Word]]:
        return self.predict([image[:, ::2, ::2] for image in images])


@breaks("S16")
class AnswersInWorkingPixels(TwoStages):
    def predict_at(self, images: Sequence[Tensor], sizes: Any) -> list[list[Word]]:
        found = []
        for image, size, words in zip(images, sizes, self.predict(images), strict=True):
            y, x = size[0] / image.shape[1], size[1] / image.shape[2]
            moved = [Word(w.text, w.score, tuple((a * x, b * y) for a, b in w.polygon)) for w in words]
            found.append(moved)
        return found


@breaks("S16")
class AnswersOutsideTheImage(TwoStages):
    def predict_at(self, images: Sequence[Tensor], sizes: Any) -> list[list[Word]]:
        found = self.predict(images)
        if any(size != tuple(image.shape[1:]) for image, size in zip(images, sizes, strict=True)):
            word = Word("a", 0.5, ((0.0, 0.0), (1e4, 0.0), (1e4, 9.0)))
            return [[*words, word] for words in found]
        return found


@breaks("S17")
class MeasuresByItsFirstImage(ToySpotter):
    stretch = 0.0

    def read(self, image: Tensor) -> list[Word]:
        self.stretch = self.stretch or 1 - 1 / (1 + image.shape[2])
        return [points(word, lambda x, y: (x * self.stretch, y)) for word in super().read(image)]


breaks_by("S2", ToySpotter, reads_native="yes")
breaks("S15", "shrinks with the size")(costing(lambda h, w, n: 1e9 / (h * w)))
breaks("S15", "shrinks with the words")(costing(lambda h, w, n: h * w - n))
breaks("S15", "infinite")(costing(lambda h, w, n: float("inf")))
breaks("S15", "known for some sizes")(costing(lambda h, w, n: None if n else float(h * w)))


# --- trainable spotters -----------------------------------------------------------------------------------


class GoodTrainable(ExampleSpotter):
    """The example package's spotter, as `make` builds it."""

    def __new__(cls) -> Any:
        return super().__new__(cls)

    def __init__(self) -> None:
        super().__init__()
        self.eval()


@breaks("T1")
class StaysInTraining(GoodTrainable):
    def __init__(self) -> None:
        super().__init__()
        self.train()


@breaks("T1")
class HidesItsDecoder(GoodTrainable):
    def __init__(self) -> None:
        super().__init__()
        hidden = GoodTrainable().decoder
        del self.decoder
        object.__setattr__(self, "decoder", hidden)


def losing(number: str, name: str, spoil: Callable[[Any, Batch, TrainOutput], Any]) -> None:
    """Enter a trainable toy that does something to what forward_train returns."""

    def forward_train(self: Any, batch: Batch) -> Any:
        return spoil(self, batch, GoodTrainable.forward_train(self, batch))

    BROKEN.append((number, name, type("SpoilsTraining", (GoodTrainable,), {"forward_train": forward_train})))


def scaled(output: TrainOutput, change: Callable[[Tensor], Tensor]) -> TrainOutput:
    return TrainOutput({name: change(loss) for name, loss in output.losses.items()}, output.trace)


def retraced(output: TrainOutput, **fields: Tensor) -> TrainOutput:
    return TrainOutput(output.losses, dataclasses.replace(output.trace, **fields))


losing("T2", "a loss per word", lambda s, b, out: scaled(out, lambda loss: loss.repeat(3)))
losing("T2", "not a number", lambda s, b, out: scaled(out, lambda loss: loss / 0 - loss / 0))
losing("T2", "a dict alone", lambda s, b, out: out.losses)
losing("T2", "no losses", lambda s, b, out: TrainOutput({}, out.trace))
losing("T3", "detached", lambda s, b, out: scaled(out, lambda loss: loss.detach()))
losing("T4", "detached without words", lambda s, b, out: out if any(b.texts) else scaled(out, Tensor.detach))
losing(
    "T4", "a mean over nothing", lambda s, b, out: scaled(out, lambda loss: loss + out.trace.context.mean())
)
losing(
    "T5",
    "reads what don't-care words say",
    lambda s, b, out: scaled(out, lambda loss: loss + sum(len(t) for texts in b.texts for t in texts)),
)
losing("T6", "targets of int32", lambda s, b, out: retraced(out, targets=out.trace.targets.int()))
losing("T6", "logits transposed", lambda s, b, out: retraced(out, logits=out.trace.logits.transpose(1, 2)))
losing("T6", "rows missing", lambda s, b, out: retraced(out, sample_index=out.trace.sample_index[:1]))
losing("T13", "switches training off", lambda s, b, out: (s.eval(), out)[1])


@breaks("T3")
class HasAnIdleParameter(GoodTrainable):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Linear(2, 2)


@breaks("T5")
class TeachesDontCareWords(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        care = [torch.zeros_like(i) for i in batch.ignore]
        return super().recognize(dataclasses.replace(batch, ignore=care))


@breaks("T7")
class ReversesRows(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        trace = super().recognize(batch)
        rows = {f.name: getattr(trace, f.name).flip(0) for f in dataclasses.fields(trace)[:5]}
        return RecognitionTrace(**rows)


@breaks("T7")
class SwapsTargets(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        trace = super().recognize(batch)
        return dataclasses.replace(trace, targets=trace.targets.flip(0))


@breaks("T8")
class DropsSmallWords(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        small = [[bool(p[:, 1].max() - p[:, 1].min() < 30) for p in image] for image in batch.polygons]
        ignore = [i | torch.tensor(s, dtype=torch.bool) for i, s in zip(batch.ignore, small, strict=True)]
        return super().recognize(dataclasses.replace(batch, ignore=ignore))


@breaks("T8")
class SizesCropsByPixels(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        trace = super().recognize(batch)
        width = max(image.shape[2] for image in batch.images) // 8
        return dataclasses.replace(trace, context=trace.context[:, :width])


@breaks("T9")
class RecognizesWithoutGradient(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        with torch.no_grad():
            return super().recognize(batch)


@breaks("T9")
class RecognizesInTrainingMode(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        was = self.training
        trace = self.train() and super().recognize(batch)
        self.train(was)
        return trace


@breaks("T10")
class KeepsStateElsewhere(GoodTrainable):
    def __init__(self) -> None:
        super().__init__()
        self.gain = float(torch.rand(1)) + 0.5

    def features(self, images: Sequence[Tensor]) -> Any:
        maps = super().features(images)
        return maps._replace(fine=maps.fine * self.gain * 10)


@breaks("T11")
class CannotSkipForeignCharacters(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        for texts in batch.texts:
            [self.charset.index(character) for text in texts for character in text]
        return super().recognize(batch)


@breaks("T12")
class ScalesTheBatchInPlace(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        for polygons in batch.polygons:
            for polygon in polygons:
                polygon.mul_(0.99)
        return super().recognize(batch)


def moved(spotter: Any, batch: Batch) -> Batch:
    """Regions of its own making, whatever the batch has."""
    regions = [[p + 2 * torch.rand(1) for p in image] for image in batch.polygons]
    return dataclasses.replace(batch, regions=regions)


@breaks("T14")
class JittersForItself(GoodTrainable):
    def forward_train(self, batch: Batch) -> TrainOutput:
        return super().forward_train(moved(self, batch))


@breaks("T14")
class DoesNotKnowRegions(GoodTrainable):
    def recognize(self, batch: Batch) -> RecognitionTrace:
        return super().recognize(dataclasses.replace(batch, regions=None))


# --- decoders ---------------------------------------------------------------------------------------------

LETTERS, FEATURES, COLUMNS = "abcdefgh", 12, 6


class GoodDecoder(ColumnDecoder):
    def __init__(self) -> None:
        super().__init__(LETTERS, FEATURES)


class DecoderCase(SequenceDecoderContract):
    def make_decoder(self) -> SequenceDecoder:
        return GoodDecoder().eval()

    def make_context(self, decoder: SequenceDecoder, count: int) -> Tensor:
        return torch.randn((count, COLUMNS, FEATURES), generator=torch.Generator().manual_seed(0))

    def make_charset(self) -> str:
        return LETTERS


def decoding(number: str, name: str, **methods: Callable[..., Any]) -> None:
    BROKEN.append((number, name, type("BrokenDecoder", (GoodDecoder,), methods)))


decoding("Q1", "drops a letter", encode=lambda s, t: GoodDecoder.encode(s, [x[:-1] for x in t]))
decoding("Q1", "float tokens", encode=lambda s, t: GoodDecoder.encode(s, t).float())
decoding("Q1", "folds case", decode=lambda s, t: [x.upper() for x in GoodDecoder.decode(s, t)])
decoding(
    "Q2", "fails", encode=lambda s, t: [LETTERS.index(c) for x in t for c in x] and GoodDecoder.encode(s, t)
)
decoding("Q2", "stops there", encode=lambda s, t: GoodDecoder.encode(s, [x.split("\u2603")[0] for x in t]))
decoding("Q3", "tokens too large", encode=lambda s, t: GoodDecoder.encode(s, t) + 2)
decoding("Q4", "transposed", logits=lambda s, c, t: GoodDecoder.logits(s, c, t).transpose(1, 2))
decoding("Q4", "infinite", logits=lambda s, c, t: GoodDecoder.logits(s, c, t) / 0)
decoding("Q5", "negative", loss=lambda s, c, t: -GoodDecoder.loss(s, c, t))
decoding("Q5", "detached", loss=lambda s, c, t: GoodDecoder.loss(s, c.detach(), t))
decoding("Q5", "one for each word", loss=lambda s, c, t: -s.log_prob(c, t))
decoding("Q6", "a mean over nothing", loss=lambda s, c, t: -s.log_prob(c, t).mean())
decoding("Q6", "no graph", loss=lambda s, c, t: GoodDecoder.loss(s, c, t) if len(t) else torch.zeros(()))


def searching(number: str, name: str, spoil: Callable[[Hypotheses], Hypotheses]) -> None:
    decoding(number, name, beam_search=lambda s, c, k=3: spoil(GoodDecoder.beam_search(s, c, k)))


searching("Q7", "worst first", lambda h: Hypotheses(h.tokens.flip(1), h.lengths.flip(1), h.log_probs.flip(1)))
searching(
    "Q7",
    "one thrice",
    lambda h: Hypotheses(*(x[:, :1].expand_as(x) for x in (h.tokens, h.lengths, h.log_probs))),
)
searching("Q7", "wrong lengths", lambda h: Hypotheses(h.tokens, h.lengths + 9, h.log_probs))
searching("Q7", "above 0", lambda h: Hypotheses(h.tokens, h.lengths, h.log_probs.exp() + 1))
searching("Q8", "mean over steps", lambda h: Hypotheses(h.tokens, h.lengths, h.log_probs / h.lengths))
decoding(
    "Q8",
    "too much probability",
    beam_search=lambda s, c, k=3: lenient(s, c, k),
    log_prob=lambda s, c, t: GoodDecoder.log_prob(s, c, t) * 0.01,
)
decoding("Q9", "counts padding", log_prob=lambda s, c, t: GoodDecoder.log_prob(s, c, t) - t.shape[-1])
decoding("Q9", "looks at other words", log_prob=lambda s, c, t: GoodDecoder.log_prob(s, c - c.mean(0), t))
decoding("Q9", "detached", log_prob=lambda s, c, t: GoodDecoder.log_prob(s, c.detach(), t))


def lenient(decoder: Any, context: Tensor, k: int) -> Hypotheses:
    found = GoodDecoder.beam_search(decoder, context, k)
    return Hypotheses(found.tokens, found.lengths, found.log_probs * 0.01)


@breaks("Q10")
class CountsSearches(GoodDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("searches", torch.zeros(()))

    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        self.searches += 1
        return super().beam_search(context, k)


@breaks("Q10")
class SamplesHypotheses(GoodDecoder):
    def beam_search(self, context: Tensor, k: int = 3) -> Hypotheses:
        return super().beam_search(context + torch.randn_like(context), k)


# --- selectors --------------------------------------------------------------------------------------------


class ToySelector(ResolutionSelector):
    """A mean over the picture and the logarithm of the size, through one linear layer."""

    def __init__(self, config: SelectorConfig | None = None) -> None:
        super().__init__(config or SelectorConfig(scales=(0.3, 0.6, 1.4)))
        self.score = nn.Linear(5, len(self.scales))
        self.eval()

    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        scores: Tensor = self.score(torch.cat([thumbnails.mean((2, 3)), native_sizes.float().log()], 1))
        return scores


def with_scales(*scales: Any) -> None:
    def make() -> ToySelector:
        selector = ToySelector()
        selector.scales = scales[0] if len(scales) == 1 else scales
        return selector

    BROKEN.append(("R1", f"scales {scales}", make))


with_scales(0.5, 0.5, 1.0)
with_scales(0.3, 1.0, 0.6)
with_scales(0.0, 0.5, 1.0)
with_scales([0.3, 0.6, 1.0])


@breaks("R1")
class IgnoresUnknownOptions(ToySelector):
    @classmethod
    def create(cls, **options: Any) -> Any:
        return cls()


def selecting(number: str, name: str, spoil: Callable[[Any, Tensor, Tensor], Tensor]) -> None:
    BROKEN.append((number, name, type("BrokenSelector", (ToySelector,), {"forward": spoil})))


good = ToySelector.forward
selecting("R2", "one score each", lambda s, t, n: good(s, t, n)[:, 0])
selecting("R2", "fails for no images", lambda s, t, n: good(s, t, n) + t.max())
selecting(
    "R2",
    "wants float sizes",
    lambda s, t, n: good(s, t, n) + 0 * torch.dot(n.flatten(), n.flatten().float())[None],
)
selecting("R2", "a column too many", lambda s, t, n: torch.cat([good(s, t, n), good(s, t, n)[:, :1]], 1))
selecting(
    "R2",
    "not finite for blank images",
    lambda s, t, n: good(s, t, n) + (t.amax((1, 2, 3)).log() * 0)[:, None],
)


@breaks("R2")
class ExpectsSomethingElse(ToySelector):
    def expect(self, thumbnails: Tensor, native_sizes: Tensor) -> Any:
        return self(thumbnails, native_sizes) + 1, None


selecting("R3", "overflows", lambda s, t, n: good(s, t, n.float()) + 1 / (n[:, :1] - 1) * 0)
selecting("R4", "samples", lambda s, t, n: good(s, t + torch.rand_like(t), n))
selecting("R4", "looks at the batch", lambda s, t, n: good(s, t, n) - good(s, t, n).mean(0))
selecting("R5", "writes into its input", lambda s, t, n: good(s, t.mul_(0.5), n))
selecting("R5", "seeds the process", lambda s, t, n: (torch.manual_seed(1), good(s, t, n))[1])
selecting(
    "R6",
    "detached",
    lambda s, t, n: (s.score(torch.cat([t.mean((2, 3)), n], 1)) - s.score.bias).detach() + s.score.bias,
)


@breaks("R5")
class CountsThumbnails(ToySelector):
    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        self.seen = getattr(self, "seen", 0) + 1
        return super().forward(thumbnails, native_sizes)


def losing_selector(name: str, spoil: Callable[[dict[str, Tensor]], Any]) -> None:
    def training_loss(self: Any, batch: Any, progress: float = 0.0) -> Any:
        return spoil(ToySelector.training_loss(self, batch, progress))

    BROKEN.append(("R6", name, type("BrokenSelector", (ToySelector,), {"training_loss": training_loss})))


losing_selector("a sum alone", lambda losses: sum(losses.values()))
losing_selector("a loss that nobody knows", lambda losses: {**losses, "other": losses["words"]})
losing_selector("not a number", lambda losses: {**losses, "words": losses["words"] / 0 - losses["words"] / 0})
selecting("R8", "a mean over the batch", lambda s, t, n: good(s, t, n) + 0 * good(s, t, n).mean())
selecting("R8", "refuses it", lambda s, t, n: good(s, t, n) if bool(t.isfinite().all()) else 1 / 0)


@breaks("R9")
class KeepsAConstantBehind(ToySelector):
    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        return super().forward(thumbnails, native_sizes).cpu() if thumbnails.is_cuda else torch.zeros(3, 3)


@breaks("R7")
class ForgetsItsConfig(ToySelector):
    @classmethod
    def create(cls, **options: Any) -> Any:
        return cls() if "no_such_option" not in options else super().create(**options)

    def __init__(self, config: SelectorConfig | None = None) -> None:
        super().__init__(config)
        self.scales = (*self.scales[:-1], float(torch.rand(())) + 2)


@breaks("R7")
class HidesAGain(ToySelector):
    def __init__(self, config: SelectorConfig | None = None) -> None:
        super().__init__(config)
        self.gain = torch.rand(())

    def forward(self, thumbnails: Tensor, native_sizes: Tensor) -> Tensor:
        return super().forward(thumbnails, native_sizes) * self.gain


# --- distillers -------------------------------------------------------------------------------------------


class ToyDistiller(Distiller):
    """Squared distance of the features, and the student's likelihood of the teacher's best reading."""

    zero_when_equal = frozenset({"features"})

    def forward(
        self, teacher: RecognitionTrace, student: RecognitionTrace, student_decoder: SequenceDecoder
    ) -> dict[str, Tensor]:
        apart = (student.roi_features - teacher.roi_features.detach()).square().sum()
        read = student_decoder.beam_search(teacher.context.detach(), 1).tokens
        unlikely = -student_decoder.log_prob(student.context, read).sum()
        return {"features": apart, "sequence": unlikely}


def distilling(number: str, name: str, spoil: Callable[[Any, Any, Any, dict[str, Tensor]], Any]) -> None:
    def forward(self: Any, teacher: Any, student: Any, decoder: Any) -> Any:
        return spoil(self, teacher, student, ToyDistiller.forward(self, teacher, student, decoder))

    BROKEN.append((number, name, type("BrokenDistiller", (ToyDistiller,), {"forward": forward})))


distilling("D1", "a tensor alone", lambda s, t, u, out: out["features"])
distilling("D1", "one for each word", lambda s, t, u, out: {"features": out["features"].repeat(2)})
distilling("D1", "negative", lambda s, t, u, out: {**out, "sequence": -out["sequence"]})
breaks_by("D2", ToyDistiller, zero_when_equal=frozenset({"sequence"}))
breaks_by("D2", ToyDistiller, zero_when_equal=frozenset({"nothing"}))
distilling("D3", "always zero", lambda s, t, u, out: {**out, "features": out["features"] * 0})
distilling(
    "D4", "teaches the teacher", lambda s, t, u, out: {"features": (u.context - t.context).square().sum()}
)
distilling("D4", "teaches nobody", lambda s, t, u, out: {k: v.detach() for k, v in out.items()})
distilling(
    "D5",
    "a mean over nothing",
    lambda s, t, u, out: {"features": (u.context - t.context.detach()).square().mean()},
)
distilling("D5", "no graph", lambda s, t, u, out: out if len(t.targets) else {"features": torch.zeros(())})
distilling(
    "D6",
    "weighs rows by place",
    lambda s, t, u, out: {
        "f": ((u.context - t.context.detach()).square().sum((1, 2)) * torch.arange(len(t.targets))).sum()
    },
)
distilling("D7", "writes into a trace", lambda s, t, u, out: (t.context.mul_(0.9), out)[1])
distilling("D7", "rolls dice", lambda s, t, u, out: {k: v * (1 + torch.rand(())) for k, v in out.items()})

GOOD: dict[str, Callable[[], Any]] = {
    "S": ToySpotter,
    "T": GoodTrainable,
    "Q": GoodDecoder,
    "R": ToySelector,
    "D": ToyDistiller,
}
assert issubclass(GoodTrainable, TrainableSpotter)
