"""Reading JSON annotation files: bounded, with the place of what is broken and a pointer to each value."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dld_core.data.formats.coordinates import Polygon, parse_numbers, rectangle, to_polygon
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.textfile import read_text

MAX_JSON_BYTES = 2**30  # the largest known set, TextOCR's training half, has 0.3 GB
_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}


@dataclass(frozen=True, slots=True)
class At:
    """A place in a JSON file, to which problems are reported. `at / "key" / 0` goes deeper (RFC 6901).

    Attributes:
        file: the file.
        problems: where trouble goes.
        pointer: the JSON pointer.
        prefix: the line, where each line of the file is a document of its own.
    """

    file: Path
    problems: Problems
    pointer: str = ""
    prefix: str = ""

    @property
    def key(self) -> str:
        """The last key of the pointer, as the file has it."""
        return self.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")

    @property
    def place(self) -> str:
        """The place for messages: "/anns/7", or "line 3, /0/points"."""
        return ", ".join(part for part in (self.prefix, self.pointer) if part)

    def __truediv__(self, key: str | int) -> At:
        escaped = str(key).replace("~", "~0").replace("/", "~1")
        return At(self.file, self.problems, f"{self.pointer}/{escaped}", self.prefix)

    def error(self, code: str, message: str, fix: str) -> None:
        """Report an error here."""
        self.problems.error(code, self.file, self.place, message, fix)

    def warning(self, code: str, message: str, fix: str) -> None:
        """Report a warning here."""
        self.problems.warning(code, self.file, self.place, message, fix)

    def _typed(self, value: Any, kind: type) -> bool:
        if isinstance(value, kind):
            return True
        found = "nothing" if value is None else f"{type(value).__name__} {_short(value)}"
        self.error("wrong-type", f"{_KINDS[kind]} is needed here, not {found}", f"write {_KINDS[kind]}")
        return False

    def mapping(self, value: Any) -> dict[str, Any]:
        """The value if it is an object, else an empty one and a reported problem."""
        return value if self._typed(value, dict) else {}

    def sequence(self, value: Any) -> list[Any]:
        """The value if it is a list, else an empty one and a reported problem."""
        return value if self._typed(value, list) else []

    def objects(self, value: Any) -> Iterator[tuple[At, dict[str, Any]]]:
        """The objects of a list, or of an object's values, with their places; others are reported."""
        items: Iterable[tuple[str | int, Any]]
        items = value.items() if isinstance(value, dict) else enumerate(self.sequence(value))
        for key, item in items:
            if (self / key)._typed(item, dict):
                yield self / key, item

    def text(self, value: Any) -> str:
        """The value if it is a string, made encodable; "" for null; else "" and a reported problem."""
        if value is None:
            return ""
        if not self._typed(value, str):
            return ""
        clean = str(value).encode("utf-8", "replace").decode()
        if clean != value:
            message = "the text holds half of a surrogate pair, which is no character"
            self.error("broken-text", message, "write the character itself, in UTF-8")
        return clean

    def size(self, entry: dict[str, Any], key: str) -> int | None:
        """A width or height in pixels; None where absent, or (reported) not a positive whole number."""
        value = entry.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e7 or value % 1:
            message = f"{_short(value)} is no size of an image"
            (self / key).error("bad-size", message, "write a positive whole number of pixels")
            return None
        return int(value)

    def polygon(self, value: Any) -> Polygon | None:
        """[x1, y1, x2, y2, ...] or [[x1, y1], ...] to float64 [n, 2]; two points are a rectangle.

        None and a reported problem where it is neither, has other counts, or holds what is no number.
        """
        if not self._typed(value, list):
            return None
        if value and all(isinstance(point, list) for point in value):
            wrong = next((i for i, point in enumerate(value) if len(point) != 2), None)
            if wrong is not None:
                message = f"the point has {len(value[wrong])} coordinates, not 2"
                (self / wrong).error("wrong-count", message, "write [x, y]")
                return None
            value = [number for point in value for number in point]
        return self._flat_polygon(value)

    def _flat_polygon(self, value: list[Any]) -> Polygon | None:
        if len(value) % 2 or len(value) < 4:
            message = f"the polygon has {len(value)} coordinates; there must be x and y of 3 points or more"
            self.error("wrong-count", message, "write [x1, y1, x2, y2, x3, y3, ...]")
            return None
        numbers = parse_numbers(value, self.file, self.place, self.problems)
        if numbers is None:
            return None
        return rectangle(*numbers) if len(numbers) == 4 else to_polygon(numbers)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_json(
    path: Path, problems: Problems, encoding: str = "utf-8", limit: int = MAX_JSON_BYTES
) -> Any | None:
    """The document of a JSON file; None and a reported problem where there is none.

    A truncated file is told from a malformed one, both with line and column; keys that stand twice in an
    object are reported (the last one counts).
    """
    text = read_text(path, problems, encoding=encoding, limit=limit)
    return None if text is None else parse_json(text, path, "", problems)


def parse_json(text: str, file: Path, where: str, problems: Problems) -> Any | None:
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
        _report_broken(text, error, file, where, problems)
        return None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets in brackets
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        problems.error("bad-json", file, where, f"this is no usable JSON: {reason}", "write it afresh")
        return None
    if document is None:
        problems.error("wrong-type", file, where, "there is nothing but null in it", "give the whole file")
    for key in repeated:
        message = f"the key {key!r} stands twice in one object, and only the last is read"
        problems.error("duplicate-key", file, where, message, "rename or merge them")
    return document


def _report_broken(
    text: str, error: json.JSONDecodeError, file: Path, where: str, problems: Problems
) -> None:
    position = f"line {error.lineno}, column {error.colno}"
    if not text.strip():
        problems.error("empty-file", file, where, "there is nothing in it", "give the whole file")
    elif error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        message = f"the JSON ends in the middle ({error.msg} at column {error.colno} of line {error.lineno})"
        fix = "it was cut off while being written or copied: get the whole file again"
        problems.error("truncated-json", file, where or position, message, fix)
    else:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        message = f"this is not JSON: {error.msg} near {near!r} (column {error.colno} of line {error.lineno})"
        problems.error("bad-json", file, where or position, message, "correct the syntax there")


def contains(path: Path, *needles: str) -> bool:
    """Whether a file holds every one of these strings. False where it cannot be read."""
    if not path.is_file():  # opening a FIFO would block for ever
        return False
    with (
        suppress(OSError, ValueError),  # ValueError: an empty file
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        return all(data.find(needle.encode()) >= 0 for needle in needles)
    return False


def encode_json(document: Any) -> bytes:
    """UTF-8 JSON that ends in a newline; NaN and infinity, which JSON has not, become null."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
