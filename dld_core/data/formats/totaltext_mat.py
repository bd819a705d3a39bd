"""Total-Text's MATLAB files: a cell array of rows ('x:', xs, 'y:', ys, text, orientation) per image.

The array is called `polygt`, and `gt` in files of the set's annotation tool, which also writes the
coordinates as columns. SciPy reads and writes the files; it is an optional extra.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dld_core.data.formats.files import read_bytes, write_file
from dld_core.data.formats.model import AnnotatedWord, Dataset, Losses, ReadOptions
from dld_core.data.formats.pairing import label_files
from dld_core.data.formats.perimage import dataset_of, target_files, words_of
from dld_core.data.formats.problems import At, Problems
from dld_core.data.formats.totaltext import columns, make_word
from dld_core.errors import MissingExtraError

MAX_MAT_BYTES = 2**19  # those of Total-Text have some kilobytes, and packed ones unpack to far more


def likely(path: Path) -> float:
    """How surely a path holds such files."""
    return 0.7 * any(file.suffix.lower() == ".mat" for file in label_files(path, ".mat"))


def scipy_io() -> Any:
    """The module scipy.io. Raises MissingExtraError where SciPy is not installed."""
    try:
        import scipy.io  # an optional extra
    except ImportError:
        raise MissingExtraError(
            "Total-Text .mat files need SciPy, which is not installed: pip install 'dld[mat]' "
            "(the .txt files of Total-Text need nothing)"
        ) from None
    return scipy.io


def read(path: Path, problems: Problems, options: ReadOptions) -> Dataset:
    """Read the files, each with its image. Raises MissingExtraError without SciPy."""
    scipy_io()
    files = [(file, _read(file, At(file, problems))) for file in label_files(path, ".mat")]
    return dataset_of("totaltext-mat", path, files, problems, options)


def _read(file: Path, at: At) -> list[AnnotatedWord]:
    data = read_bytes(file, at.problems, MAX_MAT_BYTES)
    if data is None:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = scipy_io().loadmat(io.BytesIO(data))
    except Exception as error:  # SciPy fails on damaged files in any way it likes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        at.error("bad-mat", f"this is no readable MATLAB file ({reason})", "get it again")
        return []
    table = next((content[name] for name in ("polygt", "gt") if name in content), None)
    if table is None or getattr(table, "ndim", 0) != 2 or table.shape[1] < 5 or table.dtype != object:
        message = "there is no cell array `polygt` with rows of 'x:', xs, 'y:', ys, text, orientation"
        at.error("bad-mat", message, "give the polygon annotations of Total-Text")
        return []
    rows = ([*(np.asarray(cell).ravel().tolist() for cell in row), []] for row in table)
    return words_of(_word, ((row, at, number) for number, row in enumerate(rows, start=1)))


def _word(row: list[Any], at: At, number: int) -> AnnotatedWord:
    # A MATLAB string is an array of one text, or of none where it is empty.
    text, letter = (str(cell[0]).encode("utf-8", "replace").decode() if cell else "" for cell in row[4:6])
    return make_word(row[1], row[3], text, letter, At(at.file, at.problems, f"row {number}"))


def write(dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
    """Write one file per image. Raises MissingExtraError without SciPy."""
    written, scipy = [], scipy_io()
    for image, file in target_files(dataset, target, "poly_gt_{}.mat", losses):
        table, data = np.empty((len(image.words), 6), dtype=object), io.BytesIO()
        for row, word in zip(table, image.words, strict=True):
            row[:] = [
                "x:",
                _axis(word, 0),
                "y:",
                _axis(word, 1),
                *columns(word, losses, image.place_of(word)),
            ]
        scipy.savemat(data, {"polygt": table}, do_compression=True)
        write_file(file, data.getvalue())
        written.append(file)
    return written


def _axis(word: AnnotatedWord, axis: int) -> Any:
    """Whole coordinates as int32, as in the original files; others as float64; [1, n]."""
    values = word.polygon[:, axis]
    whole = bool((values == np.round(values)).all())
    return values.astype(np.int32 if whole else np.float64).reshape(1, -1)
