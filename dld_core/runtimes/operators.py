"""The ONNX operators that PP-OCR's graphs use, in torch, with ONNX's own meaning (opset 11 to 17).

A converter for every graph is a project of its own; these are all the operators that the published detectors
and recognisers of PP-OCRv6 need. Anything else is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Attributes = Mapping[str, Any]
Operator = Callable[[Sequence[Any], Attributes], Tensor]


def _padding(x: Tensor, kernel: Sequence[int], attributes: Attributes, fill: float = 0.0) -> Tensor:
    """The input with ONNX's padding (all begins, then all ends; or the odd pixel at the end) applied."""
    count = len(kernel)
    pads = list(attributes.get("pads", [0] * 2 * count))
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        if attributes["auto_pad"] != "SAME_UPPER" or set(attributes.get("strides", [1])) != {1}:
            raise ValueError(f"auto_pad {attributes['auto_pad']!r} with strides is not converted")
        dilations = attributes.get("dilations", [1] * count)
        total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    if not any(pads):
        return x
    flat = [pads[side * count + axis] for axis in reversed(range(count)) for side in (0, 1)]
    return F.pad(x, flat, value=fill)


def _conv(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, weight = inputs[:2]
    bias = inputs[2].flatten() if len(inputs) > 2 else None
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    pads = attributes.get("pads", [0] * 4)
    # Even padding goes to the convolution itself, which is quicker than a padded copy.
    even = "auto_pad" not in attributes and pads[:2] == pads[2:]
    if not even:
        x = _padding(x, weight.shape[2:], attributes)
    return F.conv2d(x, weight, bias, strides, pads[:2] if even else 0, dilations, attributes.get("group", 1))


def _conv_transpose(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    pads = attributes.get("pads", [0] * 4)
    if pads[:2] != pads[2:] or "output_shape" in attributes or "auto_pad" in attributes:
        raise ValueError("a ConvTranspose with uneven padding is not converted")
    bias = inputs[2] if len(inputs) > 2 else None
    extra = attributes.get("output_padding", [0, 0])
    strides, group = attributes.get("strides", [1, 1]), attributes.get("group", 1)
    return F.conv_transpose2d(
        inputs[0], inputs[1], bias, strides, pads[:2], extra, group, attributes.get("dilations", [1, 1])
    )


def _max_pool(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    kernel = attributes["kernel_shape"]
    x = _padding(inputs[0], kernel, attributes, fill=float("-inf"))
    return F.max_pool2d(
        x, kernel, attributes.get("strides", [1, 1]), ceil_mode=bool(attributes.get("ceil_mode"))
    )


def _average_pool(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    if any(attributes.get("pads", ())) or "auto_pad" in attributes:
        raise ValueError("an AveragePool with padding is not converted")
    kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
    return F.avg_pool2d(inputs[0], kernel, strides, ceil_mode=bool(attributes.get("ceil_mode")))


def _batch_norm(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    """By its stored statistics, also in training: PP-OCR's batches are of unlike lines."""
    x, scale, bias, mean, variance = inputs
    return F.batch_norm(x, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _resize(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    scales = [float(scale) for scale in inputs[2]]
    known = attributes.get("mode") == "nearest" and scales[:2] == [1.0, 1.0]
    asymmetric = attributes.get("coordinate_transformation_mode") == "asymmetric"
    if not (known and asymmetric and attributes.get("nearest_mode") == "floor"):
        raise ValueError("a Resize that is not nearest, asymmetric, floor is not converted")
    return F.interpolate(inputs[0], scale_factor=scales[2:], mode="nearest")


def _softmax(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    if attributes.get("axis", -1) not in (-1, inputs[0].ndim - 1):
        raise ValueError("a Softmax over other than the last axis is not converted")
    return torch.softmax(inputs[0], -1)


def _reshape(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    del attributes
    x: Tensor = inputs[0]
    return x.reshape([x.shape[place] if size == 0 else size for place, size in enumerate(inputs[1].tolist())])


def _axes(inputs: Sequence[Any], attributes: Attributes) -> list[int]:
    """An attribute up to opset 12, an input from 13 on."""
    return list(attributes["axes"]) if "axes" in attributes else inputs[1].tolist()


def _unsqueeze(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    for axis in sorted(_axes(inputs, attributes)):
        x = x.unsqueeze(axis)
    return x


def _slice(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    del attributes
    x: Tensor = inputs[0]
    starts, ends = inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 else range(len(starts))
    steps = inputs[4].tolist() if len(inputs) > 4 else [1] * len(starts)
    cuts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[axis] = slice(start, end, step)
    return x[tuple(cuts)]


OPERATORS: dict[str, Operator] = {
    "Add": lambda i, a: i[0] + i[1],
    "Sub": lambda i, a: i[0] - i[1],
    "Mul": lambda i, a: i[0] * i[1],
    "Div": lambda i, a: i[0] / i[1],
    "Pow": lambda i, a: i[0] ** i[1],
    "Sqrt": lambda i, a: torch.sqrt(i[0]),
    "Gelu": lambda i, a: F.gelu(i[0]),
    "Erf": lambda i, a: torch.erf(i[0]),
    "Relu": lambda i, a: F.relu(i[0]),
    "Sigmoid": lambda i, a: torch.sigmoid(i[0]),
    "HardSigmoid": lambda i, a: (i[0] * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "MatMul": lambda i, a: i[0] @ i[1],
    "Identity": lambda i, a: i[0],
    "Concat": lambda i, a: torch.cat(list(i), a["axis"]),
    "Transpose": lambda i, a: i[0].permute(a["perm"]),
    "Squeeze": lambda i, a: i[0].squeeze(tuple(_axes(i, a))),
    "Shape": lambda i, a: torch.tensor(i[0].shape),
    "ReduceMean": lambda i, a: i[0].mean(tuple(a["axes"]), keepdim=bool(a.get("keepdims", 1))),
    "GlobalAveragePool": lambda i, a: i[0].mean((2, 3), keepdim=True),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Resize": _resize,
    "Softmax": _softmax,
    "Reshape": _reshape,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
}

PRODUCTS: dict[str, Callable[[Sequence[int], Sequence[int], Sequence[int]], int]] = {
    "Conv": lambda x, weight, out: math.prod(out) * math.prod(weight[1:]),
    "ConvTranspose": lambda x, weight, out: math.prod(x) * math.prod(weight[1:]),
    "MatMul": lambda a, b, out: math.prod(out) * a[-1],
    "Gemm": lambda a, b, out: math.prod(out) * math.prod(a) // out[0],
}
"""From the shapes of a node's first two inputs and its output to multiply-adds."""
