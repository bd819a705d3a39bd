"""What formats with one JSON file for many images share: finding, reading and writing that file."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from dld_core.data.formats.base import Format, Losses, ReadOptions
from dld_core.data.formats.jsonfile import At, contains, encode_json, read_json
from dld_core.data.formats.model import AnnotatedImage, Dataset
from dld_core.data.formats.pairing import ImageFinder, label_files
from dld_core.data.formats.problems import Problems


class JsonSetFormat(Format):
    """A format that keeps a whole set in one JSON file.

    Attributes:
        file_name: what the written file is called.
        signature: strings that every file of the format holds.
        foreign: strings that no file of the format holds.
    """

    file_name: ClassVar[str]
    signature: ClassVar[tuple[str, ...]]
    foreign: ClassVar[tuple[str, ...]] = ()

    def fits(self, file: Path) -> bool:
        """Whether a file looks like one of this format."""
        return contains(file, *self.signature) and not any(contains(file, word) for word in self.foreign)

    def sniff(self, path: Path) -> float:
        """See Format."""
        files = [file for file in label_files(path, ".json") if file.suffix.lower() == ".json"]
        return 0.9 * any(self.fits(file) for file in files)

    def files(self, path: Path) -> list[Path]:
        """The files to read: those of a folder that fit, or all where none does (their trouble is told)."""
        files = label_files(path, ".json")
        return [file for file in files if self.fits(file)] or files

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format."""
        dataset, finder = Dataset(self.name, path), ImageFinder(path, options.images)
        files = self.files(path)
        if not files:
            message, fix = (
                f"there is no .json file for the format {self.name}",
                "give the folder that holds it",
            )
            problems.error("no-annotations", path, "", message, fix)
        for file in files:
            document = read_json(file, problems, options.encoding)
            if document is not None:
                self.parse(document, At(file, problems), dataset, finder)
        dataset.unlabelled = finder.unlabelled(image.path for image in dataset.images) if files else []
        return dataset

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format."""
        target.mkdir(parents=True, exist_ok=True)
        file = target / self.file_name
        file.write_bytes(encode_json(self.document(dataset, losses)))
        return [file]

    @abstractmethod
    def parse(self, document: Any, at: At, dataset: Dataset, finder: ImageFinder) -> None:
        """Add the images of a document to the data set."""

    @abstractmethod
    def document(self, dataset: Dataset, losses: Losses) -> Any:
        """The document to write."""


def annotated(name: str, at: At, finder: ImageFinder) -> AnnotatedImage:
    """An image as a JSON entry names it."""
    if not name:
        at.error("missing-name", "the entry does not name its image", "write the file name")
    return AnnotatedImage(finder.find(name), name=name or "unnamed", source=at.file, where=at.place)
