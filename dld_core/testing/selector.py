"""The contracts of every ResolutionSelector (R1 ...)."""

from __future__ import annotations

import torch
from torch import Tensor

from dld_core.interfaces import ResolutionSelector
from dld_core.testing import compare
from dld_core.testing.kit import contract, require

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

    @contract("R1", "scales are distinct numbers in (0, 1], one or more")
    def test_r1_declares_its_scales(self) -> None:
        """Fractions of the reference resolution."""
        scales = self.make().scales
        require(isinstance(scales, tuple) and len(scales) >= 1, f"scales is {scales!r}; give a tuple")
        require(
            all(isinstance(s, float | int) and 0 < s <= 1 for s in scales), f"scales leave (0, 1]: {scales}"
        )
        require(len(set(scales)) == len(scales), f"a scale occurs twice: {scales}")

    @contract("R2", "the scores are finite, one for each image and scale: [B, K]")
    def test_r2_scores_every_scale(self) -> None:
        """Also for no images, for blank ones, and for native sizes as integers."""
        selector = self.make()
        thumbnails, sizes = self._inputs()
        for images in (thumbnails, torch.zeros_like(thumbnails), torch.ones_like(thumbnails), thumbnails[:0]):
            for native in (sizes, sizes.long()):
                scores = selector(images, native[: len(images)])
                shape = (len(images), len(selector.scales))
                require(tuple(scores.shape) == shape, f"the shape is {tuple(scores.shape)}, not {shape}")
                require(bool(scores.isfinite().all()), f"some scores are not finite: {scores.tolist()}")

    @contract("R3", "native sizes from 1 x 1 to 20000 x 20000 give finite scores")
    def test_r3_takes_any_native_size(self) -> None:
        """Sizes are raw pixels; bring them into range inside."""
        thumbnails, _ = self._inputs()
        native = torch.tensor([[1.0, 1.0], [20000.0, 20000.0], [1.0, 20000.0]])
        scores = self.make()(thumbnails, native)
        require(bool(scores.isfinite().all()), f"some scores are not finite: {scores.tolist()}")

    @contract("R4", "in eval mode the same image gets the same scores, alone and in any batch")
    def test_r4_is_deterministic_and_batch_invariant(self) -> None:
        """The authors' code samples at test time too: the same image got different scales."""
        selector = self.make()
        thumbnails, sizes = self._inputs()
        with torch.no_grad():
            together, again = selector(thumbnails, sizes), selector(thumbnails, sizes)
            alone = torch.cat([selector(t[None], s[None]) for t, s in zip(thumbnails, sizes, strict=True)])
        require(torch.equal(together, again), f"two calls differ: {together.tolist()}, {again.tolist()}")
        gap = float((together - alone).abs().max())
        require(gap <= TOLERANCE, f"scores alone and in a batch differ by {gap:.5f}")

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

    @contract("R6", "in training mode the gradient of the scores reaches every parameter")
    def test_r6_can_be_trained(self) -> None:
        """Parameters that never learn are dead weight, and stop training on several devices."""
        selector = self.make().train()
        selector(*self._inputs()).square().sum().backward()
        idle = [n for n, p in selector.named_parameters() if p.requires_grad and p.grad is None]
        require(not idle, f"no gradient reaches {', '.join(idle)}")

    @contract("R7", "after load_state_dict() of its state_dict() another instance gives the same scores")
    def test_r7_state_dict_holds_everything(self) -> None:
        """What is not in the state dict is not in the saved weights."""
        first, second = self.make(), self.make()
        with torch.no_grad():
            for parameter in first.parameters():
                parameter.add_(0.01)
            second.load_state_dict(first.state_dict())
            gap = float((first(*self._inputs()) - second(*self._inputs())).abs().max())
        require(gap <= TOLERANCE, f"the scores differ by {gap:.5f}")
