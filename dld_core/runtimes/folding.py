"""Batch norms folded into convolutions: for good where nothing learns them, or in a copy that only reads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain
from typing import TypeVar, cast

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dld_core.runtimes.norms import Switchable

Module = TypeVar("Module", bound=nn.Module)
Stamp = tuple[tuple[int, int], ...]


def fold_norms(body: nn.Module) -> nn.Module:
    """Fold every batch norm into the (transposed) convolution before it, in place.

    The norms become fixed affine maps: the same at every resolution and batch, nothing for training to
    disturb, and a third of the trunk's training time saved. Expects each norm to follow its convolution in
    order of registration, as in timm's EfficientNets and MobileNets.
    """
    last: nn.Conv2d | nn.ConvTranspose2d | None = None
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
                last = child
            elif isinstance(child, nn.BatchNorm2d) and last is not None:
                _fuse(last, child)
                setattr(parent, name, getattr(child, "act", nn.Identity()))
                last = None
    return body


def _fuse(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(conv, nn.ConvTranspose2d),
    )


class FoldedCopy:
    """A copy of a module for reading alone: norms folded, a quarter of the time of a small spotter saved.

    It is made when it is first asked for, and again when the module has changed: another tensor, or one that
    was written to (as optimisers and `load_state_dict` do). Whoever writes past autograd (`p.data`) calls
    `forget`.
    """

    def __init__(self) -> None:
        self._known: tuple[Stamp, nn.Module] | None = None

    def of(self, module: Module) -> Module:
        """The copy; the module itself where it has no norms, or some for each scale."""
        parts = list(module.modules())
        norms = [part for part in parts if isinstance(part, _BatchNorm)]
        if not norms or any(isinstance(norm, Switchable) for norm in norms):
            return module
        stamp = _stamp(parts)
        known = self._known  # another thread may put a newer one in its place
        if known is None or known[0] != stamp:
            known = self._known = stamp, fold_norms(copy.deepcopy(module))
        return cast(Module, known[1])

    def forget(self) -> None:
        """Make it anew when it is next asked for."""
        self._known = None

    def __deepcopy__(self, memo: object) -> FoldedCopy:
        return FoldedCopy()

    def __reduce__(self) -> tuple[type[FoldedCopy], tuple[()]]:
        return FoldedCopy, ()


def _stamp(parts: Sequence[nn.Module]) -> Stamp:
    # Straight from the modules' own dictionaries: `parameters()` takes thrice as long, on every reading.
    tensors = (chain(part._parameters.values(), part._buffers.values()) for part in parts)
    return tuple((t.data_ptr(), t._version) for t in chain.from_iterable(tensors) if t is not None)
