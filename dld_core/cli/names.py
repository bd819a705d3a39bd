"""Names for the files that come out of images, such that two images never share one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def output_names(paths: Sequence[Path]) -> list[str]:
    """One name (no suffix) per path, all different, also where case does not count.

    The stem where that is enough ("street"); else the whole name ("street.png"), then with as many of
    the folders above as it takes ("monday_street.png"). The same paths get the same names every time.
    """
    parts = [_parts(path) for path in paths]
    levels = [0] * len(paths)
    while True:
        names = [_name(part, level) for part, level in zip(parts, levels, strict=True)]
        counts = Counter(name.lower() for name in names)
        growing = [
            i for i, name in enumerate(names) if counts[name.lower()] > 1 and levels[i] < len(parts[i])
        ]
        if not growing:
            return _numbered(names)
        for index in growing:
            levels[index] += 1


def _parts(path: Path) -> tuple[str, ...]:
    absolute = path.absolute()
    return absolute.parts[1:] or (absolute.name,)


def _name(parts: tuple[str, ...], level: int) -> str:
    return Path(parts[-1]).stem if level == 0 else "_".join(parts[-level:])


def _numbered(names: list[str]) -> list[str]:
    """What is still equal (`a_b/c` and `a/b_c`) gets numbers."""
    used: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 2
        while candidate.lower() in used:
            candidate, number = f"{name}-{number}", number + 1
        used.add(candidate.lower())
        result.append(candidate)
    return result
