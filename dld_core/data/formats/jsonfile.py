"""JSON annotation files: read within bounds, with the place of what is broken, and written."""

from __future__ import annotations

import json
import math
import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from dld_core.data.formats.files import read_text
from dld_core.data.formats.problems import At, Problems
from dld_core.errors import DataError

MAX_JSON_BYTES = 2**30  # the largest known set, TextOCR's training half, has 0.3 GB


def read_json(path: Path, problems: Problems, encoding: str = "utf-8") -> Any | None:
    """The document of a JSON file; None and a reported problem where there is none.

    A truncated file is told from a malformed one, both with line and column; keys that stand twice in an
    object are reported (the last one counts).
    """
    text = read_text(path, problems, encoding, MAX_JSON_BYTES)
    return None if text is None else parse_json(text, At(path, problems))


def parse_json(text: str, at: At) -> Any | None:
    """Like `read_json`, for text that stands at a place of a file."""
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            seen: set[str] = set()
            repeated.extend(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return result

    try:
        document = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        _report_broken(text, error, at)
        return None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets in brackets
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        at.error("bad-json", f"this is no usable JSON: {reason}", "write it afresh")
        return None
    if document is None:
        at.error("wrong-type", "there is nothing but null in it", "give the whole file")
    for key in repeated:
        message = f"the key {key!r} stands twice in one object, and only the last is read"
        at.error("duplicate-key", message, "rename or merge them")
    return document


def _report_broken(text: str, error: json.JSONDecodeError, at: At) -> None:
    position = f"column {error.colno} of line {error.lineno}"
    place = at if at.line else At(at.file, at.problems, f"line {error.lineno}, column {error.colno}")
    if not text.strip():
        at.error("empty-file", "there is nothing in it", "give the whole file")
    elif error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        message = f"the JSON ends in the middle ({error.msg} at {position})"
        fix = "it was cut off while being written or copied: get the whole file again"
        place.error("truncated-json", message, fix)
    else:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        message = f"this is not JSON: {error.msg} near {near!r} ({position})"
        place.error("bad-json", message, "correct the syntax there")


def contains(path: Path, *needles: str) -> bool:
    """Whether a regular file holds every one of these strings. False where it cannot be read."""
    with (
        suppress(OSError, ValueError),  # ValueError: an empty file
        open(path if os.path.isfile(path) else os.devnull, "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return all(data.find(needle.encode()) >= 0 for needle in needles)
    return False


def encode_json(document: Any) -> bytes:
    """UTF-8 JSON that ends in a newline; NaN and infinity, which JSON has not, become null.

    Raises:
        DataError: it is nested too deeply.
    """
    try:
        try:
            text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        except ValueError:
            text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise DataError("the annotations hold lists in lists too deep to be written; flatten them") from None
    return text.encode("utf-8", "replace") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
