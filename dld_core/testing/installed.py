"""The contracts of an installed part: which class of contracts it must keep, and how to build it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dld_core.errors import DLDError
from dld_core.interfaces import Distiller, ResolutionSelector, Spotter, TrainableSpotter
from dld_core.plugins import registry
from dld_core.testing.compare import seeded
from dld_core.testing.distiller import DistillerContract
from dld_core.testing.selector import ResolutionSelectorContract
from dld_core.testing.spotter import SpotterContract
from dld_core.testing.trainable import TrainableSpotterContract

_CONTRACTS: tuple[tuple[type, type], ...] = (
    (TrainableSpotter, TrainableSpotterContract),
    (Spotter, SpotterContract),
    (ResolutionSelector, ResolutionSelectorContract),
    (Distiller, DistillerContract),
)


def case_of(
    name: str,
    group: str | None = None,
    weights: str | None = "bundled",
    options: Mapping[str, Any] | None = None,
) -> type:
    """The contract class of an installed part, ready for `run_contracts`; the part is built once to be sure.

    Args:
        name: as `dld backends` lists it.
        group: its entry-point group; needed only where a name stands in several.
        weights: of a spotter: "bundled", a path, or None for random ones (seeded).
        options: what else to build it with.

    Raises:
        DLDError: it is unknown, ambiguous, broken, or cannot be built.
    """
    part = registry.locate(name, group).get(name)
    options = dict(options or {})

    def make(case: object) -> Any:
        del case
        with seeded():
            if issubclass(part, Spotter):
                return part.create(weights=weights, **options)
            return (
                part.create(**options) if issubclass(part, ResolutionSelector) else part(**options)
            ).eval()

    _try_out(name, make)
    contracts = next(case for kind, case in _CONTRACTS if issubclass(part, kind))
    return type(f"{part.__name__}Contract", (contracts,), {"make": make})


def _try_out(name: str, make: Any) -> None:
    try:
        make(None)
    except DLDError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise DLDError(f"'{name}' cannot be built, so no contract can be checked: {told}") from error
