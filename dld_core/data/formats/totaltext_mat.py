"""Total-Text mat: MATLAB files with a cell array of rows ('x:', xs, 'y:', ys, text, orientation) per image.

The array is called `polygt`, and `gt` in files of the set's annotation tool, which also writes the
coordinates as columns. SciPy reads and writes the files; it is an optional extra.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dld_core.data.formats.base import Format, Losses, ReadOptions, own_extras, place_of
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import label_files
from dld_core.data.formats.perfile import per_image_dataset, target_files
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.textfile import MAX_TEXT_BYTES, read_bytes
from dld_core.data.formats.totaltext import guess_orientation, make_word, plain_text, zip_points
from dld_core.errors import MissingExtraError

_NAMES = ("polygt", "gt")


class TotalTextMatFormat(Format):
    """Total-Text mat."""

    name: ClassVar[str] = "totaltext-mat"
    summary: ClassVar[str] = "Total-Text MATLAB file per image (needs scipy)"

    def sniff(self, path: Path) -> float:
        """See Format."""
        return 0.7 * any(file.suffix.lower() == ".mat" for file in label_files(path, ".mat"))

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format. Raises MissingExtraError without SciPy."""
        scipy_io()
        files = label_files(path, ".mat")
        return per_image_dataset(self.name, path, files, problems, options, lambda f: _read(f, problems))

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format. Raises MissingExtraError without SciPy."""
        io = scipy_io()
        written = []
        for image, file in target_files(dataset, target, "poly_gt_{}.mat", losses):
            io.savemat(file, {"polygt": _rows(image, losses)}, do_compression=True)
            written.append(file)
        return written


def scipy_io() -> Any:
    """The module scipy.io. Raises MissingExtraError where SciPy is not installed."""
    try:
        import scipy.io
    except ImportError:
        raise MissingExtraError(
            "Total-Text .mat files need SciPy, which is not installed: pip install 'dld[mat]' "
            "(the .txt files of Total-Text need nothing)"
        ) from None
    return scipy.io


def _read(file: Path, problems: Problems) -> list[AnnotatedWord]:
    if read_bytes(file, problems, limit=MAX_TEXT_BYTES) is None:
        return []
    try:
        content = scipy_io().loadmat(file)
    except Exception as error:  # SciPy fails on damaged files in any way it likes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        problems.error("bad-mat", file, "", f"this is no readable MATLAB file ({reason})", "get it again")
        return []
    table = next((content[name] for name in _NAMES if name in content), None)
    if table is None or table.ndim != 2 or table.shape[1] < 5 or table.dtype != object:
        message = "there is no cell array `polygt` with rows of 'x:', xs, 'y:', ys, text, orientation"
        problems.error("bad-mat", file, "", message, "give the polygon annotations of Total-Text")
        return []
    words = (_word(row, file, f"row {number}", problems) for number, row in enumerate(table, start=1))
    return [word for word in words if word is not None]


def _word(row: Any, file: Path, where: str, problems: Problems) -> AnnotatedWord | None:
    xs, ys = (list(np.asarray(cell).ravel().tolist()) for cell in (row[1], row[3]))
    polygon = zip_points(xs, ys, file, where, problems)
    orientation = _string(row[5]) if len(row) > 5 else ""
    return None if polygon is None else make_word(polygon, _string(row[4]), orientation, where)


def _string(cell: Any) -> str:
    """A MATLAB string is an array of one text, or of none where it is empty."""
    values = np.asarray(cell).ravel().tolist()
    return str(values[0]).encode("utf-8", "replace").decode() if values else ""


def _rows(image: AnnotatedImage, losses: Losses) -> Any:
    table = np.empty((len(image.words), 6), dtype=object)
    for row, word in zip(table, image.words, strict=True):
        where = place_of(word, image.source)
        own_extras("totaltext", word.extra, frozenset({"orientation"}), losses, where)
        xs, ys = (_numbers(word.polygon[:, axis]) for axis in (0, 1))
        row[:] = ["x:", xs, "y:", ys, plain_text(word, losses, where), guess_orientation(word)]
    return table


def _numbers(values: Any) -> Any:
    """Whole coordinates as int32, as in the original files; others as float64; [1, n]."""
    whole = bool((values == np.round(values)).all())
    return np.asarray(values, dtype=np.int32 if whole else np.float64).reshape(1, -1)
