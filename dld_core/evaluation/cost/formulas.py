"""FLOPs of operators of text spotters that `torch.utils.flop_counter` does not know. A multiply-add is two.

Each formula takes the operator's own arguments and, as `out_val`, what it returned: costs that depend on
values (how many words there are, how large a region is) are those of the real run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import sdpa_flop_count

_BILINEAR = 8  # of one sample: four products and their sum
_BICUBIC = 32
_BOX_PAIR = 12  # of one pair of boxes: two differences, three products, two sums, a division


def _vector(a: Tensor, *_: Any, **__: Any) -> float:
    return 2.0 * a.numel()


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> float:
    return float(sdpa_flop_count(query.shape, key.shape, value.shape))  # type: ignore[no-untyped-call]


def _recurrent(x: Tensor, weights: Any, *others: Any, **_: Any) -> float:
    """Each matrix is used once a step: those of all layers in a list, or the two of one layer apart."""
    matrices = [weights, others[0]] if isinstance(weights, Tensor) else weights
    steps = x.numel() / max(x.shape[-1], 1)  # packed input holds only real steps
    return float(2 * steps * sum(matrix.numel() for matrix in matrices if matrix.dim() == 2))


def _interpolated(per_element: int) -> Callable[..., float]:
    return lambda *_, out_val, **__: float(per_element * out_val.numel())


def _antialiased(taps: int) -> Callable[..., float]:
    """Two one-dimensional passes, columns first; shrinking widens the filter in proportion."""

    def cost(x: Tensor, *_: Any, out_val: Tensor, **__: Any) -> float:
        rows, columns = (max(x.shape[d] / out_val.shape[d], 1.0) * taps for d in (-2, -1))
        between = out_val.numel() / out_val.shape[-2] * x.shape[-2]
        return 2.0 * (between * columns + out_val.numel() * rows)

    return cost


def _grid_sample(x: Tensor, grid: Tensor, mode: int = 0, *_: Any, out_val: Tensor, **__: Any) -> float:
    del x, grid
    return float(out_val.numel()) * (_BILINEAR, 0, _BICUBIC)[mode]


def _roi_align(features: Tensor, rois: Tensor, scale: float, *size: Any, out_val: Tensor, **_: Any) -> float:
    height, width, sampling_ratio = (*size, -1)[:3]
    if sampling_ratio > 0 or not len(rois) or rois.is_meta:
        return float(_BILINEAR * out_val.numel() * max(sampling_ratio, 1) ** 2)
    # An adaptive grid: as many samples as a bin has feature pixels.
    bins = (rois[:, 3:5] - rois[:, 1:3]).float() * scale / torch.tensor([width, height], device=rois.device)
    samples = float(bins.ceil().clamp(min=1).prod(dim=1).sum())
    return float(_BILINEAR * samples * features.shape[1] * height * width)


def _nms(boxes: Tensor, *_: Any, **__: Any) -> float:
    """Every pair, the worst case: kernels on GPUs compare all, those on CPUs skip suppressed boxes."""
    return _BOX_PAIR * len(boxes) * (len(boxes) - 1) / 2


FORMULAS: dict[str, Callable[..., float]] = {
    "aten::mv": _vector,
    "aten::dot": _vector,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::mkldnn_rnn_layer": _recurrent,
    "aten::_cudnn_rnn": _recurrent,
    "aten::miopen_rnn": _recurrent,
    "aten::_lstm_mps": lambda x, _state, weights, *_, **__: _recurrent(x, weights),
    "aten::upsample_bilinear2d": _interpolated(_BILINEAR),
    "aten::upsample_bicubic2d": _interpolated(_BICUBIC),
    "aten::_upsample_bilinear2d_aa": _antialiased(2),
    "aten::_upsample_bicubic2d_aa": _antialiased(4),
    "aten::grid_sampler_2d": _grid_sample,
    "aten::cudnn_grid_sampler": _grid_sample,
    "torchvision::roi_align": _roi_align,
    "torchvision::nms": _nms,
}
