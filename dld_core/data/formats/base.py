"""The one small interface behind which every annotation format stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from dld_core.data.formats.model import Dataset
from dld_core.data.formats.problems import Problems


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
    """

    name: ClassVar[str]
    summary: ClassVar[str]

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


def keep_extras(extra: dict[str, Any], kept: frozenset[str], losses: Losses, where: str) -> dict[str, Any]:
    """The extras whose keys a format can hold; each of the others is a noted loss."""
    for key in extra.keys() - kept:
        losses.add(f"field '{key}'", where)
    return {key: value for key, value in extra.items() if key in kept}
