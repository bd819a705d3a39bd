"""FLOPs of operators that torch.utils.flop_counter does not know. A multiply-add is two FLOPs.

Each formula takes the operator's own arguments and, as `out_val`, what it returned: costs that hang on values
(how many words there are, how large a region is) are those of the real run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Formula = Callable[..., float]
FORMULAS: dict[str, Formula] = {}

# One bilinear sample: four products and their sum.
_BILINEAR = 8
_BICUBIC = 32
_TRILINEAR = 16
# One pair of boxes in non-maximum suppression: two differences, three products, two sums, a division.
_BOX_PAIR = 12


def formula(*names: str) -> Callable[[Formula], Formula]:
    """Register the cost of operators by name ("aten::mv")."""

    def register(function: Formula) -> Formula:
        FORMULAS.update(dict.fromkeys(names, function))
        return function

    return register


@formula("aten::mv", "aten::dot", "aten::vdot")
def _vector(a: Tensor, b: Tensor, **_: Any) -> float:
    del b
    return 2.0 * a.numel()


@formula("aten::addmv")
def _addmv(bias: Tensor, matrix: Tensor, vector: Tensor, **_: Any) -> float:
    del bias, vector
    return 2.0 * matrix.numel()


@formula("aten::addbmm")
def _addbmm(bias: Tensor, a: Tensor, b: Tensor, **_: Any) -> float:
    del bias
    return 2.0 * a.numel() * b.shape[-1]


@formula("aten::_int_mm", "aten::linear", "aten::mkldnn_linear", "aten::_addmm_activation")
def _matrix(*args: Any, out_val: Tensor, **_: Any) -> float:
    first = args[1] if args[0].dim() == 1 else args[0]
    return float(2 * out_val.numel() * first.shape[-1])


@formula(
    "aten::_conv_depthwise2d",
    "aten::conv_depthwise3d",
    "aten::slow_conv_dilated2d",
    "aten::slow_conv_dilated3d",
    "aten::slow_conv3d_forward",
    "aten::mkldnn_convolution",
    "aten::miopen_convolution",
    "aten::miopen_depthwise_convolution",
    "aten::_nnpack_spatial_convolution",
)
def _convolution(x: Tensor, weight: Tensor, *_: Any, out_val: Tensor, **__: Any) -> float:
    del x
    return 2.0 * out_val.numel() * weight[0].numel()


@formula(
    "aten::slow_conv_transpose2d",
    "aten::slow_conv_transpose3d",
    "aten::cudnn_convolution_transpose",
    "aten::miopen_convolution_transpose",
)
def _transposed(x: Tensor, weight: Tensor, *_: Any, **__: Any) -> float:
    return 2.0 * x.numel() * weight[0].numel()


@formula("aten::addr")
def _addr(bias: Tensor, a: Tensor, b: Tensor, **_: Any) -> float:
    del bias
    return 2.0 * a.numel() * b.numel()


@formula("aten::_linalg_solve_ex", "aten::linalg_lu_factor_ex", "aten::_linalg_det", "aten::linalg_inv_ex")
def _factorise(a: Tensor, *others: Any, **_: Any) -> float:
    """LU factors (2/3 n^3), then two triangular solves for each right-hand side; an inverse has n of them."""
    size = a.shape[-1]
    right = others[0].numel() // size if others and isinstance(others[0], Tensor) else a.numel() // size
    return 2 / 3 * a.numel() * size + 2.0 * right * size * size


@formula("aten::_cdist_forward", "aten::_euclidean_dist")
def _cdist(a: Tensor, b: Tensor, *_: Any, **__: Any) -> float:
    return 3.0 * a.numel() * b.shape[-2]


@formula("aten::_fft_r2c", "aten::_fft_c2r", "aten::_fft_c2c")
def _fft(x: Tensor, dim: Sequence[int], *_: Any, out_val: Tensor, **__: Any) -> float:
    larger = x if x.numel() >= out_val.numel() else out_val
    return 5.0 * larger.numel() * sum(math.log2(max(larger.shape[d], 2)) for d in dim)


@formula("torchvision::roi_align")
def _roi_align(
    features: Tensor,
    rois: Tensor,
    spatial_scale: float,
    height: int,
    width: int,
    sampling_ratio: int = -1,
    *_: Any,
    out_val: Tensor,
    **__: Any,
) -> float:
    if sampling_ratio > 0 or not len(rois) or rois.is_meta:
        return _BILINEAR * float(out_val.numel()) * max(sampling_ratio, 1) ** 2
    # An adaptive grid: as many samples as a bin has feature pixels.
    size = (
        (rois[:, 3:5] - rois[:, 1:3]).float()
        * spatial_scale
        / torch.tensor([width, height], device=rois.device)
    )
    samples = float(size.ceil().clamp(min=1).prod(dim=1).sum())
    return _BILINEAR * samples * features.shape[1] * height * width


@formula("torchvision::ps_roi_align", "torchvision::roi_pool", "torchvision::ps_roi_pool")
def _other_roi(*_: Any, out_val: Any, **__: Any) -> float:
    out = out_val[0] if isinstance(out_val, tuple) else out_val
    return _BILINEAR * float(out.numel())


@formula("torchvision::nms")
def _nms(boxes: Tensor, *_: Any, **__: Any) -> float:
    # Every pair, the worst case: kernels on GPUs compare all, those on CPUs skip suppressed boxes.
    return _BOX_PAIR * len(boxes) * (len(boxes) - 1) / 2


@formula("torchvision::deform_conv2d")
def _deform_conv(x: Tensor, weight: Tensor, *_: Any, out_val: Tensor, **__: Any) -> float:
    per_output = weight[0].numel()
    places = out_val.shape[0] * math.prod(out_val.shape[2:])
    samples = places * x.shape[1] * math.prod(weight.shape[2:])
    return 2.0 * out_val.numel() * per_output + (_BILINEAR + 1) * samples


@formula("aten::grid_sampler_2d", "aten::cudnn_grid_sampler", "aten::_grid_sampler_2d_cpu_fallback")
def _grid_sample(x: Tensor, grid: Tensor, mode: int = 0, *_: Any, out_val: Tensor, **__: Any) -> float:
    del x, grid
    return float(out_val.numel()) * {0: _BILINEAR, 1: 0, 2: _BICUBIC}[mode]


@formula("aten::grid_sampler_3d")
def _grid_sample_3d(x: Tensor, grid: Tensor, mode: int = 0, *_: Any, out_val: Tensor, **__: Any) -> float:
    del x, grid
    return float(out_val.numel()) * (0 if mode == 1 else _TRILINEAR)


@formula("aten::upsample_bilinear2d")
def _bilinear(*_: Any, out_val: Tensor, **__: Any) -> float:
    return _BILINEAR * float(out_val.numel())


@formula("aten::upsample_bicubic2d")
def _bicubic(*_: Any, out_val: Tensor, **__: Any) -> float:
    return _BICUBIC * float(out_val.numel())


@formula("aten::upsample_linear1d", "aten::upsample_trilinear3d")
def _linear(*_: Any, out_val: Tensor, **__: Any) -> float:
    return float(2 * 2 ** (out_val.dim() - 2) * out_val.numel())


@formula("aten::_upsample_bilinear2d_aa")
def _bilinear_antialiased(x: Tensor, *_: Any, out_val: Tensor, **__: Any) -> float:
    return _antialiased(x, out_val, taps=2)


@formula("aten::_upsample_bicubic2d_aa")
def _bicubic_antialiased(x: Tensor, *_: Any, out_val: Tensor, **__: Any) -> float:
    return _antialiased(x, out_val, taps=4)


@formula("aten::_upsample_lanczos2d_aa")
def _lanczos_antialiased(x: Tensor, *_: Any, out_val: Tensor, **__: Any) -> float:
    return _antialiased(x, out_val, taps=6)


def _antialiased(x: Tensor, out: Tensor, taps: int) -> float:
    """Two one-dimensional passes, columns first; shrinking widens the filter in proportion."""
    rows, columns = (max(x.shape[d] / out.shape[d], 1.0) * taps for d in (-2, -1))
    between = out.numel() / out.shape[-2] * x.shape[-2]
    return 2.0 * (between * columns + out.numel() * rows)


@formula("aten::mkldnn_rnn_layer")
def _mkldnn_rnn(x: Tensor, input_weight: Tensor, state_weight: Tensor, *_: Any, **__: Any) -> float:
    """One layer in one direction: every step multiplies the input and the state by all gates' matrices."""
    steps = x.numel() / max(x.shape[-1], 1)
    return 2.0 * steps * (input_weight.numel() + state_weight.numel())


@formula("aten::_cudnn_rnn", "aten::miopen_rnn")
def _cudnn_rnn(x: Tensor, weights: Sequence[Tensor], *_: Any, **__: Any) -> float:
    """All layers and directions: each matrix is used once a step; packed input holds only real steps."""
    steps = x.numel() / max(x.shape[-1], 1)
    return 2.0 * steps * sum(weight.numel() for weight in weights if weight.dim() == 2)


@formula("aten::_lstm_mps")
def _mps_rnn(x: Tensor, _state: Any, weights: Sequence[Tensor], *_: Any, **__: Any) -> float:
    return _cudnn_rnn(x, weights)


@formula(
    "aten::_scaled_dot_product_flash_attention_for_cpu",  # missing from the registries of older torch
    "aten::_scaled_dot_product_attention_math_for_mps",
    "aten::_scaled_dot_product_fused_attention_overrideable",
)
def _scaled_dot_product(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> float:
    queries, keys = query.numel() // query.shape[-1], key.shape[-2]
    return 2.0 * queries * keys * (query.shape[-1] + value.shape[-1])


@formula("aten::_native_multi_head_attention")
def _attention(query: Tensor, key: Tensor, value: Tensor, width: int, *_: Any, **__: Any) -> float:
    del value
    batch, steps = query.shape[:2]
    return 2.0 * batch * steps * (4 * width * width + 2 * key.shape[1] * width)


@formula("aten::_transformer_encoder_layer_fwd")
def _encoder_layer(x: Tensor, width: int, *rest: Any, **__: Any) -> float:
    matrices = [
        value for value in rest if isinstance(value, Tensor) and value.dim() == 2 and value.shape[-1] != 0
    ]
    batch, steps = x.shape[:2]
    products = sum(matrix.numel() for matrix in matrices if width in matrix.shape)
    return 2.0 * batch * steps * (products + 2 * steps * width)
