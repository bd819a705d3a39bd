"""The machinery of the conformance kit: numbered contracts, run by pytest or by `dld check`.

A contract is a method marked with `@contract(number, promise)`. Pytest collects it as any test of a subclass
named `Test...`; `run_contracts` runs the same methods without pytest. A failure cites number and promise.
"""

from __future__ import annotations

import functools
import re
import time
import unittest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeVar

Check = TypeVar("Check", bound=Callable[..., None])
State = Literal["passed", "failed", "skipped"]


class ContractError(AssertionError):
    """A contract is broken; the message cites its number, as docs/contract.md lists it.

    Attributes:
        number: such as "S4".
    """

    def __init__(self, number: str, promise: str, detail: str) -> None:
        super().__init__(f"contract {number} is broken ({promise}): {detail}")
        self.number = number
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Contract:
    """The number of a contract and what it promises, in one sentence."""

    number: str
    promise: str

    @property
    def order(self) -> tuple[int, int]:
        """For sorting: spotter, trainable, decoder, selector, distiller; S2 before S10."""
        return "STQRD".find(self.number[0]), int(self.number[1:])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one contract fared.

    Attributes:
        message: why it failed or was skipped; "" when it passed.
        seconds: how long it took.
    """

    contract: Contract
    state: State
    message: str
    seconds: float


def contract(number: str, promise: str) -> Callable[[Check], Check]:
    """Mark a method as the check of one contract; whatever it raises becomes a ContractError."""
    if not re.fullmatch(r"[A-Z]\d+", number):
        raise ValueError(f"a contract number is a capital letter and digits, not {number!r}")

    def mark(check: Check) -> Check:
        @functools.wraps(check)
        def checked(self: Any) -> None:
            try:
                check(self)
            except (ContractError, unittest.SkipTest):
                raise
            except AssertionError as error:
                raise ContractError(number, promise, str(error)) from None
            except Exception as error:
                raise ContractError(number, promise, f"{type(error).__name__}: {error}") from error

        checked.contract = Contract(number, promise)  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return mark


def require(condition: object, detail: str) -> None:
    """Like assert, and still there under `python -O`, since the kit ships in the wheel."""
    if not condition:
        raise AssertionError(detail)


def skip(reason: str) -> NoReturn:
    """Leave a contract unjudged; pytest knows this exception too."""
    raise unittest.SkipTest(reason)


def contracts_of(case: type) -> Iterator[tuple[Contract, str]]:
    """(contract, method name) of a contract class, inherited ones included, in the order of their numbers."""
    found = {
        getattr(case, name).contract: name
        for name in dir(case)
        if isinstance(getattr(getattr(case, name), "contract", None), Contract)
    }
    yield from sorted(found.items(), key=lambda item: item[0].order)


def run_contracts(case: type, only: set[str] | None = None) -> Iterator[Outcome]:
    """Run every contract of a class, each on a fresh instance; never raises for a broken contract.

    Args:
        case: a subclass of one of the contract classes.
        only: numbers to run; None for all.
    """
    for promised, method in contracts_of(case):
        if only is not None and promised.number not in only:
            continue
        start = time.perf_counter()
        state, message = _run_one(case, method)
        yield Outcome(promised, state, message, time.perf_counter() - start)


def _run_one(case: type, method: str) -> tuple[State, str]:
    try:
        getattr(case(), method)()
    except unittest.SkipTest as reason:
        return "skipped", str(reason)
    except ContractError as violation:
        return "failed", violation.detail
    return "passed", ""
