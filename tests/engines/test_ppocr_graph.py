"""ONNX graphs as PyTorch modules: the numbers of onnxruntime, with gradients."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dld_core import WeightsError
from dld_core.runtimes.graph import Graph, OnnxModule
from dld_core.runtimes.operators import OPERATORS
from dld_plugins.ppocr import conversion
from dld_plugins.ppocr.conversion import convert, difference

onnx = pytest.importorskip("onnx", reason='converting needs onnx: pip install "dld[rapidocr]"')
pytest.importorskip("onnxruntime", reason='the proof needs onnxruntime: pip install "dld[rapidocr]"')
real = pytest.mark.skipif(not importlib.util.find_spec("rapidocr"), reason='pip install "dld[rapidocr]"')


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DLD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def model_file(name: str) -> Path:
    origin = importlib.util.find_spec("rapidocr")
    assert origin is not None
    assert origin.origin is not None
    return Path(origin.origin).parent / "models" / name


def save(path: Path, nodes: list[Any], constants: dict[str, np.ndarray], opset: int = 11) -> Path:
    helper = onnx.helper
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    given = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4, "h", "w"])]
    out = [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)]
    made = helper.make_graph(nodes, "g", given, out, tensors)
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path)
    )
    return path


def rand(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def one(kind: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, ["x"], ["out"], **attributes)


NODES: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = {
    "Conv": ({"strides": [2, 1], "pads": [1, 0, 1, 0]}, {"w": rand(6, 2, 3, 1), "b": rand(6)}),
    "ConvTranspose": ({"strides": [2, 2]}, {"w": rand(4, 3, 2, 2), "b": rand(3)}),
    "BatchNormalization": (
        {"epsilon": 1e-3},
        {"g": rand(4), "b": rand(5)[:4], "m": rand(6)[:4], "v": np.abs(rand(7)[:4])},
    ),
    "Resize": (
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 4])},
    ),
    "Slice": (
        {},
        {
            "s": np.int64([1, 0]),
            "e": np.int64([-1, 99]),
            "a": np.int64([2, 3]),
            "t": np.int64([1, 2]),
        },
    ),
    "Reshape": ({}, {"shape": np.int64([0, -1, 2])}),
    "Pow": ({}, {"p": np.float32(2)}),
    "MatMul": ({}, {"w": rand(9, 5)}),
}


@pytest.mark.parametrize("kind", sorted(NODES))
def test_operators_with_constants_answer_as_onnxruntime(kind: str, tmp_path: Path) -> None:
    attributes, constants = NODES[kind]
    if kind == "Conv":
        attributes = {**attributes, "group": 2}
    node = onnx.helper.make_node(kind, ["x", *constants], ["out"], **attributes)
    file = save(tmp_path / "one.onnx", [node], constants)
    assert difference(Graph.of_onnx(file), file, (2, 4, 8, 9)) < 1e-5


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [1, 1], "auto_pad": "SAME_UPPER"}),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}),
        ("AveragePool", {"kernel_shape": [3, 2], "strides": [3, 2]}),
        ("GlobalAveragePool", {}),
        ("ReduceMean", {"axes": [2, 3], "keepdims": 1}),
        ("ReduceMean", {"axes": [-1]}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("HardSigmoid", {}),
        ("Softmax", {"axis": 3}),
        ("Transpose", {"perm": [2, 0, 3, 1]}),
        ("Unsqueeze", {"axes": [0, 2]}),
        ("Erf", {}),
        ("Relu", {}),
    ],
)
def test_operators_answer_as_onnxruntime(kind: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    file = save(tmp_path / "one.onnx", [one(kind, **attributes)], {})
    assert difference(Graph.of_onnx(file), file, (2, 4, 8, 9)) < 1e-5


def test_a_convolution_with_one_odd_pixel_of_padding(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Conv", ["x", "w"], ["out"], auto_pad="SAME_UPPER")
    file = save(tmp_path / "same.onnx", [node], {"w": rand(3, 4, 2, 2)})
    graph = Graph.of_onnx(file)
    assert OnnxModule(graph)(torch.rand(1, 4, 5, 6)).shape == (1, 3, 5, 6)
    assert difference(graph, file, (1, 4, 5, 6)) < 1e-5


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Softmax", {"axis": 1}),
    ],
)
def test_what_is_not_converted_is_refused(kind: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    module = OnnxModule(Graph.of_onnx(save(tmp_path / "one.onnx", [one(kind, **attributes)], {})))
    with pytest.raises(ValueError, match="not converted"):
        module(torch.rand(1, 4, 8, 8))


def test_unknown_operators_and_broken_files_are_told(tmp_path: Path) -> None:
    assert "Tan" not in OPERATORS
    with pytest.raises(WeightsError, match="holds Tan, which"):
        Graph.of_onnx(save(tmp_path / "tan.onnx", [one("Tan")], {}))
    (tmp_path / "broken.onnx").write_bytes(b"\xff" * 40)
    for name in ("broken.onnx", "absent.onnx"):
        with pytest.raises(WeightsError, match="no ONNX file"):
            Graph.of_onnx(tmp_path / name)


def test_what_is_proven_is_kept_and_a_difference_ends_the_conversion(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = onnx.helper.make_node("Conv", ["x", "w"], ["out"], pads=[1, 1, 1, 1])
    file = save(tmp_path / "conv.onnx", [node], {"w": rand(3, 4, 3, 3)})
    made = convert(file, (1, 4, 3, 3))
    (kept,) = (home / "ppocr").iterdir()
    monkeypatch.setattr(conversion, "difference", lambda *arguments: float("nan"))
    again = convert(file, (1, 4, 3, 3))
    assert (again.nodes, again.input, again.output) == (made.nodes, made.input, made.output)
    assert torch.equal(again.constants["w"], made.constants["w"])
    kept.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="answers differently"):
        convert(file, (1, 4, 3, 3))


def test_a_cut_keeps_only_what_its_output_needs(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Mul", ["x", "w"], ["early"]),
        onnx.helper.make_node("Identity", ["early"], ["same"]),
        onnx.helper.make_node("Add", ["same", "b"], ["late"]),
        onnx.helper.make_node("Sigmoid", ["late"], ["out"]),
    ]
    file = save(tmp_path / "cut.onnx", nodes, {"w": rand(4, 1, 1), "b": rand(9)})
    graph = Graph.of_onnx(file)
    cut = graph.until("same")
    assert [node.output for node in cut.nodes] == ["early", "same"]
    assert set(cut.constants) == {"w"}
    assert graph.maker("same").kind == "Mul"
    x = torch.rand(1, 4, 2, 9)
    early, out = OnnxModule(graph).values(x, ["early", "out"])
    assert torch.equal(OnnxModule(cut)(x), early)
    assert torch.equal(out, torch.sigmoid(early + graph.constants["b"]))
    with pytest.raises(WeightsError, match="no node of the graph makes 'nothing'"):
        graph.maker("nothing")


@real
@pytest.mark.parametrize(
    ("name", "shape", "other"),
    [
        ("PP-OCRv6_det_small.onnx", (1, 3, 64, 96), (2, 3, 96, 64)),
        ("PP-OCRv6_rec_small.onnx", (2, 3, 48, 64), (1, 3, 48, 120)),
    ],
)
def test_pp_ocr_is_converted_with_gradients_for_every_parameter(
    name: str, shape: tuple[int, ...], other: tuple[int, ...]
) -> None:
    graph = convert(model_file(name), shape)
    module = OnnxModule(graph)
    assert difference(graph, model_file(name), other) < 1e-3
    module(torch.rand(shape)).square().sum().backward()
    silent = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []
    assert "character" in graph.metadata or "det" in name
