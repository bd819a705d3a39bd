"""FLOPs of ONNX graphs, against the core's counter on the same network in torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dld_core.evaluation.cost import count
from dld_plugins.engines.onnx_cost import flops, sized_cost

onnx = pytest.importorskip("onnx", reason='counting needs onnx: pip install "dld[rapidocr]"')
pytest.importorskip("onnxruntime", reason='counting needs onnxruntime: pip install "dld[rapidocr]"')


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DLD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Net(nn.Module):
    """A strided and a grouped convolution, a gate from a global pooling, a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.each = nn.Conv2d(8, 8, 5, padding=2, groups=4)
        self.gate = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 2, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.each(self.down(x))
        return self.up(x * self.gate(x.mean((2, 3), keepdim=True)))


def save(path: Path, nodes: list[Any], weights: dict[str, tuple[int, ...]], dims: list[Any]) -> Path:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    constants = [
        helper.make_tensor(name, kind, shape, torch.rand(shape).flatten().tolist())
        for name, shape in weights.items()
    ]
    given = [helper.make_tensor_value_info("x", kind, dims)]
    out = [helper.make_tensor_value_info("out", kind, None)]
    graph = helper.make_graph(nodes, "g", given, out, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def net_file(path: Path) -> Path:
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["x", "down"], ["a"], strides=[4, 4], pads=[1] * 4),
        node("Conv", ["a", "each"], ["b"], group=4, pads=[2] * 4),
        node("GlobalAveragePool", ["b"], ["p"]),
        node("Conv", ["p", "gate"], ["g"]),
        node("Mul", ["b", "g"], ["m"]),
        node("ConvTranspose", ["m", "up"], ["out"], strides=[2, 2]),
    ]
    weights = {"down": (8, 3, 3, 3), "each": (8, 2, 5, 5), "gate": (8, 8, 1, 1), "up": (8, 2, 2, 2)}
    return save(path, nodes, weights, ["n", 3, "h", "w"])


def test_convolutions_cost_what_torch_counts(tmp_path: Path) -> None:
    file = net_file(tmp_path / "net.onnx")
    for shape in ((1, 3, 64, 32), (2, 3, 37, 50)):
        _, cost = count(lambda shape=shape: Net()(torch.rand(shape)))
        assert flops(file, [shape]) == [cost.check().flops]


def test_matrix_products_cost_two_for_each_multiply_add(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0]),
        node("MatMul", ["x", "t"], ["s"]),  # [n, 6] [6, n]: both sides are computed
        node("MatMul", ["s", "x"], ["m"]),
        node("Gemm", ["m", "w"], ["y"], transB=1),
        node("Gemm", ["y", "v"], ["out"], transA=1),  # [n, 4]' [n, 3] with n = 5
    ]
    file = save(tmp_path / "m.onnx", nodes, {"w": (4, 6), "v": (5, 3)}, ["n", 6])
    assert flops(file, [(5, 6)]) == [2 * (5 * 5 * 6 + 5 * 6 * 5 + 5 * 4 * 6 + 4 * 3 * 5)]


def test_the_cost_of_any_area_follows_from_small_runs(tmp_path: Path) -> None:
    file = net_file(tmp_path / "net.onnx")
    area = sized_cost(file, stride=4)
    for height, width in ((4, 4), (64, 100), (40, 8)):
        assert area.at(height, width) == flops(file, [(1, 3, height, width)])


def test_a_cost_that_grows_faster_than_the_area_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    nodes = [
        node("Flatten", ["x"], ["f"], axis=2),  # [3, hw]
        node("Transpose", ["f"], ["t"], perm=[1, 0]),
        node("MatMul", ["t", "f"], ["out"]),
    ]
    file = save(tmp_path / "attention.onnx", nodes, {}, [1, 3, "h", "w"])
    with pytest.raises(ValueError, match="not proportional"):
        sized_cost(file, stride=4)


def test_an_operator_of_unknown_cost_is_refused(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("Einsum", ["x", "x"], ["out"], equation="ij,kj->ik")]
    with pytest.raises(ValueError, match="Einsum"):
        flops(save(tmp_path / "e.onnx", nodes, {}, ["n", 6]), [(2, 6)])


def test_counts_are_kept_and_a_damaged_cache_is_made_again(tmp_path: Path, home: Path) -> None:
    file = net_file(tmp_path / "net.onnx")
    counted = flops(file, [(1, 3, 8, 8)])
    (cache,) = (home / "onnx-cost").iterdir()
    assert json.loads(cache.read_text()) == {"1x3x8x8": counted[0]}
    cache.write_text('{"1x3x8x8": 5}')
    assert flops(file, [(1, 3, 8, 8)]) == [5]  # read, not counted again
    cache.write_text("not json")
    assert flops(file, [(1, 3, 8, 8)]) == counted


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, home: Path) -> None:
    home.touch()  # a file where the folder should be
    assert flops(net_file(tmp_path / "net.onnx"), [(1, 3, 8, 8)])[0] > 0
