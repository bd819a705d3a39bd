"""The settings of a study: which systems read which sets, at which scales and prices."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from dld_core.config import PartConfig

DEFAULT_SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
DEFAULT_GAMMAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


def checked_prices(gammas: tuple[float, ...]) -> tuple[float, ...]:
    """Prices as they are; ValueError for one below 0."""
    if any(gamma < 0 for gamma in gammas):
        raise ValueError("prices must not be below 0")
    return gammas


class SetConfig(PartConfig):
    """Annotated images.

    Attributes:
        images: folder of pictures.
        gt: their annotations, in the challenge's txt or (with `format`) any that `dld data convert` reads.
        format: see `dld evaluate --format`.
        lexicons: name -> word list, or folder of one per image ("strong", "weak", "generic", "full").
        limit: only the first so many images; None for all.
    """

    images: str
    gt: str
    format: str | None = None
    lexicons: dict[str, str] = Field(default_factory=dict)
    limit: int | None = Field(default=None, ge=1)


class SystemConfig(PartConfig):
    """One spotter, read at fixed scales and, with a selector, at scales of its choice.

    Attributes:
        backend, weights, options: as DLDWrapper takes them.
        student: read with the distilled student that ships with the weights, where there is one.
        scales: fractions of the reference short side.
        native_scales: fractions of the image's own size ("vanilla multi-scale"); never enlarged, so that
            no saving comes from undoing an enlargement.
        selector: "bundled", a file, or None: nothing is chosen.
        selectors: name -> file: further selectors, to compare.
        gammas: prices at which the selectors choose (see `Policy`).
        oracle: read every image once more at each reference scale, with its borders cut a little, and add
            what an oracle would reach that chooses by that run (`worth`).
        threads: of the CPU, where this system has others than the study.
    """

    backend: str
    weights: str | None = "bundled"
    options: dict[str, Any] = Field(default_factory=dict)
    student: bool = True
    scales: tuple[float, ...] = DEFAULT_SCALES
    native_scales: tuple[float, ...] = ()
    selector: str | None = "bundled"
    selectors: dict[str, str] = Field(default_factory=dict)
    gammas: tuple[float, ...] = DEFAULT_GAMMAS
    oracle: bool = False
    threads: int | None = Field(default=None, ge=1)

    @field_validator("scales", "native_scales")
    @classmethod
    def _positive(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < s <= 4 for s in scales):
            raise ValueError("scales must each be above 0 and up to 4")
        return tuple(sorted(set(scales)))

    @field_validator("gammas")
    @classmethod
    def _prices(cls, gammas: tuple[float, ...]) -> tuple[float, ...]:
        return checked_prices(gammas)

    @model_validator(mode="after")
    def _oracle_has_scales(self) -> SystemConfig:
        if self.oracle and not self.scales:
            raise ValueError("'oracle' chooses among 'scales', and there are none")
        return self


class StudyConfig(PartConfig):
    """A cross-framework study.

    Attributes:
        sets: name -> annotated images.
        systems: name -> spotter; the first is what the relative cost of all others refers to, at its
            largest scale.
        threads: of the CPU.
        device: "auto", "cpu", "cuda:0".
        iou: a match needs an overlap above this.
        memory: also measure each system's peak memory, in a process of its own.
        against: a system that all others are compared with at equal fixed scales, image by image.
    """

    sets: dict[str, SetConfig]
    systems: dict[str, SystemConfig]
    threads: int | None = Field(default=None, ge=1)
    device: str = "auto"
    iou: float = Field(default=0.5, gt=0, lt=1)
    memory: bool = False
    against: str | None = None

    @model_validator(mode="after")
    def _something(self) -> StudyConfig:
        if not self.sets or not self.systems:
            raise ValueError("a study needs at least one set and one system")
        if self.against is not None and self.against not in self.systems:
            raise ValueError(f"against={self.against!r} is none of the systems: {', '.join(self.systems)}")
        return self
