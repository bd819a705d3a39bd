"""Annotation formats in and out: `read(path)`, `write(dataset, target, format)`, `sniff(path)`.

In: files of the thirteen formats of `table`, folders of them. Out: one in-memory form (`model`), problems
with file, line and fix (`problems`), and files again. `checks.check` finds every problem of a set,
`convert.convert` goes from one format to another. docs/data.md lists the formats.
"""

from __future__ import annotations

from dld_core.data.formats.model import (
    AnnotatedImage,
    AnnotatedWord,
    Dataset,
    Losses,
    ReadOptions,
    load_sample,
)
from dld_core.data.formats.problems import Problem, Problems
from dld_core.data.formats.table import ALIASES, FORMATS, Format, get_format, read, sniff, write

__all__ = [
    "ALIASES",
    "FORMATS",
    "AnnotatedImage",
    "AnnotatedWord",
    "Dataset",
    "Format",
    "Losses",
    "Problem",
    "Problems",
    "ReadOptions",
    "get_format",
    "load_sample",
    "read",
    "sniff",
    "write",
]
