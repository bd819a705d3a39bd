"""The one small interface behind which every annotation format stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from dld_core.data.formats.model import AnnotatedWord, Dataset
from dld_core.data.formats.problems import Problems

MARKS = ("###", "#", "*", ".", "")
"""What the formats put for the text of a don't-care word; nothing is lost when one becomes another."""
_REMARKS = frozenset({"no_text", "davar.rectangle", "labelme.shape_type", "labelme.version"})
"""Extras that say how something was written, so that another format loses nothing without them."""
_DERIVED = (".bbox", ".area", ".img_dimensions", ".img_hash")  # follow from the polygon or the image


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user may say about how to read.

    Attributes:
        images: folder of images; None: look beside the annotations.
        encoding: of text files.
        points: points per polygon of ICDAR txt lines; None: told from the file.
    """

    images: Path | None = None
    encoding: str = "utf-8"
    points: int | None = None


@dataclass(slots=True)
class Losses:
    """What writing a format could not keep: kind of loss -> how many words (or images, or sets)."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, example: str = "", count: int = 1) -> None:
        """Note one loss; the first example of each kind is kept."""
        self.counts[what] += count
        self.examples.setdefault(what, example)


class Format(ABC):
    """One annotation format.

    Attributes:
        name: what users type.
        summary: one line for listings.
        image_folder: where, under the target, copied images belong ("" for beside the annotations).
        copies_images: False where writing makes the images that belong to the annotations.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    image_folder: ClassVar[str] = "images"
    copies_images: ClassVar[bool] = True

    @abstractmethod
    def sniff(self, path: Path) -> float:
        """How surely a file or folder is of this format: 0 (it is not) to 1. Reads little, raises nothing."""

    @abstractmethod
    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """Read all annotations of a file or folder; trouble goes to `problems` and reading goes on."""

    @abstractmethod
    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """Write annotations to a folder (made if absent); what cannot be kept goes to `losses`.

        Returns the files written.
        """


def place_of(word: AnnotatedWord, source: Path | None) -> str:
    """Where a word was read, for examples of losses."""
    return f"{source}: {word.where}" if source else word.where


def private(name: str, entry: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The keys of an entry that are not known, as extras "name.key", for the format to write them back."""
    return {f"{name}.{key}": value for key, value in entry.items() if key not in known}


def own_extras(
    name: str, extra: Mapping[str, Any], shared: frozenset[str], losses: Losses, where: str
) -> dict[str, Any]:
    """The extras that format `name` can hold, under its own keys: its private ones and the shared ones.

    Each of the others is a noted loss.
    """
    kept = {}
    for key, value in extra.items():
        if key.startswith(f"{name}."):
            kept[key[len(name) + 1 :]] = value
        elif key in shared:
            kept[key] = value
        elif key not in _REMARKS and not key.endswith(_DERIVED):
            losses.add(f"field '{key}'", where)
    return kept


def marked_text(word: AnnotatedWord, marks: tuple[str, ...], losses: Losses, where: str) -> str:
    """The text to write where a format tells don't-care words by their text alone.

    Args:
        word: the word.
        marks: texts that mean don't-care in this format, the usual one first.
        losses: notes the texts that give way to a mark, and texts that are taken for one.
        where: the place of the word.
    """
    if not word.ignore:
        if word.text in marks:
            losses.add(f"words that read {word.text!r} became don't-care", where)
        return word.text
    if word.text in marks:
        return word.text
    if word.text not in MARKS:
        losses.add("texts of don't-care words", where)
    return marks[0]
