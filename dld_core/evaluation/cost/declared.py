"""Operators that cost no FLOPs by declaration: the field counts products, and moving data is none.

Two classes are told apart. Free operators compute nothing (views, copies, creation, indexing). Light ones
touch each element about once (sums, activations, normalisation, pooling, sorting); they are counted apart, as
elements, and reported beside the FLOPs. What is in neither and has no formula is an error in `dld bench`.
"""

from __future__ import annotations

from typing import Any

import torch

# Names stand for their forms in place ("_") and as copies of views ("_copy") too.
_FREE = """
alias as_strided clone contiguous copy _to_copy to detach lift lift_fresh view _unsafe_view reshape
_reshape_alias expand expand_as flatten unflatten permute transpose t numpy_T movedim squeeze unsqueeze
select slice split split_with_sizes unsafe_split unsafe_split_with_sizes tensor_split chunk unsafe_chunk
unbind narrow unfold diagonal view_as_real view_as_complex real imag _conj _neg_view resolve_conj
resolve_neg complex set resize resize_as _resize_output shallow_copy_data _lazy_clone to_mkldnn to_dense
_to_dense _mkldnn_reshape _mkldnn_transpose mkldnn_reorder_conv2d_weight cat concat stack _stack _chunk_cat
repeat repeat_interleave tile roll flip rot90 block_diag pixel_shuffle pixel_unshuffle channel_shuffle
native_channel_shuffle constant_pad_nd pad reflection_pad1d reflection_pad2d reflection_pad3d
replication_pad1d replication_pad2d replication_pad3d im2col max_unpool2d empty empty_like empty_strided
empty_permuted new_empty new_empty_strided new_zeros new_ones new_full zero zeros zeros_like ones ones_like
full full_like fill arange range linspace logspace eye scalar_tensor tensor rand rand_like randn randn_like
randint randint_like randperm uniform normal bernoulli random exponential hann_window hamming_window
tril_indices triu_indices fft_fftfreq fft_rfftfreq _efficientzerotensor index index_select index_put
_index_put_impl _unsafe_index _unsafe_masked_index index_copy index_fill take put take_along_dim gather
scatter masked_select masked_fill masked_scatter slice_scatter select_scatter diagonal_scatter
as_strided_scatter where nonzero nonzero_numpy nonzero_static argwhere embedding one_hot tril triu
diag_embed meshgrid broadcast_tensors upsample_nearest1d upsample_nearest2d upsample_nearest3d
_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d item _local_scalar_dense
is_same_size is_set_to equal is_nonzero is_pinned _pin_memory record_stream sym_size sym_numel sym_stride
sym_constrain_range sym_constrain_range_for_size _assert_async _assert_scalar _assert_tensor_metadata
_functional_assert_async _functional_assert_scalar _linalg_check_errors _pack_padded_sequence
_pad_packed_sequence _fused_sdp_choice _cudnn_init_dropout_state _cudnn_rnn_flatten_weight native_dropout
_fused_dropout _transform_bias_rescale_qkv
"""
_LIGHT = """
sum nansum mean max min amax amin aminmax prod std var std_mean var_mean norm native_norm linalg_vector_norm
all any _is_all_true _is_any_true allclose argmax argmin cumsum cumprod cummax cummin logcumsumexp logsumexp
median nanmedian mode count_nonzero bincount histc histogram trace dist cross linalg_cross renorm diff eq ne
lt le gt ge abs floor_divide copysign heaviside gcd lcm lerp nan_to_num isnan isinf isfinite frexp clamp
clamp_min clamp_max _foreach_* _softmax _log_softmax _masked_softmax softmax log_softmax _safe_softmax
native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
miopen_batch_norm _batch_norm_with_update _batch_norm_no_update batch_norm native_layer_norm
native_group_norm _fused_rms_norm rms_norm _weight_norm_interface max_pool2d_with_indices max_pool1d
max_pool2d max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d adaptive_avg_pool2d
adaptive_max_pool2d _adaptive_avg_pool3d mkldnn_max_pool2d mkldnn_adaptive_avg_pool2d fractional_max_pool2d
affine_grid_generator cudnn_affine_grid_generator sort topk kthvalue argsort unique_dim _unique _unique2
unique_consecutive unique_dim_consecutive searchsorted isin bucketize msort multinomial scatter_add
index_add scatter_reduce index_reduce segment_reduce col2im relu relu6 leaky_relu prelu _prelu_kernel elu
celu selu gelu silu mish hardswish hardsigmoid hardtanh sigmoid tanh threshold softplus log_sigmoid_forward
glu rrelu_with_noise _thnn_fused_lstm_cell _thnn_fused_gru_cell quantize_per_tensor quantize_per_channel
dequantize _embedding_bag nll_loss_forward nll_loss2d_forward binary_cross_entropy
binary_cross_entropy_with_logits smooth_l1_loss mse_loss huber_loss _ctc_loss
"""
FREE = frozenset(_FREE.split())
LIGHT = frozenset(_LIGHT.split())


def is_free(operator: Any) -> bool:
    """Whether an operator (a torch OpOverload) computes nothing: declared so, or a view by its schema."""
    return bool(_names(operator) & FREE) or bool(getattr(operator, "is_view", False))


def is_light(operator: Any) -> bool:
    """Whether it is declared to touch each element about once, by the list or torch's tag "pointwise"."""
    return bool(_names(operator) & LIGHT) or torch.Tag.pointwise in getattr(operator, "tags", ())


def _names(operator: Any) -> set[str]:
    """What an operator may be listed as; none where it is not torch's own."""
    namespace, _, name = str(operator.name()).partition("::")
    bare = name.split(".", 1)[0]
    if namespace not in ("aten", "prim", "prims"):
        return set()
    if bare.startswith("_foreach_") and "mm" not in bare:
        return {"_foreach_*"}
    return {bare, bare.removesuffix("_copy"), bare.removesuffix("_")}
