"""The segmentation spotter: contracts, cost, the head's losses by hand, and that it learns."""

from __future__ import annotations

import importlib
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from dld_backends.detection.backbone import feature_body
from dld_backends.maskrcnn import MaskRCNNSpotter
from dld_backends.maskrcnn.cost import spotter_cost as mask_rcnn_cost
from dld_backends.segmentation import SegmentationConfig, SegmentationSpotter
from dld_backends.segmentation.cost import spotter_cost
from dld_backends.segmentation.losses import WEIGHTS, binarization_losses
from dld_backends.segmentation.network import PRIOR, Maps
from dld_backends.segmentation.pages import region_options
from dld_backends.segmentation.regions import find_regions
from dld_core.decoders.map_losses import (
    balanced_cross_entropy,
    border_distance,
    dice_loss,
)
from dld_core.errors import ConfigError, WeightsError
from dld_core.geometry.polygons import iou
from dld_core.runtimes.folding import fold_norms
from dld_core.testing import TrainableSpotterContract, samples
from dld_core.training.config import TrainConfig
from dld_core.types import Batch

# Regions and readings of random weights are never sure.
OPTIONS: dict[str, Any] = {
    "max_words": 12,
    "map_threshold": 0.3,
    "region_threshold": 0.3,
    "word_threshold": 0.0,
}


class TestContracts(TrainableSpotterContract):
    """Random weights, made lively enough for regions and readings to differ from place to place."""

    def make(self) -> SegmentationSpotter:
        torch.manual_seed(0)
        spotter = SegmentationSpotter.create(weights=None, preset="tiny", **OPTIONS)
        norms = [m for m in spotter.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0  # the statistics of one batch
        with torch.no_grad():
            spotter.train().forward_train(samples.batch(spotter.charset))
            spotter.head.text[-1].weight.mul_(4)
            spotter.reader.decoder.classify.weight.mul_(20)
        return spotter.eval()


def test_the_lively_spotter_finds_words_in_every_page() -> None:
    cases = TestContracts()
    found = cases.make().predict(cases.images())
    assert all(found), "otherwise S5 and S6 judge nothing"
    assert len({word.text for words in found for word in words}) > 5


# --- making one ----------------------------------------------------------------------------------


def test_it_is_registered_under_its_name() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, _, name = project["project"]["entry-points"]["dld.backends"]["segmentation"].partition(":")
    assert getattr(importlib.import_module(module), name) is SegmentationSpotter
    assert SegmentationSpotter.name == "segmentation"


def test_missing_weights_and_wrong_options_are_told() -> None:
    with pytest.raises(WeightsError, match=r"preset 'tiny'.*weights=PATH"):
        SegmentationSpotter.create(preset="tiny")
    with pytest.raises(ConfigError, match=r"backend segmentation.*did you mean 'map_threshold'"):
        SegmentationSpotter.create(weights=None, map_treshold=0.4)
    with pytest.raises(ConfigError, match="preset"):
        SegmentationSpotter.create(weights=None, preset="large")


def test_presets_may_be_overridden() -> None:
    config = SegmentationConfig.parse({"preset": "tiny", "head_channels": 20})
    assert (config.pyramid_channels, config.head_channels) == (32, 20)
    assert SegmentationConfig.parse({}).pyramid_channels == 64


# --- cost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [1, 10, 30, 50])
def test_small_costs_less_than_three_quarters_of_mask_rcnn_small(words: int) -> None:
    own = spotter_cost(SegmentationConfig()).at(720, 1280, words)
    other = mask_rcnn_cost(MaskRCNNSpotter.config_type.parse({})).at(720, 1280, words)
    assert own <= other * 0.75  # both read with the same recogniser


def test_small_reads_a_photo_of_ten_words_in_nine_giga_multiply_adds() -> None:
    with torch.device("meta"):
        spotter = SegmentationSpotter()
    assert spotter.flops(720, 1280, 10) / 2e9 <= 9
    assert sum(p.numel() for p in spotter.parameters()) < 4.5e6


def test_flops_grow_with_area_and_words() -> None:
    cost = spotter_cost(SegmentationConfig(preset="tiny"))
    none, one, two, three = (cost.at(320, 320, n) for n in range(4))
    assert three - two == pytest.approx(two - one)
    assert cost.at(640, 640, 0) == pytest.approx(4 * none, rel=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (96, 224), (736, 992), (1280, 352)])
@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_flops_of_any_size_are_those_that_are_counted(preset: Any, size: tuple[int, int]) -> None:
    cost = spotter_cost(SegmentationConfig(preset=preset))
    height, width = size
    image, first_word = cost.image(height, width)
    assert cost.at(height, width, 0) == cost.at(height - 31, width - 1, 0) == image
    assert cost.at(height, width, 1) == image + first_word + cost.word


# --- losses by hand ------------------------------------------------------------------------------


def _row(*values: float) -> Tensor:
    return torch.tensor([[values]], dtype=torch.float32)


def test_cross_entropy_takes_all_text_and_the_hardest_background() -> None:
    three = math.log(3)  # a probability of 3/4
    logits = _row(three, three, -three, 0.0, -9.0, -9.0, -9.0)
    text, care = _row(1, 0, 0, 0, 0, 0, 0), torch.ones(1, 1, 7)
    kept = [-math.log(3 / 4), -math.log(1 / 4), -math.log(1 / 2), -math.log(3 / 4)]  # text, then 3 hardest
    torch.testing.assert_close(balanced_cross_entropy(logits, text, care), torch.tensor(sum(kept) / 4))
    care[..., 1] = 0  # without the hardest one the next follows
    kept[1:] = [-math.log(1 / 2), -math.log(3 / 4), math.log(1 + math.exp(-9.0))]
    torch.testing.assert_close(balanced_cross_entropy(logits, text, care), torch.tensor(sum(kept) / 4))


def test_positions_partly_in_a_word_are_not_background() -> None:
    logits, care = _row(2.0, 2.0), torch.ones(1, 1, 2)
    half = balanced_cross_entropy(logits, _row(1.0, 0.5), care)
    both = (math.log(1 + math.exp(-2)) + 0.5 * (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2)))) / 2
    torch.testing.assert_close(half, torch.tensor(both))


def test_dice_and_border_losses_by_hand() -> None:
    binary, text, care = _row(1, 0.5, 0.5, 0), _row(1, 1, 0, 0), _row(1, 1, 0, 1)
    torch.testing.assert_close(dice_loss(binary, text, care), torch.tensor(1 - (2 * 1.5 + 1) / (3.5 + 1)))
    threshold, wanted = _row(0.5, 0.9, 0.1), _row(0.7, 0.3, 0.3)
    torch.testing.assert_close(border_distance(threshold, wanted, _row(1, 0, 1)), torch.tensor(0.2))


def test_the_binary_map_is_a_steep_step_at_the_threshold() -> None:
    logit = torch.tensor([0.6, 0.4, 0.5]).logit()
    binary = Maps(logit, torch.tensor([0.4, 0.6, 0.5]).logit()).binary(50.0)
    torch.testing.assert_close(binary, torch.sigmoid(torch.tensor([10.0, -10.0, 0.0])))


def test_losses_are_zero_for_perfect_maps_and_weighted() -> None:
    text = torch.zeros(2, 8, 8)
    text[:, 2:4, 1:7] = 1
    threshold, ones = torch.full_like(text, 0.3), torch.ones_like(text)
    perfect = Maps(torch.where(text > 0, 40.0, -40.0), threshold.logit())
    losses = binarization_losses(perfect, [text, ones, threshold, ones], 50.0)
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(
        dict.fromkeys(WEIGHTS, 0.0), abs=1e-4
    )
    worse = Maps(torch.zeros_like(text), threshold.logit() + 1)
    plain = balanced_cross_entropy(worse.text, text, ones)
    assert binarization_losses(worse, [text, ones, threshold, ones], 50.0)["probability"] == 5 * plain


@pytest.mark.parametrize("known", [0.0, 1.0])
def test_losses_without_text_or_without_anything_known_are_finite(known: float) -> None:
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    zeros = torch.zeros(1, 8, 8)
    losses = binarization_losses(Maps(logits, logits * 2), [zeros, zeros + known, zeros, zeros], 50.0)
    torch.stack(list(losses.values())).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert bool(logits.grad.any()) is bool(known)


# --- the network ---------------------------------------------------------------------------------


def _batch() -> Batch:
    """One grey image with a dark bar where the word is said to be, and one without words."""
    image = torch.full((3, 64, 96), 190, dtype=torch.uint8)
    image[:, 16:40, 16:80] = 20
    word = torch.tensor([[16.0, 16.0], [80.0, 16.0], [80.0, 40.0], [16.0, 40.0]])
    return Batch(
        images=[image, torch.full((3, 64, 96), 190, dtype=torch.uint8)],
        polygons=[[word], []],
        texts=[["bar"], []],
        ignore=[torch.tensor([False]), torch.zeros(0, dtype=torch.bool)],
    )


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_maps_have_the_map_stride_and_start_at_the_prior(stride: int) -> None:
    torch.manual_seed(0)
    spotter = SegmentationSpotter.create(weights=None, preset="tiny", map_stride=stride)
    maps = spotter.reading_maps(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
    fine, detail = maps.fine, maps.detail
    assert fine.shape == (2, 32, 16, 24)
    assert detail is not None
    assert detail.shape == (2, 16, 32, 48)
    probability = spotter.head.probability(fine)
    assert probability.shape == (2, 64 // stride, 96 // stride)
    torch.testing.assert_close(probability, spotter.head(fine).text.sigmoid())
    assert float(probability.mean()) == pytest.approx(PRIOR, abs=0.02)


def test_losses_have_their_names_and_reach_every_part() -> None:
    torch.manual_seed(0)
    spotter = SegmentationSpotter(SegmentationConfig(preset="tiny")).train()
    losses = spotter.forward_train(_batch()).losses
    assert losses.keys() == {"probability", "threshold", "binary", "recognition"}
    torch.stack(list(losses.values())).sum().backward()
    for part in (spotter.trunk.body, spotter.trunk.lateral, spotter.head.text, spotter.head.threshold):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert spotter.reader.decoder.classify.weight.grad is not None


def test_it_trains_in_bfloat16() -> None:
    torch.manual_seed(0)
    spotter = SegmentationSpotter(SegmentationConfig(preset="tiny")).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = spotter.forward_train(_batch())
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in output.losses.values())
    torch.stack(list(output.losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in spotter.parameters())


def test_a_few_steps_teach_it_where_a_word_is() -> None:
    torch.manual_seed(0)
    spotter = SegmentationSpotter(SegmentationConfig(preset="tiny")).train()
    for norm in (m for m in spotter.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = 0.4  # statistics that keep up with so few steps
    batch = _batch()
    optimizer = torch.optim.AdamW(spotter.parameters(), lr=3e-3)
    reading = []
    for _ in range(22):
        losses = spotter.forward_train(batch).losses
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        reading.append(float(losses["recognition"].detach()))
    assert reading[-1] < reading[0] / 5
    with torch.no_grad():
        images, _ = spotter.eval().stack(batch.images)
        with_word, without = spotter.head.probability(spotter.reading_maps(images).fine).numpy()
    options = region_options(spotter.config)
    (polygon,), (score,) = find_regions(with_word, options)
    assert iou(polygon, batch.polygons[0][0].numpy()) > 0.7
    assert score > 0.6
    assert find_regions(without, options) == ([], [])


def test_padding_is_never_read_as_an_image() -> None:
    spotter = SegmentationSpotter.create(
        weights=None, preset="tiny", region_threshold=0.0, map_threshold=0.01, word_threshold=0.0
    )
    (words,) = spotter.predict([torch.zeros(3, 33, 40, dtype=torch.uint8)])
    for word in words:
        assert (np.asarray(word.polygon) <= [40, 33]).all()


@torch.no_grad()
def test_folding_the_norms_of_the_backbone_changes_no_feature() -> None:
    torch.manual_seed(0)
    plain, _ = feature_body("mobilenetv4_conv_small_050", folded=False)
    for norm in (m for m in plain.eval().modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_(std=0.1)
    image = torch.randn(1, 3, 64, 64)
    wanted = plain(image)
    folded = fold_norms(plain)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    for before, after in zip(wanted, folded(image), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


# --- its page ------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs/segmentation.md"


def test_the_recipes_of_its_page_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    assert all(TrainConfig.parse(yaml.safe_load(block)).backend == "segmentation" for block in blocks)


def test_the_reader_can_start_from_the_other_backend_s() -> None:
    """As the first recipe renames: encoder and auxiliary CTC layer."""
    with torch.device("meta"):
        other, own = MaskRCNNSpotter().state_dict(), SegmentationSpotter().state_dict()
    theirs = {k: v.shape for k, v in other.items()}
    renamed = {k.replace("reader.ctc.", "reader.decoder.classify."): shape for k, shape in theirs.items()}
    wanted = {k: v.shape for k, v in own.items() if k.startswith(("reader.encoder.", "reader.decoder."))}
    assert wanted.items() <= renamed.items()


def test_the_page_tells_the_cost_as_it_is() -> None:
    configs = {"small": SegmentationConfig(), "tiny": SegmentationConfig(preset="tiny")}
    for preset, config in configs.items():
        giga = [spotter_cost(config).at(720, 1280, words) / 2e9 for words in (0, 10, 50)]
        row = " | ".join(f"{g:.2f}" for g in giga)
        assert f"{row} |" in PAGE.read_text(encoding="utf-8"), f"the row of {preset} should end {row}"
