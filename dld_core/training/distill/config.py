"""The settings of a distillation run: those of a training run, and what a teacher needs."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from dld_core.config import PartConfig
from dld_core.training.config import TrainConfig
from dld_core.training.selector.config import JointConfig, SelectorTrainingConfig


class TeacherConfig(PartConfig):
    """Who teaches.

    Attributes:
        backend: name of the spotter; None for the student's.
        weights: "bundled", a file, or a folder (of a training run, for example).
        options: its options; None for the student's.
    """

    backend: str | None = None
    weights: str = "bundled"
    options: dict[str, Any] | None = None


class DistillConfig(TrainConfig):
    """A distillation run: everything of TrainConfig, where `backend` and `options` are the student's, and:

    Attributes:
        teacher: who teaches; a path alone means its weights.
        start: "teacher" gives the student the teacher's weights (those that fit); "student" those of the
            student that ships with the teacher's, so that it learns on; "random" leaves its own. `init`,
            where given, decides instead.
        distiller: name of the distiller (`dld backends` lists them), and `distiller_options` its options.
        detection: weight of the distillation of the detector: its maps, or its box_outputs of boxes.
        text_share: of that weight, what lies on text; the rest lies on background. None lets every position
            (or box) count alike, which leaves probabilities what they are.
        scales: the student's, as fractions of the teacher's resolution; any positive numbers.
        scales_per_step: how many of them a step reads, the same for the whole batch.
        read_others: also read the other scales in every step, without learning from them (a joint
            selection wants them all).
        reference: short side in pixels to which whole images are resized at full scale; None takes the
            teacher's own.
        teacher_scale: random factor on the teacher's resolution, smallest and largest.
        min_height: words lower than this, in pixels at the student's scale, are ignored in that step.
            0 keeps them all: those that are hard to read are what a teacher is for.
        norms: "shared", or "per_scale" for batch norms of the student's with one set for each scale.
        sizes: (of TrainConfig) heights and widths of the teacher's views. With `batch_size` they bound the
            pixels of a step: batch_size * height * width * (1 + the sum of the squared scales drawn).
        label_minutes: the teacher reads photos of kind "images" for no longer than this, in random order, and
            the others are left out; None for no limit.
        validation_scales: at which scales held-out samples are looked at.
        selector: what chooses the student's scale, made when the run is over, or None.
        joint: let that selector learn in the loop as well (the paper's way), or None. It wants
            `read_others`, or `scales_per_step` of two and more.
    """

    teacher: TeacherConfig = TeacherConfig()
    start: Literal["teacher", "student", "random"] = "teacher"
    distiller: str = "skd"
    distiller_options: dict[str, Any] = Field(default_factory=dict)
    detection: float = Field(default=1.0, ge=0)
    text_share: float | None = Field(default=0.5, gt=0, lt=1)
    scales: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
    scales_per_step: int = Field(default=1, ge=1)
    read_others: bool = False
    reference: int | None = Field(default=None, ge=32)
    teacher_scale: tuple[float, float] = (0.8, 1.25)
    min_height: float = Field(default=0.0, ge=0)
    norms: Literal["shared", "per_scale"] = "shared"
    label_minutes: float | None = Field(default=None, gt=0)
    validation_scales: tuple[float, ...] = (0.5, 1.0)
    selector: SelectorTrainingConfig | None = None
    joint: JointConfig | None = None

    @field_validator("teacher", mode="before")
    @classmethod
    def _teacher(cls, value: Any) -> Any:
        return TeacherConfig.parse({"weights": value} if isinstance(value, str) else value, where="teacher")

    @field_validator("selector", mode="before")
    @classmethod
    def _selector(cls, value: Any) -> Any:
        return value if value is None else SelectorTrainingConfig.parse(value, where="selector")

    @field_validator("joint", mode="before")
    @classmethod
    def _joint(cls, value: Any) -> Any:
        return value if value is None else JointConfig.parse(value, where="joint")

    @model_validator(mode="after")
    def _scales(self) -> DistillConfig:
        for name in ("scales", "validation_scales"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values) or not all(0 < s < math.inf for s in values):
                raise ValueError(f"'{name}' needs different positive numbers")
        if self.scales_per_step > len(self.scales):
            raise ValueError(f"'scales_per_step' is {self.scales_per_step}, but there are {len(self.scales)}")
        if not 0 < self.teacher_scale[0] <= self.teacher_scale[1]:
            raise ValueError("'teacher_scale' must be a smallest and a largest factor, both above 0")
        return self

    @model_validator(mode="after")
    def _together_with_a_selector(self) -> DistillConfig:
        if self.joint is None:
            return self
        if self.selector is None or set(self.selector.scales) != set(self.scales):
            raise ValueError("'joint' needs a 'selector' with the same 'scales' as the run")
        if not self.read_others and self.scales_per_step < 2:
            raise ValueError("'joint' compares scales: set 'read_others: true' or 'scales_per_step: 2'")
        return self

    @property
    def teacher_is_alike(self) -> bool:
        """Whether teacher and student have one architecture."""
        return (self.teacher_backend, self.teacher_options) == (self.backend, self.options)

    @property
    def teacher_backend(self) -> str:
        """The teacher's name."""
        return self.teacher.backend or self.backend

    @property
    def teacher_options(self) -> dict[str, Any]:
        """The teacher's options: those given, else the student's where it is of the same kind."""
        if self.teacher.options is not None:
            return self.teacher.options
        return self.options if self.teacher_backend == self.backend else {}
