"""What is wrong with a data set: one `Problem` each, with the place and the fix, gathered and never raised.

Readers report to a `Problems` list and go on with the next line, so that one run names everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dld_core.errors import DataError

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


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


@dataclass(slots=True)
class Problems:
    """A list of problems that readers and checks write to."""

    items: list[Problem] = field(default_factory=list)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def add(
        self, severity: Severity, code: str, file: Path | str, where: str, message: str, fix: str
    ) -> None:
        """Note one problem."""
        self.items.append(Problem(severity, code, str(file), where, message, fix))

    def error(self, code: str, file: Path | str, where: str, message: str, fix: str) -> None:
        """Note one problem that makes its line, entry or file unusable."""
        self.add("error", code, file, where, message, fix)

    def warning(self, code: str, file: Path | str, where: str, message: str, fix: str) -> None:
        """Note one problem that is probably a mistake."""
        self.add("warning", code, file, where, message, fix)

    def info(self, code: str, file: Path | str, where: str, message: str, fix: str) -> None:
        """Note something worth knowing."""
        self.add("info", code, file, where, message, fix)

    def of(self, severity: Severity) -> list[Problem]:
        """Those of one severity, in the order they were found."""
        return [p for p in self.items if p.severity == severity]

    def counts(self) -> dict[str, int]:
        """How many of each severity."""
        tally = Counter(p.severity for p in self.items)
        return {severity: tally[severity] for severity in SEVERITIES}

    def raise_errors(self, path: Path | str, shown: int = 5) -> None:
        """Raise DataError naming the first few errors, if there are any."""
        errors = self.of("error")
        if not errors:
            return
        lines = "\n".join(f"  {problem}" for problem in errors[:shown])
        more = f"\n  and {len(errors) - shown} more" if len(errors) > shown else ""
        raise DataError(
            f"{len(errors)} malformed place(s) in {path}:\n{lines}{more}\n"
            f"`dld data check {path}` lists them all with their fixes."
        )
