"""Folded norms: the same words, and never those of weights that are gone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from dld_backends.maskrcnn import MaskRCNNConfig, MaskRCNNSpotter
from dld_backends.recognition.spotter import ReadingSpotter
from dld_backends.segmentation import SegmentationConfig, SegmentationSpotter
from dld_core.runtimes.folding import FoldedCopy, fold_norms
from dld_core.runtimes.norms import switch_norms
from dld_core.selection import load_selector
from dld_core.testing import samples
from dld_core.training.selector.making import PAGES


def spotter(kind: str) -> ReadingSpotter:
    """With norms that do something."""
    torch.manual_seed(0)
    made: ReadingSpotter
    if kind == "maskrcnn":
        made = MaskRCNNSpotter(MaskRCNNConfig.parse({"folded_norm": False, "fpn_channels": 16}))
    else:
        made = SegmentationSpotter(SegmentationConfig.parse({"preset": kind}))
    for norm in (m for m in made.modules() if isinstance(m, nn.BatchNorm2d)):
        for name, (low, high) in {
            "running_mean": (-0.2, 0.2),
            "running_var": (0.5, 2),
            "bias": (-0.2, 0.2),
        }.items():
            nn.init.uniform_(getattr(norm, name), low, high)
    return made.eval()


@pytest.mark.parametrize("kind", ["tiny", "small", "maskrcnn"])
def test_a_copy_without_norms_sees_the_same(kind: str) -> None:
    plain = spotter(kind)
    folded = FoldedCopy().of(plain)
    assert folded is not plain
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    images, _ = plain.stack(samples.batch(plain.charset).images)
    with torch.no_grad():
        for one, other in zip(
            _leaves(plain.reading_maps(images)), _leaves(folded.reading_maps(images)), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        batch = samples.batch(plain.charset)
        one, other = plain.recognize(batch).logits, folded.recognize(batch).logits
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def _leaves(maps: Sequence[Any]) -> list[torch.Tensor]:
    return [value for value in maps if isinstance(value, torch.Tensor)]


def test_a_copy_is_kept_until_the_module_changes() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    x = torch.rand(1, 3, 5, 5)
    copies = FoldedCopy()
    first = copies.of(module)
    assert copies.of(module) is first
    with torch.no_grad():
        module[0].weight.add_(1)
    assert copies.of(module) is not first
    torch.testing.assert_close(copies.of(module)(x), module(x))
    module.load_state_dict({name: value * 2 for name, value in module.state_dict().items()})
    torch.testing.assert_close(copies.of(module)(x), module(x))
    module.double()
    torch.testing.assert_close(copies.of(module)(x.double()), module(x.double()))
    module[1].running_mean.data.add_(1)
    copies.forget()
    torch.testing.assert_close(copies.of(module)(x.double()), module(x.double()))


def test_copies_do_not_travel_with_the_spotter() -> None:
    one = spotter("tiny")
    image = samples.batch(one.charset).images[0]
    words, names = one.predict([image]), list(one.state_dict())
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert list(other.state_dict()) == names
        assert other.predict([image]) == words
    assert len(list(one.modules())) == len(list(spotter("tiny").modules()))


def test_a_selector_says_the_same() -> None:
    selector = load_selector(PAGES)
    pixels, native = torch.rand(1, 3, 208, 384), torch.tensor([[863, 1535]])
    folded = FoldedCopy().of(selector)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(pixels, native), selector(pixels, native), rtol=1e-4, atol=1e-4)


def test_norms_for_each_scale_and_none_at_all_are_left_alone() -> None:
    switched = switch_norms(spotter("tiny"), [0.5, 1.0])
    assert FoldedCopy().of(switched) is switched
    bare = fold_norms(spotter("tiny"))
    assert FoldedCopy().of(bare) is bare


def test_training_is_read_as_it_ends() -> None:
    taught = spotter("tiny")
    image = samples.batch(taught.charset).images[0]
    taught.predict([image])
    taught.train()
    for norm in (m for m in taught.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.bias.data.add_(0.3)  # past autograd, which a version would not show
    taught.eval()
    fresh = copy.deepcopy(taught)
    assert taught.predict([image]) == fresh.predict([image])
