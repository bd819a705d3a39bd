"""From one annotation format to another, with a report of whatever the second could not keep."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dld_core.data.formats.files import listed, write_file
from dld_core.data.formats.jsonfile import encode_json
from dld_core.data.formats.model import AnnotatedImage, Dataset, Losses, ReadOptions
from dld_core.data.formats.pairing import safe_name
from dld_core.data.formats.problems import Problem, Problems
from dld_core.data.formats.table import get_format, read
from dld_core.errors import ConfigError

REPORT_NAME = "conversion-report.json"


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """How to convert.

    Attributes:
        read: how to read the source.
        copy_images: copy the images along.
        quads: reduce every polygon to four points (the ICDAR 2015 script reads no others).
        whole: round coordinates to whole pixels (which that script needs as well).
        overwrite: write into a folder that has files.
        skip_malformed: leave malformed places out, instead of refusing.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    copy_images: bool = False
    quads: bool = False
    whole: bool = False
    overwrite: bool = False
    skip_malformed: bool = False


@dataclass(slots=True)
class ConversionReport:
    """What a conversion did; `to_dict` is what conversion-report.json holds.

    Attributes:
        source, target: what was read and where to.
        source_format, target_format: their names.
        images, words, dont_care: how many were read.
        losses: what the target could not keep.
        skipped: the malformed places that were left out.
        files: annotation files written.
        images_copied, images_missing: of the images, where copies were asked for.
        unlabelled: images without annotations, which are not part of the result.
    """

    source: Path
    target: Path
    source_format: str
    target_format: str
    images: int = 0
    words: int = 0
    dont_care: int = 0
    losses: Losses = field(default_factory=Losses)
    skipped: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    images_copied: int = 0
    images_missing: int = 0
    unlabelled: int = 0

    def lost(self) -> list[dict[str, Any]]:
        """Each kind of loss with how often and the first place."""
        counts, examples = self.losses.counts, self.losses.examples
        return [{"what": what, "count": count, "example": examples[what]} for what, count in counts.items()]

    def to_dict(self) -> dict[str, Any]:
        """Json-able."""
        values = asdict(replace(self, losses=Losses(), skipped=[], files=[]))
        del values["losses"]
        return {
            "schema_version": 1,
            **{key: str(value) if isinstance(value, Path) else value for key, value in values.items()},
            "lost": self.lost(),
            "skipped": [problem.to_dict() for problem in self.skipped],
            "files": [file.relative_to(self.target).as_posix() for file in self.files],
        }


def convert(
    source: Path | str,
    target: Path | str,
    to: str,
    source_format: str = "auto",
    options: ConvertOptions | None = None,
) -> ConversionReport:
    """Convert a data set's annotations and write conversion-report.json beside them.

    Args:
        source: annotation file or folder.
        target: folder to write to; it must be new or empty (see `ConvertOptions.overwrite`).
        to: format to write.
        source_format: format to read, or "auto".
        options: see ConvertOptions.

    Raises:
        DataError: the source is absent, of no known format, or malformed.
        ConfigError: the target has files.
        UnknownPartError: there is no such format.
        MissingExtraError: a format needs a package that is not installed.
    """
    options, source, target = options or ConvertOptions(), Path(source), Path(target)
    writer, problems, given = get_format(to), Problems(), options.read
    _refuse_full(target, options.overwrite)
    dataset = read(
        source,
        source_format,
        images=given.images,
        encoding=given.encoding,
        points=given.points,
        problems=problems if options.skip_malformed else None,
    )
    report = ConversionReport(source, target, dataset.format, writer.name, skipped=problems.of("error"))
    words = [word for image in dataset.images for word in image.words]
    report.images, report.words = len(dataset.images), len(words)
    report.dont_care = sum(word.ignore for word in words)
    report.unlabelled = len(dataset.unlabelled)
    _simplify(dataset, report.losses, options)
    if options.copy_images and writer.images is not None:
        _copy_images(dataset, target / writer.images, report)
    report.files = writer.codec.write(dataset, target, report.losses)
    write_file(target / REPORT_NAME, encode_json(report.to_dict()))
    return report


def _refuse_full(target: Path, overwrite: bool) -> None:
    if os.path.exists(target) and not target.is_dir():
        raise ConfigError(f"{target} is a file; name a folder to write to.")
    if not overwrite and os.path.isdir(target) and listed(target):
        raise ConfigError(f"{target} has files; name a new folder, or allow it with --overwrite.")


def _simplify(dataset: Dataset, losses: Losses, options: ConvertOptions) -> None:
    """Fewer points and whole coordinates, as asked."""
    for image in dataset.images:
        for word in image.words:
            where = image.place_of(word)
            if options.quads:
                word.polygon = losses.quad(word.polygon, where)
            rounded = np.round(word.polygon)
            if options.whole and not np.array_equal(rounded, word.polygon):
                losses.add("coordinates rounded to whole pixels", where)
                word.polygon = rounded


def _copy_images(dataset: Dataset, folder: Path, report: ConversionReport) -> None:
    """Copy each image to its name under the folder; names that lead elsewhere are made to stay inside."""
    taken: dict[str, AnnotatedImage] = {}
    for image in dataset.images:
        name = safe_name(image.name).as_posix()
        if name != image.name:
            report.losses.add("image paths made relative to the target", image.name)
            image.name = name
        if not os.path.isfile(image.path):
            report.images_missing += 1
            continue
        if taken.setdefault(name, image).path != image.path:
            report.losses.add("images not copied: another of the same name was", str(image.path))
            continue
        if not (folder / name).exists() or not (folder / name).samefile(image.path):
            write_file(folder / name, image.path.read_bytes())
        report.images_copied += 1
