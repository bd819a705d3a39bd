"""Operators that cost no FLOPs by declaration: the field counts products, and moving data is none.

Two classes are told apart. Free operators compute nothing (views, copies, creation, indexing). Light ones
touch each element about once (sums, activations, normalisation, pooling, sorting); they are counted apart, as
elements, and reported beside the FLOPs. What is in neither and has no formula is an error in `dld bench`.
"""

from __future__ import annotations

from typing import Any

import torch

_FREE = """
alias as_strided clone contiguous copy copy_ _to_copy to detach detach_ lift lift_fresh lift_fresh_copy
view _unsafe_view reshape _reshape_alias _reshape_copy expand expand_as flatten unflatten permute transpose
transpose_ t t_ numpy_T movedim squeeze squeeze_ unsqueeze unsqueeze_ select slice split split_with_sizes
unsafe_split unsafe_split_with_sizes split_copy split_with_sizes_copy tensor_split chunk unsafe_chunk unbind
narrow unfold diagonal view_as_real view_as_complex real imag resolve_conj resolve_neg is_pinned
cat concat stack repeat repeat_interleave tile roll flip rot90 pixel_shuffle pixel_unshuffle channel_shuffle
native_channel_shuffle constant_pad_nd pad reflection_pad1d reflection_pad2d replication_pad1d
replication_pad2d im2col unfold_copy
empty empty_like empty_strided empty_permuted new_empty new_empty_strided new_zeros new_ones new_full zeros
zeros_like ones ones_like full full_like arange linspace eye scalar_tensor tensor rand rand_like randn
randn_like randint randperm uniform_ normal_ bernoulli_ random_ fill fill_ zero_ tril_indices triu_indices
set_ resize_ resize_as_ _resize_output_
index index_select index_put index_put_ _index_put_impl_ _unsafe_index _unsafe_masked_index index_copy
index_copy_ index_fill index_fill_ take take_along_dim gather scatter scatter_ masked_select masked_fill
masked_fill_ masked_scatter masked_scatter_ slice_scatter select_scatter where nonzero nonzero_numpy argwhere
embedding one_hot tril triu diag_embed meshgrid broadcast_tensors
upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d
item _local_scalar_dense is_same_size equal is_nonzero sym_size sym_numel sym_stride _pin_memory
_pack_padded_sequence _pad_packed_sequence _fused_sdp_choice _cudnn_init_dropout_state _use_cudnn_ctc_loss
record_stream native_dropout _conj _neg_view squeeze_copy
_assert_async _assert_scalar _functional_assert_async
"""
_LIGHT = """
sum mean max min amax amin aminmax prod std var std_mean var_mean norm linalg_vector_norm all any argmax
argmin cumsum cumprod cummax cummin logcumsumexp logsumexp median nanmedian mode count_nonzero bincount histc
_softmax _log_softmax softmax log_softmax _safe_softmax
native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
miopen_batch_norm _batch_norm_with_update _batch_norm_no_update batch_norm native_layer_norm native_group_norm
_fused_rms_norm rms_norm
max_pool2d_with_indices max_pool1d max_pool2d max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d
_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d _adaptive_avg_pool3d mkldnn_max_pool2d
fractional_max_pool2d
sort topk kthvalue argsort unique_dim _unique _unique2 unique_consecutive searchsorted isin bucketize
msort scatter_add scatter_add_ index_add index_add_ scatter_reduce scatter_reduce_ index_reduce segment_reduce
relu relu_ relu6 leaky_relu leaky_relu_ prelu _prelu_kernel elu elu_ celu selu gelu gelu_ silu silu_ mish
mish_ hardswish hardswish_ hardsigmoid hardsigmoid_ hardtanh hardtanh_ sigmoid sigmoid_ tanh tanh_ threshold
threshold_ softplus log_sigmoid_forward glu
_thnn_fused_lstm_cell _thnn_fused_gru_cell
nll_loss_forward nll_loss2d_forward binary_cross_entropy binary_cross_entropy_with_logits smooth_l1_loss
mse_loss huber_loss _ctc_loss cross trace dist renorm _weight_norm_interface
clamp clamp_ clamp_min clamp_min_ clamp_max clamp_max_ lerp nan_to_num isnan isinf isfinite
_foreach_add_ _foreach_mul_ multinomial frexp diff
"""
FREE = frozenset(_FREE.split())
LIGHT = frozenset(_LIGHT.split())


def is_free(operator: Any) -> bool:
    """Whether an operator (a torch OpOverload) computes nothing: declared so, or a view by its schema."""
    return _bare_name(operator) in FREE or bool(getattr(operator, "is_view", False))


def is_light(operator: Any) -> bool:
    """Whether it is declared to touch each element about once, by the list or torch's tag "pointwise"."""
    return _bare_name(operator) in LIGHT or torch.Tag.pointwise in getattr(operator, "tags", ())


def _bare_name(operator: Any) -> str:
    namespace, _, name = str(operator.name()).partition("::")
    return name.split(".", 1)[0] if namespace in ("aten", "prim", "prims") else ""
