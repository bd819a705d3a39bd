"""Broken inputs: bytes and JSON values changed at random, and the rule that everything must keep to.

The rule: the library's own error or a result, in under ten seconds and under 1 GiB more than before.
"""

from __future__ import annotations

import copy
import random
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from dld_core.errors import DLDError

SECONDS, BYTES = 10.0, 2**30
TOKENS = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b",",
    b'"',
    b"'",
    b"{",
    b"]",
    b"-",
    b"nan",
    b"1e400",
    b"####",
]
TOKENS += [
    b"[" * 2000,
    b"9" * 5000,
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"../",
    b"x" * 3000,
    b"\\u0000",
    b"\\ud800",
    b"1," * 900,
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e400,
    10**400,
    float("nan"),
    "",
    "\0",
    "a" * 300,
    "../" * 20 + "x",
    "\ud800",
]
VALUES += [[], {}, [[]], {"": []}, [1, 2, 3, 4], [[1, 2]] * 600, list(range(1002)), "1" * 4300]


def mutated(data: bytes, rng: random.Random, longest: int = 200_000) -> bytes:
    """The bytes with one to four changes: flipped, cut, doubled, moved, or a nasty token put in."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(result) + 1)
        end = min(len(result), at + rng.choice((1, 4, 64, 1024)))
        change = rng.randrange(6)
        if change == 0 and at < len(result):
            result[at] = rng.randrange(256)
        elif change == 1:
            del result[at:end]
        elif change == 2:
            result[at:at] = result[at:end] * rng.choice((1, 2, 50))
        elif change == 3:
            other = rng.randrange(len(result) + 1)
            result[other:other] = result[at:end]
        elif change == 4:
            result[at:at] = rng.choice(TOKENS)
        else:
            del result[at:]
    return bytes(result[:longest])


def mutated_json(value: Any, rng: random.Random) -> Any:
    """A JSON value with one to three of its parts replaced, left out, renamed or doubled."""
    document = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        change = rng.randrange(4)
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder[rng.choice(("", "\0", "a" * 300, "id", "points"))] = holder.pop(key)
        elif change == 1:
            holder.extend(holder[:50])
        elif change == 2:
            holder[key] = copy.deepcopy(rng.choice(places)[0])
        else:
            holder[key] = rng.choice(VALUES)
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def survives(what: object, run: Callable[..., object], *arguments: Any, **options: Any) -> bool:
    """Whether `run(*arguments, **options)` has a result; the library's own error is as good.

    Raises:
        AssertionError: with `what` was given: another error came out, or it took too long or too much memory.
    """
    before, start, result = _peak(), time.process_time(), True
    try:
        with warnings.catch_warnings(record=True):
            run(*arguments, **options)
    except DLDError:
        result = False
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} came out of {what!r}") from error
    taken, grown = time.process_time() - start, _peak() - before
    assert taken < SECONDS, f"{taken:.1f} s for {what!r}"
    assert grown < BYTES, f"{grown / 2**20:.0f} MiB for {what!r}"
    return result


def _peak() -> int:
    """The largest resident memory of the process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
