"""Lexicons: snapping what was read to the nearest word of a list.

The challenge gives lists (strong: 100 words per image; weak: all of the test set; generic: 90,000 words;
full: the words of Total-Text's test set) but no rule to use them; every paper has its own. Ours is a
`LexiconRule`, written into every result. Its defaults leave short words and numbers alone, as the method's
authors do, and unlike them refuse a word that is far from what was read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import editdistance
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dld_core.config import PartConfig
from dld_core.data.formats import Problems
from dld_core.data.formats.files import TextFile, read_text, split_lines, text_files
from dld_core.data.formats.pairing import label_stem
from dld_core.data.formats.problems import At
from dld_core.errors import DataError
from dld_core.evaluation.words import ImageWords

# Letters are counted in this many bins (by code point) for a quick lower bound on the edit distance.
_BINS = 64


class LexiconRule(PartConfig):
    """When a word that was read is replaced by the nearest of a list.

    Attributes:
        max_distance: the largest edit distance (insert, delete, substitute; case-insensitive) to bridge: a
            number, "third" for a third of the read word's length but at least 1, or "none" for no limit.
        min_length: shorter words are left alone.
        skip_digits: words with a digit are left alone.
        far: what becomes of a word with nothing near: it is kept as read, or dropped with its box.
    """

    max_distance: int | Literal["third", "none"] = "third"
    min_length: int = Field(default=3, ge=0)
    skip_digits: bool = True
    far: Literal["keep", "drop"] = "keep"

    def applies(self, text: str) -> bool:
        """Whether a word is looked up at all."""
        return len(text) >= self.min_length and not (self.skip_digits and any(c.isdigit() for c in text))

    def limit(self, text: str) -> int:
        """The largest distance bridged for this word."""
        if self.max_distance == "none":
            return 10**6
        return max(1, len(text) // 3) if self.max_distance == "third" else self.max_distance


class Lexicon:
    """A list of words that finds the nearest to a reading; among equals the first in the list."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = [word for word in (line.strip() for line in words) if word]
        self._upper = [word.upper() for word in self.words]
        self._first = {word: index for index, word in reversed(list(enumerate(self._upper)))}
        self._letters = _letter_counts(self._upper)
        self._known: dict[tuple[str, int], tuple[str, int] | None] = {}

    def __len__(self) -> int:
        return len(self.words)

    def nearest(self, text: str, limit: int) -> tuple[str, int] | None:
        """The word nearest to `text` and its edit distance, or None beyond `limit`."""
        key = text.upper(), limit
        if key not in self._known:
            self._known[key] = self._search(*key)
        return self._known[key]

    def _search(self, text: str, limit: int) -> tuple[str, int] | None:
        if text in self._first:
            return self.words[self._first[text]], 0
        bounds = _distance_bounds(self._letters, _letter_counts([text])[0])
        able = np.flatnonzero(bounds <= limit)
        best, chosen = limit + 1, -1
        # By rising bound, then list order. A bound equal to the best distance may still be a tie that stands
        # earlier in the list.
        for index in able[np.argsort(bounds[able], kind="stable")].tolist():
            if bounds[index] > best:
                break
            distance = int(editdistance.eval(text, self._upper[index]))
            if distance < best or (distance == best and index < chosen):
                best, chosen = distance, index
        return None if chosen < 0 else (self.words[chosen], best)


def _letter_counts(words: Sequence[str]) -> NDArray[np.int16]:
    counts = np.zeros((len(words), _BINS), np.int16)
    owner = np.repeat(np.arange(len(words)), [len(word) for word in words])
    codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32) % _BINS
    np.add.at(counts, (owner, codes), 1)
    return counts


def _distance_bounds(lexicon: NDArray[np.int16], text: NDArray[np.int16]) -> NDArray[np.int64]:
    """No edit distance is below the larger of the letters missing and the letters too many."""
    difference = lexicon - text
    bounds: NDArray[np.int64] = np.maximum(
        np.maximum(difference, 0).sum(axis=1, dtype=np.int64),
        np.maximum(-difference, 0).sum(axis=1, dtype=np.int64),
    )
    return bounds


@dataclass(frozen=True, slots=True)
class Lexicons:
    """The list of every image, or one list for all.

    Attributes:
        source: where they come from, for the record.
        shared: the list for all images, or None.
        by_image: one list per image where `shared` is None.
    """

    source: str
    shared: Lexicon | None
    by_image: Mapping[str, Lexicon]

    @classmethod
    def read(cls, source: str | Path) -> Lexicons:
        """A file (weak, generic, full: one word a line) or a folder or zip of one file per image (strong).

        Raises:
            DataError: it is absent, not UTF-8 text, or holds no words.
        """
        path, problems = Path(source), Problems()
        if os.path.isfile(path) and path.suffix.lower() != ".zip":
            files = [TextFile("", path, read_text(path, problems) or "")]
        else:
            files = text_files(path, "lexicon", problems)
        lexicons = {}
        for file in files:
            lexicon = lexicons[label_stem(file.name)] = Lexicon(split_lines(file.text))
            if not len(lexicon) and not problems:
                At(file.path, problems).error("empty-file", "holds no words", "write one word a line")
        problems.raise_errors(path, shown=20)
        return cls(str(path), lexicons.pop("", None), lexicons)

    def of(self, image: str) -> Lexicon:
        """The list for an image. Raises DataError where it has none."""
        found = self.shared or self.by_image.get(image)
        if found is None:
            raise DataError(
                f"the lexicon {self.source} has no list for {image}; add {image}.txt or voc_{image}.txt"
            )
        return found

    def describe(self, rule: LexiconRule) -> dict[str, Any]:
        """For the json: source, sizes and rule."""
        if self.shared is not None:
            return {"source": self.source, "kind": "one list", "words": len(self.shared), **rule.model_dump()}
        sizes = [len(lexicon) for lexicon in self.by_image.values()]
        mean = sum(sizes) / len(sizes) if sizes else 0.0
        return {"source": self.source, "kind": "a list per image", "words": mean, **rule.model_dump()}


def snap(
    predictions: Mapping[str, ImageWords], lexicons: Lexicons, rule: LexiconRule
) -> dict[str, ImageWords]:
    """Predictions with their texts replaced by lexicon words where the rule says so."""
    return {
        image: _snap_image(words, lexicons.of(image), rule)
        for image, words in predictions.items()
        if len(words)
    }


def _snap_image(words: ImageWords, lexicon: Lexicon, rule: LexiconRule) -> ImageWords:
    texts: list[str] = []
    kept: list[int] = []
    for index, text in enumerate(words.texts):
        found = lexicon.nearest(text, rule.limit(text)) if rule.applies(text) else (text, 0)
        if found is not None or rule.far == "keep":
            # A word of the list keeps the case it was read in.
            texts.append(found[0] if found is not None and found[1] else text)
            kept.append(index)
    return replace(words.take(kept), texts=texts)
