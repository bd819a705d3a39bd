"""The contracts of every ResolutionSelector (R1 ...)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dld_core.errors import ConfigError
from dld_core.interfaces import ResolutionSelector, SelectorConfig
from dld_core.testing import compare
from dld_core.testing.kit import contract, require, skip
from dld_core.types import SelectorBatch

TOLERANCE = 1e-4


class ResolutionSelectorContract:
    """Write `make`; override `thumbnail_size` where the selector wants thumbnails of another size."""

    thumbnail_size: tuple[int, int] = (128, 160)

    def make(self) -> ResolutionSelector:
        """A new selector in eval mode."""
        raise NotImplementedError("write make(self), which returns the selector to check")

    def _inputs(self, count: int = 3) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        thumbnails = torch.rand((count, 3, *self.thumbnail_size), generator=generator)
        sizes = torch.tensor([[720, 1280], [1600, 1200], [300, 4000]])[torch.arange(count) % 3]
        return thumbnails, sizes.float()

    def _batch(self, selector: ResolutionSelector) -> SelectorBatch:
        """Three images of two words, of which the smaller scales lose some."""
        thumbnails, sizes = self._inputs()
        height, width = self.thumbnail_size
        words = [np.array([[8, y], [40, y], [40, y + 12], [8, y + 12]], np.float32) for y in (8, 32)]
        falling = np.linspace(1, 0, len(selector.scales), dtype=np.float32)
        lost = np.stack([falling, falling**2])
        maps = selector.targets(words, np.array([True, True]), lost, (height, width))
        targets = {name: torch.from_numpy(np.stack([value] * 3)) for name, value in maps.items()}
        losses = torch.from_numpy(np.stack([lost.sum(0)] * 3))
        costs = torch.tensor(selector.scales).square().expand(3, -1) / max(selector.scales) ** 2
        return SelectorBatch(
            thumbnails,
            sizes,
            targets,
            losses,
            costs,
            lambda scores: (scores.neg().softmax(1) * losses).mean(),
        )

    @contract(
        "R1",
        "its scales are positive numbers, ascending, and create() refuses an unknown option by name",
    )
    def test_r1_declares_its_scales_and_options(self) -> None:
        """Fractions of the reference resolution; above 1 means enlarging."""
        selector = self.make()
        scales = selector.scales
        require(isinstance(scales, tuple) and len(scales) >= 1, f"scales is {scales!r}; give a tuple")
        numbers = all(isinstance(s, float | int) and math.isfinite(s) and s > 0 for s in scales)
        require(numbers and all(a < b for a, b in pairwise(scales)), f"scales are not ascending: {scales}")
        require(isinstance(selector.config, SelectorConfig), f"config is {selector.config!r:.80}")
        try:
            type(selector).create(no_such_option=1)
        except ConfigError as error:
            require("no_such_option" in str(error), f"the message does not name no_such_option: {error}")
        else:
            raise AssertionError("create(no_such_option=1) was accepted; parse with config_type")

    @contract("R2", "the expected losses are finite, one for each image and scale: [B, K]")
    def test_r2_scores_every_scale(self) -> None:
        """Also for no images, for blank ones, and for native sizes as integers; `expect` says the same."""
        selector = self.make()
        thumbnails, sizes = self._inputs()
        for images in (thumbnails, torch.zeros_like(thumbnails), torch.ones_like(thumbnails), thumbnails[:0]):
            for native in (sizes, sizes.long()):
                scores = selector(images, native[: len(images)])
                shape = (len(images), len(selector.scales))
                require(tuple(scores.shape) == shape, f"the shape is {tuple(scores.shape)}, not {shape}")
                require(bool(scores.isfinite().all()), f"some are not finite: {scores.tolist()}")
        with torch.no_grad():
            same = torch.allclose(
                selector.expect(thumbnails, sizes)[0], selector(thumbnails, sizes), atol=1e-5
            )
        require(same, "expect() and forward() differ")

    @contract("R3", "native sizes from 1 x 1 to 20000 x 20000 give finite expected losses")
    def test_r3_takes_any_native_size(self) -> None:
        """Sizes are raw pixels; bring them into range inside."""
        thumbnails, _ = self._inputs()
        native = torch.tensor([[1.0, 1.0], [20000.0, 20000.0], [1.0, 20000.0]])
        scores = self.make()(thumbnails, native)
        require(bool(scores.isfinite().all()), f"some are not finite: {scores.tolist()}")

    @contract("R4", "in eval mode the same image gets the same expected losses, alone and in any batch")
    def test_r4_is_deterministic_and_batch_invariant(self) -> None:
        """The authors' code samples at test time too: the same image got different scales."""
        selector = self.make()
        thumbnails, sizes = self._inputs()
        with torch.no_grad():
            together, again = selector(thumbnails, sizes), selector(thumbnails, sizes)
            alone = torch.cat([selector(t[None], s[None]) for t, s in zip(thumbnails, sizes, strict=True)])
        require(torch.equal(together, again), f"two calls differ: {together.tolist()}, {again.tolist()}")
        gap = float((together - alone).abs().max())
        require(gap <= TOLERANCE, f"alone and in a batch they differ by {gap:.5f}")

    @contract("R5", "in eval mode it changes neither itself, nor its inputs, nor the random generators")
    def test_r5_changes_nothing(self) -> None:
        """Selecting a scale is reading."""
        selector = self.make()
        thumbnails, sizes = self._inputs()
        copies = thumbnails.clone(), sizes.clone()
        before, process = compare.snapshot(selector), compare.process_state()
        with torch.no_grad():
            selector(thumbnails, sizes)
        moved = compare.changed(before, compare.snapshot(selector))
        moved += compare.changed(process, compare.process_state())
        require(not moved, f"it changed {', '.join(moved)}")
        require(
            torch.equal(copies[0], thumbnails) and torch.equal(copies[1], sizes), "it wrote into its inputs"
        )

    @contract("R6", "training_loss() names finite scalar losses whose gradient reaches every parameter")
    def test_r6_can_be_trained(self) -> None:
        """Parameters that never learn are dead weight, and stop training on several devices."""
        selector = self.make().train()
        if not any(p.requires_grad for p in selector.parameters()):
            skip("it has no parameters to learn")
        losses = selector.training_loss(self._batch(selector), 0.5)
        require(isinstance(losses, dict) and losses, f"it returned {losses!r:.80}; give losses by name")
        for name, loss in losses.items():
            require(name in selector.loss_weights, f"loss_weights does not name '{name}'")
            require(isinstance(loss, Tensor) and loss.dim() == 0, f"'{name}' is no scalar tensor")
            require(bool(loss.isfinite()), f"'{name}' is {float(loss.detach())}")
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        idle = [n for n, p in selector.named_parameters() if p.requires_grad and p.grad is None]
        require(not idle, f"no gradient reaches {', '.join(idle)}")

    @contract("R7", "one that is created from its config and loads its state_dict() expects the same")
    def test_r7_config_and_state_dict_hold_everything(self) -> None:
        """What is in neither is not in the saved file."""
        first = self.make()
        second = type(first).create(**first.config.model_dump(mode="json")).eval()
        with torch.no_grad():
            for parameter in first.parameters():
                parameter.add_(0.01)
            second.load_state_dict(first.state_dict())
            require(second.scales == first.scales, f"its scales are {second.scales}, not {first.scales}")
            gap = float((first(*self._inputs()) - second(*self._inputs())).abs().max())
        require(gap <= TOLERANCE, f"the expected losses differ by {gap:.5f}")

    @contract("R8", "a thumbnail that is not a number raises nothing and spoils no other image of its batch")
    def test_r8_keeps_what_is_not_a_number_to_itself(self) -> None:
        """The pipeline reads such an image at full scale, and the others as ever."""
        selector = self.make()
        thumbnails, sizes = self._inputs()
        with torch.no_grad():
            sound = selector(thumbnails, sizes)
            thumbnails[1, :, ::2] = math.nan
            spoilt = selector(thumbnails, sizes)
        require(spoilt.shape == sound.shape, f"the shape is {tuple(spoilt.shape)}")
        gap = float((sound - spoilt)[[0, 2]].abs().nan_to_num(nan=math.inf).max())
        require(gap <= TOLERANCE, f"the other images move by {gap:.5f}")

    @contract("R9", "to() moves all of it: the expected losses are on the device of the inputs")
    def test_r9_moves_to_a_device(self) -> None:
        """On a GPU where there is one, else on torch's meta device, which only keeps shapes."""
        device = "cuda" if torch.cuda.is_available() else "meta"
        selector = self.make().to(device)
        thumbnails, sizes = self._inputs()
        try:
            with torch.no_grad():
                scores = selector(thumbnails.to(device), sizes.to(device))
        except NotImplementedError as error:
            skip(f"it looks at values, which the meta device does not have: {error}")
        require(scores.device.type == device, f"inputs on {device} give losses on {scores.device}")
