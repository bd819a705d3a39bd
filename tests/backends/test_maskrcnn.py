"""The Mask R-CNN spotter: contracts, the paper's figures, matching, folding, weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork

from dld_backends.detection.pretrained import trunk_weights
from dld_backends.maskrcnn import MaskRCNNConfig, MaskRCNNSpotter
from dld_backends.maskrcnn.cost import pyramid_flops, spotter_cost
from dld_backends.maskrcnn.proposals import build_rpn, covered
from dld_core.errors import ConfigError, WeightsError
from dld_core.runtimes.folding import fold_norms
from dld_core.testing import TrainableSpotterContract
from dld_core.types import Batch


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class TestContracts(TrainableSpotterContract):
    """Random weights at a low threshold, so that there is something to compare."""

    def make(self) -> MaskRCNNSpotter:
        torch.manual_seed(0)
        return MaskRCNNSpotter.create(
            weights=None, detection_threshold=0.45, word_threshold=0, max_words=12, proposals=40
        )


# --- the paper's figures -------------------------------------------------------------------------


def test_paper_preset_costs_what_was_published() -> None:
    config = MaskRCNNConfig(preset="paper")
    giga = pyramid_flops(config, 1280, 2304) / 2 / 1024**3
    assert giga == pytest.approx(517.19, rel=0.005)


def test_paper_preset_has_the_published_size() -> None:
    with torch.device("meta"):
        spotter = MaskRCNNSpotter(MaskRCNNConfig(preset="paper"))
    parameters = sum(p.numel() for p in spotter.parameters())
    assert parameters == pytest.approx(50.6e6, rel=0.02)


def test_flops_grow_with_area_and_words() -> None:
    cost = spotter_cost(MaskRCNNConfig())
    small, large = cost.at(320, 320, 0), cost.at(640, 640, 0)
    heads = 2 * small - large / 2  # what does not grow with the area, doubled
    assert large > 3 * small
    assert heads > 0
    one, two, three = (cost.at(320, 320, n) for n in (1, 2, 3))
    assert three - two == pytest.approx(two - one)
    assert one > small


@pytest.mark.parametrize("size", [(32, 32), (96, 224), (736, 992), (1280, 352)])
def test_flops_of_any_size_are_those_that_are_counted(size: tuple[int, int]) -> None:
    """The coarsest level has a side of its own for odd multiples of 32."""
    cost = spotter_cost(MaskRCNNConfig())
    height, width = size
    image, first_word = cost.image(height, width)
    assert cost.at(height, width, 0) == cost.at(height - 31, width - 1, 0) == image
    assert cost.at(height, width, 1) == image + first_word + cost.word


# --- matching anchors ----------------------------------------------------------------------------


def _boxes(count: int, size: int) -> Tensor:
    centre = torch.rand(count, 2) * (size - 40) + 20
    side = torch.stack([torch.rand(count) * 90 + 6, torch.rand(count) * 30 + 4], 1)
    return torch.cat([centre - side / 2, centre + side / 2], 1).clamp(0, size)


@pytest.mark.parametrize("seed", range(4))
def test_sparse_matching_equals_torchvisions(seed: int) -> None:
    torch.manual_seed(seed)
    rpn = build_rpn(MaskRCNNConfig())
    features = [torch.zeros(1, 64, 256 // s, 256 // s) for s in (4, 8, 16, 32, 64)]
    anchors = rpn.anchor_generator(ImageList(torch.zeros(1, 3, 256, 256), [(256, 256)]), features)
    targets = [{"boxes": _boxes(12, 256), "ignore_boxes": _boxes(5, 256)}]
    labels, matched = rpn.assign_targets_to_anchors(anchors, targets)
    wanted, wanted_boxes = RegionProposalNetwork.assign_targets_to_anchors(rpn, anchors, targets)
    hidden = covered(anchors[0], targets[0]["ignore_boxes"]) & (wanted[0] == 0)
    assert torch.equal(labels[0], wanted[0].masked_fill(hidden, -1.0))
    positive = labels[0] == 1
    assert positive.any()
    assert torch.equal(matched[0][positive], wanted_boxes[0][positive])


def test_anchors_stay_float32_under_autocast() -> None:
    rpn = build_rpn(MaskRCNNConfig())
    features = [torch.zeros(1, 64, 64 // s, 64 // s, dtype=torch.bfloat16) for s in (4, 8, 16, 32, 64)]
    anchors = rpn.anchor_generator(ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)]), features)
    assert anchors[0].dtype == torch.float32


# --- trunk and weights ---------------------------------------------------------------------------


def _with_lively_norms(name: str) -> torch.nn.Module:
    body = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    for module in body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return body


@torch.no_grad()
def test_folding_norms_changes_no_feature() -> None:
    body, image = _with_lively_norms("tf_efficientnet_lite0"), torch.randn(1, 3, 64, 64)
    before = body(image)
    after = fold_norms(body)(image)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in body.modules())
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max()))


def test_imagenet_weights_become_trunk_weights() -> None:
    classifier = timm.create_model("tf_efficientnet_lite0")
    weights = trunk_weights("tf_efficientnet_lite0", classifier.state_dict())
    spotter = MaskRCNNSpotter()
    own = {k for k in spotter.state_dict() if k.startswith("trunk.body.")}
    assert weights.keys() == own
    with pytest.raises(WeightsError, match="tf_efficientnet_lite0"):
        trunk_weights("tf_efficientnet_lite0", {"a": torch.zeros(1)})


def test_weights_that_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights at .*check the path"):
        MaskRCNNSpotter.create(weights=tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match=r"preset 'paper'.*weights=PATH"):
        MaskRCNNSpotter.create(preset="paper")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        MaskRCNNSpotter.create(weights=tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="readable safetensors"):
        MaskRCNNSpotter.create(weights=tmp_path / "broken.safetensors")


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="did you mean 'detection_threshold'"):
        MaskRCNNSpotter.create(weights=None, detection_treshold=0.4)


# --- training ------------------------------------------------------------------------------------


def _batch(texts: list[list[str]], ignore: list[list[bool]]) -> Batch:
    square = torch.tensor([[8.0, 8.0], [60.0, 8.0], [60.0, 28.0], [8.0, 28.0]])
    return Batch(
        images=[torch.randint(0, 255, (3, 64, 96), dtype=torch.uint8) for _ in texts],
        polygons=[[square + 30 * i for i in range(len(t))] for t in texts],
        texts=texts,
        ignore=[torch.tensor(i, dtype=torch.bool) for i in ignore],
    )


def test_losses_have_the_paper_s_names_and_reach_every_part() -> None:
    spotter = MaskRCNNSpotter(MaskRCNNConfig.parse({"recogniser": "attention"})).train()
    losses = spotter.forward_train(_batch([["Hi", "you"], []], [[False, False], []])).losses
    assert losses.keys() == {"objectness", "rpn_box", "class", "box", "mask", "recognition", "ctc"}
    torch.stack([v.reshape(()) for v in losses.values()]).sum().backward()
    for part in (spotter.trunk.fpn, spotter.rpn, spotter.box_head, spotter.mask_head, spotter.reader):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_words_outside_the_charset_are_left_out_whatever_the_size() -> None:
    spotter = MaskRCNNSpotter().eval()
    trace = spotter.recognize(_batch([["Hi", "n\u2603", "x" * 99, "yes"]], [[False, False, False, True]]))
    assert spotter.decoder.decode(trace.targets) == ["Hi"]
    assert trace.sample_index.tolist() == [0]


def test_predict_refuses_training_mode() -> None:
    with pytest.raises(RuntimeError, match="eval"):
        MaskRCNNSpotter().train().predict([torch.zeros(3, 32, 32, dtype=torch.uint8)])
