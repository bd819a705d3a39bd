"""docs/distillation.md names every setting there is, with its default, and its examples parse."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from dld_core.config import PartConfig
from dld_core.distillation.skd import SKDConfig
from dld_core.training import TrainConfig
from dld_core.training.distill.config import DistillConfig

TEXT = (Path(__file__).parents[2] / "docs" / "distillation.md").read_text(encoding="utf-8")


def settings(heading: str) -> set[str]:
    """The keys in the first column of the table after a line."""
    table = TEXT.split(heading, 1)[1].split("\n\n", 2)[1]
    return {key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_setting_is_told() -> None:
    own = set(DistillConfig.model_fields) - set(TrainConfig.model_fields)
    assert settings("are the student's, and:") == own
    assert settings("Options of `skd`") == set(SKDConfig.model_fields)


def test_examples_are_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    config = DistillConfig.parse(yaml.safe_load(example))
    assert isinstance(config, PartConfig)
    assert config.scales == DistillConfig.parse({"backend": "x", "data": [{"kind": "synth"}]}).scales
    assert config.teacher_options == config.options == {"region_jitter": 0.04}
