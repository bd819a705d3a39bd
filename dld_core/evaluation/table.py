"""The words of many images end to end: the form in which a whole data set is read and scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dld_core.evaluation.ragged import spans, starts_of
from dld_core.evaluation.words import ImageWords

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class WordTable(Mapping[str, ImageWords]):
    """N words of M images; as a mapping, every image's own words by its name.

    Attributes:
        names: the M images.
        sizes: int64 [M], how many words each image has.
        points: float64 [P, 2], the points of every polygon, in pixels.
        counts: int64 [N], how many points each polygon has.
        texts: N transcriptions.
        ignore: bool [N], True for don't-care words.
        scores: float64 [N] confidences, NaN for words of images without; None where no image has any.
    """

    __slots__ = ("_places", "counts", "ignore", "names", "points", "scores", "sizes", "texts")

    def __init__(
        self,
        names: Sequence[str],
        sizes: Indices,
        points: Floats,
        counts: Indices,
        texts: Sequence[str],
        ignore: NDArray[np.bool_],
        scores: Floats | None = None,
    ) -> None:
        self.names = tuple(names)
        self.sizes = sizes
        self.points = points
        self.counts = counts
        self.texts = texts
        self.ignore = ignore
        self.scores = scores
        self._places = {name: place for place, name in enumerate(self.names)}

    @classmethod
    def of(cls, images: Mapping[str, ImageWords]) -> WordTable:
        """Pack any mapping; a table is returned as it is."""
        if isinstance(images, WordTable):
            return images
        words = list(images.values())
        return cls(
            names=tuple(images),
            sizes=np.array([len(image) for image in words], np.int64),
            points=np.concatenate([np.zeros((0, 2)), *(image.points for image in words)]),
            counts=np.concatenate([np.zeros(0, np.int64), *(image.counts for image in words)]),
            texts=[text for image in words for text in image.texts],
            ignore=np.concatenate([np.zeros(0, bool), *(image.ignore for image in words)]),
            scores=_scores(words),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> ImageWords:
        place = self._places[name]
        last = int(self.sizes[: place + 1].sum())
        words = slice(last - int(self.sizes[place]), last)
        corners = slice(int(self.counts[: words.start].sum()), int(self.counts[:last].sum()))
        scores = None if self.scores is None else self.scores[words]
        return ImageWords(
            self.points[corners],
            self.counts[words],
            self.texts[words],
            self.ignore[words],
            None if scores is None or np.isnan(scores).any() else scores,
        )

    @property
    def image(self) -> Indices:
        """[N] the place of each word's image among the names."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def under(self, names: Sequence[str]) -> WordTable:
        """The same words under these names, in their order; those not here have no words.

        Words with scores come best first, others in the order that they have. `names` hold all of the own.
        """
        if self.scores is None and self.names == tuple(names):
            return self
        places = {name: place for place, name in enumerate(names)}
        own = np.array([places[name] for name in self.names], np.int64)
        sizes = np.zeros(len(names), np.int64)
        sizes[own] = self.sizes
        image = own[self.image]
        # Stable, so that ties keep their order.
        order = np.lexsort((image,) if self.scores is None else (-self.scores, image))
        if np.array_equal(order, np.arange(len(order))):
            return WordTable(names, sizes, self.points, self.counts, self.texts, self.ignore, self.scores)
        return WordTable(
            names,
            sizes,
            self.points[spans(starts_of(self.counts)[order], self.counts[order])],
            self.counts[order],
            [self.texts[word] for word in order.tolist()],
            self.ignore[order],
            None if self.scores is None else self.scores[order],
        )


def _scores(images: Sequence[ImageWords]) -> Floats | None:
    if all(image.scores is None for image in images):
        return None
    return np.concatenate(
        [np.full(len(image), np.nan) if image.scores is None else image.scores for image in images]
    )
