"""Annotation formats in and out: `read(path)`, `write(dataset, target, format)`, `sniff(path)`.

One file per format stands behind `base.Format`; all share the in-memory form of `model`. The formats are
listed in docs/data.md.
"""

from __future__ import annotations

from dld_core.data.formats.base import Format, Losses, ReadOptions
from dld_core.data.formats.catalogue import FORMATS, get_format, read, sniff, write
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset, load_sample
from dld_core.data.formats.problems import Problem, Problems

__all__ = [
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
