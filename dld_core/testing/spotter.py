"""The contracts of every Spotter (S1 ...)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_core.config import PartConfig
from dld_core.errors import ConfigError
from dld_core.interfaces import Spotter, TrainableSpotter
from dld_core.testing import compare, samples
from dld_core.testing.kit import contract, require, skip
from dld_core.types import Word

THREADS = 8
_TRAINING = ("forward_train", "recognize", "decoder")
_BORDER = 1e-3  # pixels that rounding may put a point outside
_ASTRAY = 0.1  # of the longer side, by which the centre of a word may move with the working size


class SpotterContract:
    """Subclass it, name the subclass `Test...`, and write `make`; pytest does the rest.

    Override `images` where pictures of printed words are not what the spotter reads.
    """

    def make(self) -> Spotter:
        """A new spotter, ready to predict. Called for every contract."""
        raise NotImplementedError("write make(self), which returns the spotter to check")

    def images(self) -> list[Tensor]:
        """Pictures with words that the spotter should find, uint8 [3, H, W], at least two sizes."""
        return samples.pages()

    @contract("S1", "the class subclasses Spotter, and TrainableSpotter exactly when it can be trained")
    def test_s1_subclasses_what_it_is(self) -> None:
        """The capability flag is the class itself: checked both ways."""
        spotter = self.make()
        require(isinstance(spotter, Spotter), f"{type(spotter).__name__} is no Spotter; subclass it")
        able = [name for name in _TRAINING if hasattr(spotter, name)]
        if isinstance(spotter, TrainableSpotter):
            missing = sorted(set(_TRAINING) - set(able))
            require(not missing, f"a TrainableSpotter needs {', '.join(missing)}")
        else:
            require(not able, f"it has {', '.join(able)}; subclass TrainableSpotter, or rename them")

    @contract("S2", "the declared data are of the right types and in range")
    def test_s2_declares_sane_data(self) -> None:
        """size_divisor, reference_short_side, charset, config_type, and what is True or False."""
        s = self.make()
        for name in ("size_divisor", "reference_short_side"):
            value = getattr(s, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            require(whole, f"{name} must be a whole number of pixels, 1 or more, not {value!r}")
        for name in ("thread_safe", "reads_native", "weights_are_its_own"):
            value = getattr(s, name)
            require(isinstance(value, bool), f"{name} must be True or False, not {value!r}")
        require(
            isinstance(s.charset, str) and s.charset, "charset must be a str with every readable character"
        )
        twice = sorted({c for c in s.charset if s.charset.count(c) > 1}) if len(s.charset) < 20000 else []
        require(not twice, f"each character occurs once in charset; these are repeated: {twice}")
        kind = s.config_type
        require(
            isinstance(kind, type) and issubclass(kind, PartConfig), f"config_type is {kind!r}, no PartConfig"
        )

    @contract("S3", "create() refuses an unknown option with a ConfigError that names it")
    def test_s3_refuses_unknown_options(self) -> None:
        """A misspelt option must never be ignored."""
        kind = type(self.make())
        try:
            kind.create(weights=None, no_such_option=1)
        except ConfigError as error:
            require("no_such_option" in str(error), f"the message does not name no_such_option: {error}")
        else:
            raise AssertionError(
                "create(weights=None, no_such_option=1) was accepted; parse with config_type"
            )

    @contract("S4", "predict() returns one list of Word for each image, and nothing for no images")
    def test_s4_answers_image_by_image(self) -> None:
        """Types and counts of the answer."""
        spotter = self.make()
        images = self.images()
        found = spotter.predict(images)
        require(
            isinstance(found, list) and len(found) == len(images), f"{len(images)} images gave {found!r:.80}"
        )
        for words in found:
            require(
                isinstance(words, list), f"the words of an image come as {type(words).__name__}, not list"
            )
            for word in words:
                require(isinstance(word, Word), f"a word is of type {type(word).__name__}, not dld_core.Word")
                require(isinstance(word.text, str), f"a text is of type {type(word.text).__name__}")
        require(spotter.predict([]) == [], "predict([]) must return []")

    @contract("S5", "polygons have three finite points or more, inside the image as it was given")
    def test_s5_polygons_lie_in_the_image(self) -> None:
        """Strips of 48 x 320 pixels show coordinates that were swapped or not scaled back."""
        for image, word in self._words():
            require(len(word.polygon) >= 3, f"'{word.text}' has a polygon of {len(word.polygon)} points")
            self._inside(image, [word])

    @contract("S6", "scores lie in [0, 1], and texts hold characters of the charset alone")
    def test_s6_scores_and_texts_are_in_range(self) -> None:
        """NaN is no score."""
        charset = set(self.make().charset)
        for _, word in self._words():
            fine = isinstance(word.score, float | int) and 0 <= word.score <= 1
            require(fine, f"'{word.text}' has the score {word.score!r}")
            foreign = sorted(set(word.text) - charset)
            require(not foreign, f"'{word.text}' holds {foreign}, which charset does not declare")

    @contract("S7", "images of any size are read, from 1 x 1 pixel on, and in one batch")
    def test_s7_reads_any_size(self) -> None:
        """1x1, 3x400 and the like: shorter than any stride or kernel."""
        spotter = self.make()
        odd = samples.odd_sizes()
        for image in odd:
            self._predict_one(spotter, image)
        mixed = [*odd, *self.images()]
        require(len(spotter.predict(mixed)) == len(mixed), "a batch of mixed sizes lost images")

    @contract("S8", "images without words are read: black, white, grey, noise")
    def test_s8_reads_blank_images(self) -> None:
        """No region at all must not break what comes after detection."""
        spotter = self.make()
        for image in samples.blanks():
            for word in self._predict_one(spotter, image):
                require(math.isfinite(word.score), f"a blank image gives a word with the score {word.score}")

    @contract("S9", "the same image gives the same words every time")
    def test_s9_is_deterministic(self) -> None:
        """Noise has no place at test time."""
        spotter = self.make()
        for image in self.images():
            first, *others = (self._predict_one(spotter, image) for _ in range(3))
            for other in others:
                self._same(first, other, "two calls with one image differ")

    @contract("S10", "the same image gives the same words alone and in any batch, at any place in it")
    def test_s10_does_not_depend_on_the_batch(self) -> None:
        """Padding to a common size and batch statistics are the usual offenders."""
        spotter = self.make()
        images = self.images()
        alone = [self._predict_one(spotter, image) for image in images]
        orders = (list(range(len(images))), list(reversed(range(len(images)))), [0, 0, 0])
        for order in orders:
            for index, words in zip(order, spotter.predict([images[i] for i in order]), strict=True):
                self._same(alone[index], words, f"image {index} differs alone and in the batch {order}")

    @contract("S11", "predict() does not change the spotter: weights, buffers, flags, attributes")
    def test_s11_does_not_change_itself(self) -> None:
        """The first call may build what it needs; from then on nothing moves."""
        spotter = self.make()
        tensors = compare.snapshot(spotter) if isinstance(spotter, torch.nn.Module) else {}
        spotter.predict(self.images())
        warm = compare.snapshot(spotter)
        moved = [n for n in compare.changed(tensors, warm) if n in tensors]
        spotter.predict([*self.images(), *samples.blanks()])
        moved += compare.changed(warm, compare.snapshot(spotter))
        require(not moved, f"predict changed {', '.join(dict.fromkeys(moved))}")

    @contract("S12", "predict() leaves the process as it was: random states, gradient mode, dtype, threads")
    def test_s12_leaves_the_process_alone(self) -> None:
        """Otherwise a run with a validation in it is another run."""
        spotter = self.make()
        with compare.seeded(271828), torch.enable_grad():  # a state that no fixed seed leads back to
            before = compare.process_state()
            spotter.predict(self.images())
            moved = compare.changed(before, compare.process_state())
        require(not moved, f"predict changed {', '.join(moved)}")

    @contract("S13", "predict() leaves its images as they were, and their memory layout does not matter")
    def test_s13_treats_its_input_well(self) -> None:
        """Tensors made from [H, W, 3] arrays, and crops of larger images, are not contiguous."""
        spotter = self.make()
        for image in self.images():
            before = image.clone()
            expected = self._predict_one(spotter, image)
            require(torch.equal(before, image), "predict wrote into the image it was given")
            channels_last = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
            crop = torch.nn.functional.pad(image, (5, 3, 2, 4))[:, 2:-4, 5:-3]
            for view, name in ((channels_last, "an [H, W, 3] array"), (crop, "a crop")):
                self._same(
                    expected, self._predict_one(spotter, view), f"a view of {name} is read differently"
                )

    @contract("S14", "where thread_safe is declared, threads that share the spotter get the right words")
    def test_s14_is_thread_safe_if_it_says_so(self) -> None:
        """Eight threads, every image several times."""
        spotter = self.make()
        if not spotter.thread_safe:
            skip("it declares thread_safe = False; callers will take turns")
        images = self.images()
        expected = [self._predict_one(spotter, image) for image in images]
        order = [i % len(images) for i in range(3 * THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda i: self._predict_one(spotter, images[i]), order))
        for index, words in zip(order, found, strict=True):
            self._same(
                expected[index], words, f"image {index} is read differently by {THREADS} threads at once"
            )

    @contract("S15", "flops() is None, or finite, positive, and grows with the size and with the words")
    def test_s15_tells_its_cost(self) -> None:
        """The cost of the smaller image is what the selection of resolutions stands on."""
        spotter = self.make()
        costs = [spotter.flops(h, w, n) for h, w, n in ((256, 320, 0), (512, 640, 0), (512, 640, 10))]
        if all(cost is None for cost in costs):
            return
        require(None not in costs, f"flops is known for some sizes and None for others: {costs}")
        small, large, wordy = (float(cost or 0) for cost in costs)
        require(math.isfinite(wordy) and small > 0, f"flops must be finite and positive, not {costs}")
        require(small < large <= wordy, f"flops must grow with size and words, not {small}, {large}, {wordy}")

    @contract("S16", "predict_at() reads for a working size; its words lie in the image as it was given")
    def test_s16_reads_for_a_working_size(self) -> None:
        """At an image's own size it is `predict`; with `reads_native` it is asked for half of it as well."""
        spotter = self.make()
        images = self.images()
        alone = [self._predict_one(spotter, image) for image in images]
        found = spotter.predict_at(images, [_size(image) for image in images])
        require(len(found) == len(images), f"{len(images)} images gave {len(found)} lists")
        for index, (one, other) in enumerate(zip(alone, found, strict=True)):
            self._same(one, other, f"predict and predict_at read image {index} differently at its own size")
        if not spotter.reads_native:
            return
        halved = spotter.predict_at(images, [(max(h // 2, 1), max(w // 2, 1)) for h, w in map(_size, images)])
        for image, one, other in zip(images, alone, halved, strict=True):
            self._inside(image, other)
            self._same_places(image, one, other)

    @contract("S17", "what was read before changes no later reading: A then B is B alone")
    def test_s17_forgets_what_it_read(self) -> None:
        """A is tiny, oblong, blank or huge, and the first image of a new spotter."""
        image = self.images()[0]
        alone = self._predict_one(self._seeded(), image)
        for name, first in samples.extremes().items():
            spotter = self._seeded()
            spotter.predict([first])
            self._same(alone, self._predict_one(spotter, image), f"a page after an image that is {name}")

    def _seeded(self) -> Spotter:
        """A new spotter; random weights are the same each time."""
        with compare.seeded(0):
            return self.make()

    def _predict_one(self, spotter: Spotter, image: Tensor) -> list[Word]:
        found = spotter.predict([image])
        require(len(found) == 1, f"one image of {tuple(image.shape)} gave {len(found)} lists")
        return found[0]

    def _words(self) -> list[tuple[Tensor, Word]]:
        images = self.images()
        found = self.make().predict(images)
        words = [(image, word) for image, words in zip(images, found, strict=True) for word in words]
        if not words:
            skip("no word was found in any image: make one that reads, or override images()")
        return words

    def _inside(self, image: Tensor, words: Sequence[Word]) -> None:
        height, width = _size(image)
        for text, (x, y) in ((word.text, point) for word in words for point in word.polygon):
            require(math.isfinite(x) and math.isfinite(y), f"'{text}' has the point ({x}, {y})")
            inside = -_BORDER <= x <= width + _BORDER and -_BORDER <= y <= height + _BORDER
            require(inside, f"'{text}' has the point ({x}, {y}) in an image of {width} x {height} pixels")

    def _same_places(self, image: Tensor, one: Sequence[Word], other: Sequence[Word]) -> None:
        """A text that occurs once must lie at about the same place of the image."""
        before, after = _places(one), _places(other)
        for text in sorted(before.keys() & after.keys()):
            away = float(np.abs(before[text] - after[text]).max())
            require(
                away <= _ASTRAY * max(_size(image)),
                f"'{text}' lies {away:.0f} pixels off when the detector works at half the size; points are "
                "in pixels of the image as given, not of the working size",
            )

    def _same(self, one: Sequence[Word], other: Sequence[Word], what: str) -> None:
        told = compare.difference(one, other)
        require(told is None, f"{what}: {told}")


def _places(words: Sequence[Word]) -> dict[str, NDArray[np.float32]]:
    """The centre of each word whose text no other has."""
    counts = Counter(word.text for word in words)
    return {word.text: word.array.mean(0) for word in words if counts[word.text] == 1}


def _size(image: Tensor) -> tuple[int, int]:
    """Height and width."""
    return int(image.shape[1]), int(image.shape[2])
