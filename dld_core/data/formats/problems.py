"""What is wrong with a data set: one `Problem` each, with the place and the fix, gathered and never raised.

Readers report to a `Problems` list and go on with the next line, so that one run names everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dld_core.errors import DataError

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth knowing, about one place of a data set.

    Attributes:
        severity: "error" (cannot be used as it is), "warning" (usable, probably wrong) or "info".
        code: short and stable, for scripts ("wrong-count", "missing-image", ...; docs/data.md lists all).
        file: the file to open.
        where: the place in it: "line 3", or a JSON pointer such as "/annotations/7/points"; "" = the file.
        message: what is wrong.
        fix: what to do about it.
    """

    severity: Severity
    code: str
    file: str
    where: str
    message: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.where}" if self.where else self.file
        return f"{place}: {self.severity} [{self.code}]: {self.message}; {self.fix}"

    def to_dict(self) -> dict[str, Any]:
        """All fields; `line` is the number where the place is a line, else None."""
        line = int(self.where[5:].split(",")[0]) if self.where.startswith("line ") else None
        return {**asdict(self), "line": line}


class Problems(list[Problem]):
    """The problems that readers and checks found, in that order."""

    def of(self, severity: Severity) -> list[Problem]:
        """Those of one severity."""
        return [problem for problem in self if problem.severity == severity]

    def counts(self) -> dict[str, int]:
        """How many of each severity."""
        tally = Counter(problem.severity for problem in self)
        return {severity: tally[severity] for severity in SEVERITIES}

    def raise_errors(self, path: Path | str, shown: int = 5, hint: str = "") -> None:
        """Raise DataError with the first few errors and a closing `hint`, if there are errors."""
        errors = self.of("error")
        if errors:
            lines = "\n".join(f"  {problem}" for problem in errors[:shown])
            more = f"\n  and {len(errors) - shown} more" if len(errors) > shown else ""
            hint = f"\n{hint}" if hint else ""
            raise DataError(f"{len(errors)} malformed place(s) in {path}:\n{lines}{more}{hint}")


class MalformedError(Exception):
    """A place was reported as malformed; what stands there is left out."""


@dataclass(frozen=True, slots=True)
class At:
    """A place in a file, to which problems are reported. `at / "key" / 0` goes deeper (RFC 6901).

    Attributes:
        file: the file.
        problems: takes what is reported.
        line: "line 3" in a file of lines, else "".
        pointer: the JSON pointer, within the line or the file.
    """

    file: Path | str
    problems: Problems
    line: str = ""
    pointer: str = ""

    @property
    def place(self) -> str:
        """The place for messages: "/anns/7", or "line 3, /0/points"."""
        return ", ".join(part for part in (self.line, self.pointer) if part)

    @property
    def key(self) -> str:
        """The last key of the pointer, as the file has it."""
        return self.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")

    def __truediv__(self, key: str | int) -> At:
        escaped = str(key).replace("~", "~0").replace("/", "~1")
        return At(self.file, self.problems, self.line, f"{self.pointer}/{escaped}")

    def error(self, code: str, message: str, fix: str) -> None:
        """Report what makes the line, entry or file unusable."""
        self.problems.append(Problem("error", code, str(self.file), self.place, message, fix))

    def malformed(self, code: str, message: str, fix: str) -> MalformedError:
        """Report an error, and give the exception that leaves the place out."""
        self.error(code, message, fix)
        return MalformedError()

    def warning(self, code: str, message: str, fix: str) -> None:
        """Report what is probably a mistake."""
        self.problems.append(Problem("warning", code, str(self.file), self.place, message, fix))

    def info(self, code: str, message: str, fix: str) -> None:
        """Report what is worth knowing."""
        self.problems.append(Problem("info", code, str(self.file), self.place, message, fix))

    def typed(self, value: Any, kind: type) -> bool:
        """Whether a JSON value is a dict, list or str as expected; reported where it is not."""
        if isinstance(value, kind):
            return True
        found = "nothing" if value is None else f"{type(value).__name__} {short(value)}"
        self.error("wrong-type", f"{_KINDS[kind]} is needed here, not {found}", f"write {_KINDS[kind]}")
        return False

    def mapping(self, value: Any) -> dict[str, Any]:
        """The value if it is an object, else an empty one and a reported problem."""
        return value if self.typed(value, dict) else {}

    def sequence(self, value: Any) -> list[Any]:
        """The value if it is a list, else an empty one and a reported problem."""
        return value if self.typed(value, list) else []

    def objects(self, value: Any) -> Iterator[tuple[At, dict[str, Any]]]:
        """The objects of a list, or of an object's values, with their places; others are reported."""
        items: Iterable[tuple[str | int, Any]]
        items = value.items() if isinstance(value, dict) else enumerate(self.sequence(value))
        for key, item in items:
            if (self / key).typed(item, dict):
                yield self / key, item

    def text(self, entry: dict[str, Any], key: str) -> str:
        """The string under a key, made encodable; "" where it is absent, null or (reported) no string."""
        value = entry.get(key)
        if value is None or not (self / key).typed(value, str):
            return ""
        return self.clean(str(value), key)

    def clean(self, value: str, key: str = "") -> str:
        """The text with each half of a surrogate pair (reported) turned into a question mark."""
        clean = value.encode("utf-8", "replace").decode()
        if clean != value:
            message = "the text holds half of a surrogate pair, which is no character"
            (self / key if key else self).error(
                "broken-text", message, "write the character itself, in UTF-8"
            )
        return clean

    def flag(self, entry: dict[str, Any], key: str, default: bool) -> bool:
        """The true or false (or 1 or 0) under a key; a reported problem and whether it is set for others."""
        value = entry.get(key, default)
        if value not in (True, False):
            (self / key).error("wrong-type", f"{short(value)} is no flag", "write true or false, or 1 or 0")
        return value not in (False, None)

    def size(self, entry: dict[str, Any], key: str) -> int | None:
        """A width or height in pixels; None where absent, or (reported) not a positive whole number."""
        value = entry.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e7 or value % 1:
            (self / key).error(
                "bad-size",
                f"{short(value)} is no size of an image",
                "write a positive whole number of pixels",
            )
            return None
        return int(value)


def short(value: Any) -> str:
    """A value for a message, cut to 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
