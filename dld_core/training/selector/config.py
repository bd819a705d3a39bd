"""The settings of a selector's training: what it looks at, what is measured for it, how it is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dld_core.config import PartConfig
from dld_core.data.sources import ImagesSourceConfig, SourceConfig, parse_source
from dld_core.interfaces import DEFAULT_GAMMA, DEFAULT_SCALES, ResolutionSelector, SelectorConfig
from dld_core.plugins.registry import selectors
from dld_core.training.selector.losses import Mode
from dld_core.training.selector.sampling import Draws
from dld_core.types import Sample


class FitConfig(PartConfig):
    """How a selector is fitted.

    Attributes:
        steps: of the optimiser.
        batch_size: images per step.
        lr: highest learning rate; it falls along a cosine.
        mode: loss of the decisions, "paper" or "expected" (see `losses`).
        gamma: range that the price of cost is drawn from (log-uniformly), so that one selector serves all.
        sharpness: of the decisions' softmax, per word.
        measured_share: of the steps that see images read by the spotter (the others see text alone).
        weights: of the selector's losses by name, instead of its own `loss_weights`.
        seed: of everything random.
    """

    steps: int = Field(default=3000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    mode: Mode = "expected"
    gamma: tuple[float, float] = (0.05, 5.0)
    sharpness: float = Field(default=3.0, gt=0)
    measured_share: float = Field(default=0.5, ge=0, le=1)
    weights: dict[str, float] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not 0 < self.gamma[0] <= self.gamma[1]:
            raise ValueError("'gamma' must be a smallest and a largest price, both above 0")
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("'weights' must not be below 0")
        return self


class JointConfig(PartConfig):
    """The selector's part in the loop of distillation.

    Attributes:
        mode: "paper" (Gumbel-softmax decisions) or "expected".
        gamma: weight of cost (the paper's: 0.1 and 0.3).
        weight: of this loss among the others.
        per: what the divergence is counted by: "word" (mean, whatever their number) or "image" (sum).
        sharpness: of the softmax over scales.
    """

    mode: Mode = "paper"
    gamma: float = Field(default=0.1, ge=0)
    weight: float = Field(default=1.0, gt=0)
    per: Literal["word", "image"] = "image"
    sharpness: float = Field(default=3.0, gt=0)


class DrawConfig(PartConfig):
    """Images taken from sources.

    Attributes:
        data: sources, as in training, but for random views: images are taken whole.
        images: how many are drawn, each but once; fewer where there are no more.
    """

    data: tuple[SourceConfig, ...] = ()
    images: int = Field(default=0, ge=0)

    @field_validator("data", mode="before")
    @classmethod
    def _sources(cls, values: Any) -> tuple[SourceConfig, ...]:
        if not isinstance(values, list | tuple):
            raise ValueError("'data' must be a list of sources, each with a 'kind'")
        return tuple(parse_source(value, f"data[{i}]") for i, value in enumerate(values))

    @model_validator(mode="after")
    def _images_come_from_somewhere(self) -> Self:
        if self.images and not self.data:
            raise ValueError("'images' are asked for, but 'data' names no source of them")
        return self

    def draw(self, seed: int) -> Sequence[Sample]:
        """The images, whole and each but once."""
        return Draws(self.data, self.images, seed) if self.images else ()


class PagesConfig(DrawConfig):
    """Annotated pages that teach where words are and how high; no spotter reads them.

    Attributes:
        zooms: parts of each page that are looked at, beside the whole.
    """

    images: int = Field(default=2000, ge=0)
    zooms: int = Field(default=2, ge=0)


class MeasureConfig(DrawConfig):
    """Images that the spotter reads at every scale.

    Attributes:
        runs: readings of each image at each scale; at least two, for the cross-run oracle.
        labels: "given" uses the annotations, "none" the spotter's own words at the largest scale.
        workers: processes that share the images, each with a spotter of its own.
        max_minutes: read no further after this time and go on with what there is; None for no limit.
    """

    images: int = Field(default=300, ge=0)
    runs: int = Field(default=2, ge=2)
    labels: Literal["given", "none"] = "given"
    workers: int = Field(default=1, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _labels_are_there(self) -> Self:
        if self.labels == "given" and any(isinstance(s, ImagesSourceConfig) for s in self.data):
            raise ValueError("sources of kind 'images' have no labels; set 'labels: none'")
        return self


class SelectorTrainingConfig(PartConfig):
    """The section `selector` of a `dld distill` file.

    Attributes:
        name: what the kind of selector is registered as (`dld backends` lists selectors, too).
        options: its own options, beside these four of every selector:
        scales, long_side, gamma: see SelectorConfig.
        init: a selector of that kind to start from: "bundled" for the one that ships with the library and
            knows pages already, or a file; None starts from nothing.
        pages: what it looks at.
        measured: what the spotter reads for it; no images leave it as `init` (or the joint training) has it.
        held_out: share of the measured images that judge it and teach it nothing.
        alarm: words that a detection costs; None for half the h-mean that the spotter reaches on the
            measured images at the best of the scales (a quarter where there are no labels).
        fit: how it is fitted.
        seed: of the draws.
    """

    name: str = "dense"
    options: dict[str, Any] = Field(default_factory=dict)
    scales: tuple[float, ...] = DEFAULT_SCALES
    long_side: int = 384
    gamma: float = Field(default=DEFAULT_GAMMA, ge=0)
    init: str | None = None
    pages: PagesConfig = PagesConfig(images=0)
    measured: MeasureConfig = MeasureConfig(images=0)
    held_out: float = Field(default=0.2, gt=0, lt=1)
    alarm: float | None = Field(default=None, ge=0, le=1)
    fit: FitConfig = FitConfig()
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _the_selector_takes_it(self) -> Self:
        kind = selectors.get(self.name)
        kind.config_type.parse(self.selector_options(1.0), where=f"selector '{self.name}'")
        unknown = sorted(self.fit.weights.keys() - kind.loss_weights.keys())
        if unknown:
            known = ", ".join(kind.loss_weights)
            raise ValueError(f"'fit.weights': '{self.name}' has no loss {unknown[0]!r}; there are {known}")
        return self

    def selector_options(self, reference: float) -> dict[str, Any]:
        """All options of the selector, for a spotter of that reference short side."""
        shared = SelectorConfig.model_fields.keys() & type(self).model_fields.keys()
        own = {name: getattr(self, name) for name in shared}
        return {**own, **self.options, "reference_short_side": float(reference)}

    def create(self, reference: float) -> ResolutionSelector:
        """The selector, untrained."""
        return selectors.get(self.name).create(**self.selector_options(reference))

    def limited(self, minutes: float | None) -> Self:
        """The same with at most so many minutes of reading; None changes nothing."""
        if minutes is None:
            return self
        least = min(minutes, self.measured.max_minutes or minutes)
        return self.model_copy(update={"measured": self.measured.model_copy(update={"max_minutes": least})})


class SelectorRunConfig(PartConfig):
    """A run of `dld distill` that makes nothing but a selector.

    Attributes:
        backend, weights, options: the spotter, as DLDWrapper takes them; black boxes too.
        device: "auto", "cpu", "cuda:0".
        threads: of the CPU; None leaves the machine's choice.
        selector: what it learns from, and how.
    """

    backend: str
    weights: str | None = "bundled"
    options: dict[str, Any] = Field(default_factory=dict)
    device: str = "auto"
    threads: int | None = Field(default=None, ge=1)
    selector: SelectorTrainingConfig
