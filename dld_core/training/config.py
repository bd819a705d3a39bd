"""The settings of a training run, as written in its YAML file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from dld_core.config import PartConfig
from dld_core.data.sources import SourceConfig, parse_source


class InitConfig(PartConfig):
    """Weights to start from.

    Attributes:
        path: a .safetensors file, a folder with model.safetensors, a checkpoint of an earlier run, or
            "bundled" for the weights that ship with the backend.
        partial: accept weights that fit only in part (the report says what did not).
        rename: beginnings of names in the file -> beginnings of names in the model.
        only: patterns; nothing but the weights whose name (in the model) matches one is loaded.
    """

    path: str
    partial: bool = True
    rename: dict[str, str] = Field(default_factory=dict)
    only: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _bundled_as_they_are(self) -> InitConfig:
        if self.bundled and (self.rename or self.only):
            raise ValueError("bundled weights load as they are; leave out 'rename' and 'only'")
        return self

    @property
    def bundled(self) -> bool:
        """Whether the weights are those that ship with the backend."""
        return self.path == "bundled"


class OptimizerConfig(PartConfig):
    """AdamW.

    Attributes:
        weight_decay: for weights of two and more dimensions; norms and biases have none.
        betas: decay of the two moments.
        eps: added to the root of the second moment.
        clip: largest norm of the gradient; None does not clip.
        lr_factors: pattern of parameter names -> factor on the learning rate (first match counts).
    """

    weight_decay: float = Field(default=0.02, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    clip: float | None = Field(default=5.0, gt=0)
    lr_factors: dict[str, float] = Field(default_factory=dict)


class ValidationConfig(PartConfig):
    """Looking at held-out samples now and then, with the averaged weights.

    Attributes:
        data: sources, as in training; without random views unless `augment: true`.
        every: steps between two looks.
        samples: how many samples are looked at (always the same ones).
        batch_size: how many at a time.
        size: height and width of rendered pages and of random views.
        end_to_end: also run the whole spotter and score it as `dld evaluate` does (slower).
        best: the value whose largest seen decides what is kept in the folder best/, such as "word_accuracy"
            or (with `end_to_end`) "end_to_end"; None keeps none.
    """

    data: tuple[SourceConfig, ...]
    every: int = Field(default=1000, ge=1)
    samples: int = Field(default=32, ge=1)
    batch_size: int = Field(default=4, ge=1)
    size: tuple[int, int] = (640, 640)
    end_to_end: bool = False
    best: str | None = None

    @field_validator("data", mode="before")
    @classmethod
    def _sources(cls, values: Any) -> tuple[SourceConfig, ...]:
        return _parse_sources(values, "validation.data", default_augment=False)


class TrainConfig(PartConfig):
    """A training run.

    Attributes:
        backend: name of the spotter to teach (`dld backends` lists them).
        options: its options.
        init: weights to start from; a path alone will do.
        task: "full" teaches everything, "recognition" only the branch that reads (on true boxes; cheap).
        data: where samples come from.
        sizes: heights and widths of the images; every batch takes one at random. A number means a square.
        batch_size: images per step and device.
        accumulate: batches per step.
        steps: length of the run.
        schedule: the learning rate ends with "steps", or with the minutes allowed ("time").
        max_minutes: stop after this time (in all, over every resumption); None for no limit.
        lr: highest learning rate.
        warmup_steps: steps until it is reached.
        final_lr: where the cosine ends, as a fraction of `lr`.
        optimizer: AdamW's other settings.
        losses: weights of losses by name; 1 where not given.
        freeze: patterns of parameter names that do not learn (their norms keep their statistics too).
        ema: decay of the weights' running average, which is what is exported; 0 for none.
        precision: "bf16-mixed" (autocast) or "32-true".
        channels_last: keep images in channels-last order, which is faster for convolutions.
        accelerator: "auto", "cpu", "cuda" (or "gpu"), "mps"; "cuda:1" for one that is not the first.
        seed: of everything random.
        workers: processes that read or render samples.
        worker_nice: how far these stand back for the training itself (0-19).
        prefetch: batches that each worker keeps ready.
        worker_start: how worker processes start ("fork", "spawn", "forkserver"); None: the platform's way,
            but never fork once a GPU is in use.
        threads: threads of the training process; None leaves the machine's choice.
        checkpoint_minutes: time between two checkpoints.
        keep: how many checkpoints are kept.
        log_seconds: time between two lines of progress where there is no terminal.
        log_steps: steps between two rows of metrics.csv.
        skip_bad_steps: how many steps with a loss or gradient that is not finite are left out before the run
            stops.
        half: export 16-bit weights.
        validation: looking at held-out samples.
    """

    backend: str
    options: dict[str, Any] = Field(default_factory=dict)
    init: InitConfig | None = None
    task: Literal["full", "recognition"] = "full"
    data: tuple[SourceConfig, ...]
    sizes: tuple[tuple[int, int], ...] = ((512, 512),)
    batch_size: int = Field(default=4, ge=1)
    accumulate: int = Field(default=1, ge=1)
    steps: int = Field(default=100_000, ge=1)
    schedule: Literal["steps", "time"] = "steps"
    max_minutes: float | None = Field(default=None, gt=0)
    lr: float = Field(default=1e-3, gt=0)
    warmup_steps: int = Field(default=300, ge=0)
    final_lr: float = Field(default=0.01, ge=0, le=1)
    optimizer: OptimizerConfig = OptimizerConfig()
    losses: dict[str, float] = Field(default_factory=dict)
    freeze: tuple[str, ...] = ()
    ema: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    channels_last: bool = True
    accelerator: str = Field(default="auto", pattern=r"^(auto|cpu|mps|gpu|cuda(:\d+)?)$")
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=0)
    worker_nice: int = Field(default=5, ge=0, le=19)
    prefetch: int = Field(default=4, ge=1)
    worker_start: Literal["fork", "spawn", "forkserver"] | None = None
    threads: int | None = Field(default=None, ge=1)
    checkpoint_minutes: float = Field(default=10.0, ge=0)
    keep: int = Field(default=2, ge=1)
    log_seconds: float = Field(default=30.0, gt=0)
    log_steps: int = Field(default=20, ge=1)
    skip_bad_steps: int = Field(default=0, ge=0)
    half: bool = False
    validation: ValidationConfig | None = None

    @field_validator("init", mode="before")
    @classmethod
    def _init(cls, value: Any) -> Any:
        values = {"path": value} if isinstance(value, str) else value
        return values if values is None else InitConfig.parse(values, where="init")

    @field_validator("data", mode="before")
    @classmethod
    def _sources(cls, values: Any) -> tuple[SourceConfig, ...]:
        return _parse_sources(values, "data")

    @field_validator("sizes", mode="before")
    @classmethod
    def _sizes(cls, values: Any) -> Any:
        listed = values if isinstance(values, list | tuple) else [values]
        return tuple((v, v) if isinstance(v, int) else v for v in listed)

    @field_validator("validation", mode="before")
    @classmethod
    def _validation(cls, value: Any) -> Any:
        return value if value is None else ValidationConfig.parse(value, where="validation")

    @model_validator(mode="after")
    def _together(self) -> TrainConfig:
        if not self.data:
            raise ValueError("'data' needs at least one source")
        if any(side < 32 for size in self.sizes for side in size) or not self.sizes:
            raise ValueError("'sizes' needs at least one height and width, each of 32 pixels or more")
        return self


# What may differ between a checkpoint and the run that goes on from it: how long, how fast and how talkative
# it is, but not what it learns from.
MAY_CHANGE = frozenset(
    {
        *("steps", "max_minutes", "schedule", "workers", "worker_nice", "prefetch", "worker_start"),
        *("threads", "checkpoint_minutes", "keep", "log_seconds", "log_steps", "skip_bad_steps", "half"),
        *("validation", "validation_scales", "label_minutes", "accelerator", "init"),
    }
)


def _parse_sources(values: Any, where: str, default_augment: bool | None = None) -> tuple[SourceConfig, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"'{where}' must be a list of sources, each with a 'kind'")
    sources = [parse_source(value, f"{where}[{i}]") for i, value in enumerate(values)]
    if default_augment is None:
        return tuple(sources)
    return tuple(
        s if s.augment is not None else s.model_copy(update={"augment": default_augment}) for s in sources
    )
