"""From any image to a Page: scales, caps, batches, threads, devices, saving."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_spotters import NativeSpotter, RedSpotter, SilentSpotter, TinySpotter
from PIL import Image
from safetensors.torch import save_file

from dld_core import DLDWrapper, Page
from dld_core.errors import ConfigError, DeviceError, DLDError, ImageError, UnknownPartError, WeightsError
from dld_core.images import ImageLimits
from dld_core.interfaces import ResolutionSelector
from dld_core.pipeline.plan import batches
from dld_core.plugins.hooks import Hooks
from dld_core.plugins.registry import backends
from dld_core.runtimes.devices import available_devices, resolve_device
from dld_core.types import Word


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    parts = {"fake-red": RedSpotter, "fake-silent": SilentSpotter, "fake-tiny": TinySpotter}
    for name, part in parts.items():
        backends.register(name, part)
    yield
    for name in parts:
        backends.unregister(name)


def sign(
    width: int = 180, height: int = 120, box: tuple[int, int, int, int] = (30, 40, 90, 60)
) -> np.ndarray:
    """A grey picture with a red rectangle (left, top, right, bottom)."""
    pixels = np.full((height, width, 3), 200, np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = (255, 0, 0)
    return pixels


def saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def dld() -> DLDWrapper:
    return DLDWrapper("fake-red")


def corners(page: Page) -> np.ndarray:
    return page.words[0].array


# ---------------------------------------------------------------- one image


def test_a_page_says_everything(dld: DLDWrapper, tmp_path: Path) -> None:
    path = saved(tmp_path / "sign.png", sign())
    page = dld.spot(path)
    assert (page.image, page.width, page.height) == (str(path), 180, 120)
    assert (page.backend, page.weights, page.device) == ("fake-red", "bundled", "cpu")
    assert (page.model, page.scale, page.working_size) == ("teacher", 1.0, (180, 120))
    assert page.gflops == pytest.approx(2e-3 * 180 * 120 + 1)
    assert page.gflops_full == page.gflops
    assert set(page.timings_ms) == {"decode", "resize", "spot", "total"}
    assert page.timings_ms["total"] == pytest.approx(
        sum(page.timings_ms[k] for k in ("decode", "resize", "spot")), abs=0.01
    )
    assert page.notes == []
    assert page.error is None
    assert page.words[0].text == "180x120"
    assert np.abs(corners(page) - [[30, 40], [90, 40], [90, 60], [30, 60]]).max() <= 2


@pytest.mark.parametrize(("scale", "share"), [("full", 1.0), (1.0, 1.0), (0.5, 0.5), (1.5, 1.5)])
def test_scales_are_fractions_of_the_full_size(dld: DLDWrapper, scale: object, share: float) -> None:
    large, small = sign(360, 240), sign(90, 70, (10, 20, 40, 30))
    for pixels, full in ((large, (360, 240)), (small, (154, 120))):  # native, and enlarged to the reference
        page = dld.spot(pixels, scale=scale)
        assert page.working_size == (round(full[0] * share), round(full[1] * share))
        assert page.scale == share
        assert page.gflops_full == pytest.approx(2e-3 * full[0] * full[1] + len(page.words))


def test_polygons_are_in_pixels_of_the_original_at_every_scale(dld: DLDWrapper) -> None:
    big = sign(1800, 1200, (300, 400, 900, 600))
    for scale in (0.5, 1.0, 1.5):
        found = corners(dld.spot(big, scale=scale))
        assert np.abs(found - [[300, 400], [900, 400], [900, 600], [300, 600]]).max() <= 25


def test_spotters_of_two_stages_get_the_native_image_and_the_size() -> None:
    spotter = NativeSpotter()
    dld = DLDWrapper(spotter, batch_size=4)
    page = dld.spot(sign(), scale=0.5)
    assert spotter.sizes == [(60, 90)]
    assert spotter.seen[-1] == [(3, 120, 180)]
    assert (page.scale, page.working_size) == (0.5, (90, 60))
    assert page.gflops == pytest.approx(2e-3 * 90 * 60 + 1)
    assert corners(page).tolist() == [[30, 40], [90, 40], [90, 60], [30, 60]]
    pages = dld.spot([sign(), sign(box=(30, 40, 80, 60))])  # of one working size
    assert spotter.sizes[1:] == [(120, 180)] * 2
    assert spotter.seen[-1] == [(3, 120, 180), (3, 120, 180)]
    assert [corners(p).max() for p in pages] == [90, 80]


def test_the_wrappers_scale_is_the_default() -> None:
    dld = DLDWrapper("fake-red", scale=0.5)
    assert dld.spot(sign()).scale == 0.5
    assert dld.spot(sign(), scale="full").scale == 1.0


@pytest.mark.parametrize("scale", [0, -1, 1.6, "half", True, float("nan"), None.__class__])
def test_other_scales_are_refused(dld: DLDWrapper, scale: object) -> None:
    with pytest.raises(ConfigError, match="scale"):
        dld.spot(sign(), scale=scale)
    with pytest.raises(ConfigError, match="scale"):
        DLDWrapper("fake-red", scale=scale)


def test_auto_needs_a_selector(dld: DLDWrapper) -> None:
    with pytest.raises(ConfigError, match="selector"):
        dld.spot(sign(), scale="auto")


def test_every_source_gives_the_same_words(dld: DLDWrapper, tmp_path: Path) -> None:
    pixels = sign()
    path = saved(tmp_path / "sign.png", pixels)
    expected = dld.spot(pixels).words
    for source in (
        str(path),
        path,
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        Image.fromarray(pixels),
        torch.from_numpy(pixels).permute(2, 0, 1),
    ):
        assert dld.spot(source).words == expected


def test_exif_turned_photos_are_read_as_seen(dld: DLDWrapper, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "phone.png", np.ascontiguousarray(np.rot90(sign())), exif=exif)
    page = dld.spot(path)
    assert (page.width, page.height) == (180, 120)
    assert np.abs(corners(page) - [[30, 40], [90, 40], [90, 60], [30, 60]]).max() <= 2


def test_memory_is_bounded_and_the_page_says_so() -> None:
    dld = DLDWrapper("fake-red", max_pixels=2000)
    page = dld.spot(sign())
    assert page.working_size[0] * page.working_size[1] <= 2000
    assert page.scale == 1.0, "of what the limit allows"
    assert "capped from 180x120" in page.notes[0]
    assert page.gflops_full == page.gflops
    assert np.abs(corners(page) - [[30, 40], [90, 40], [90, 60], [30, 60]]).max() <= 4


def test_pictures_decoded_smaller_keep_their_coordinates(tmp_path: Path) -> None:
    path = saved(tmp_path / "big.jpg", sign(720, 480, (120, 160, 360, 240)), quality=95)
    page = DLDWrapper("fake-red", limits=ImageLimits(decode_pixels=50_000)).spot(path)
    assert (page.width, page.height) == (720, 480)
    assert "to bound memory" in page.notes[0]
    assert np.abs(corners(page) - [[120, 160], [360, 160], [360, 240], [120, 240]]).max() <= 10


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_odd_sizes_are_read(dld: DLDWrapper, size: tuple[int, int]) -> None:
    page = dld.spot(np.zeros((*size, 3), np.uint8))
    assert (page.height, page.width) == size
    assert page.words == []


def test_a_bad_image_alone_is_an_error(dld: DLDWrapper, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.jpg"):
        dld.spot(tmp_path / "absent.jpg")


def test_engines_that_know_no_cost(tmp_path: Path) -> None:
    page = DLDWrapper("fake-silent").spot(sign())
    assert page.gflops is None
    assert page.gflops_full is None
    assert json.loads(page.to_json())["gflops"] is None


# ---------------------------------------------------------------- lists


def test_a_list_keeps_its_order_and_goes_on_after_bad_files(dld: DLDWrapper, tmp_path: Path) -> None:
    good = [sign(), sign(120, 180), sign(), sign(300, 120), sign(120, 180)]
    (tmp_path / "text.jpg").write_text("no picture")
    sources = [good[0], tmp_path / "text.jpg", good[1], good[2], "absent.jpg", good[3], good[4], 7]
    pages = dld.spot(sources)
    assert [page.error is None for page in pages] == [True, False, True, True, False, True, True, False]
    assert "holds text" in str(pages[1].error)
    assert pages[1].image == str(tmp_path / "text.jpg")
    assert pages[4].image == "absent.jpg"
    assert pages[7].image is None
    assert all(page.words == [] for page in pages if page.error)
    alone = [dld.spot(source) for source in good]
    for page, single in zip([p for p in pages if not p.error], alone, strict=True):
        assert page.words == single.words
        assert page.working_size == single.working_size


def test_equal_sizes_are_read_together_in_bounded_batches() -> None:
    dld = DLDWrapper("fake-red", batch_size=3)
    pages = dld.spot([sign(), sign(120, 180)] * 5)
    seen = dld.spotter.seen
    assert [len(set(batch)) for batch in seen] == [1] * len(seen)
    assert sorted(len(batch) for batch in seen) == [2, 2, 3, 3]
    assert [page.words[0].text for page in pages] == ["180x120", "120x180"] * 5


def test_batches() -> None:
    sizes = {0: (10, 10), 1: (20, 10), 2: (10, 10), 3: (10, 10), 5: (20, 10)}
    assert list(batches(sizes, 2, 10_000)) == [(0, 2), (3,), (1, 5)]
    assert list(batches(sizes, 8, 100)) == [(0, 2), (3,), (1,), (5,)]
    assert list(batches({}, 8, 100)) == []


def test_an_engine_that_breaks_on_one_image_reads_the_others() -> None:
    dld = DLDWrapper("fake-silent")
    broken = sign(240, 120)
    pages = dld.spot([sign(), broken, sign()])
    assert [page.error for page in pages] == [None, "RuntimeError: this engine dislikes the picture", None]
    assert (pages[1].width, pages[1].height) == (240, 120)
    with pytest.raises(RuntimeError, match="dislikes"):
        dld.spot(broken)


def test_a_batch_that_breaks_is_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dld = DLDWrapper("fake-red")
    whole = RedSpotter.predict

    def short_of_memory(self: RedSpotter, images: list[torch.Tensor]) -> list[list[object]]:
        if len(images) > 1:
            raise RuntimeError("out of memory")
        return whole(self, images)

    monkeypatch.setattr(RedSpotter, "predict", short_of_memory)
    assert [page.error for page in dld.spot([sign()] * 3)] == [None] * 3


def test_an_engine_that_loses_images_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedSpotter, "predict", lambda self, images: [])
    with pytest.raises(DLDError, match="0 results for 1 images"):
        DLDWrapper("fake-red").spot(sign())


def test_an_empty_list_and_a_stream(dld: DLDWrapper) -> None:
    assert dld.spot([]) == []
    drawn = []

    def source() -> Iterator[np.ndarray]:
        for index in range(40):
            drawn.append(index)
            yield sign()

    pages = dld.stream(source())
    assert next(pages).words
    assert len(drawn) <= 16
    assert len(list(pages)) == 39


# ---------------------------------------------------------------- threads and hooks


def test_threads_get_their_own_results_and_never_meet_in_the_spotter(dld: DLDWrapper) -> None:
    pictures = [sign(180 + 12 * i, 120, (30, 40, 90 + 6 * i, 60)) for i in range(8)]
    expected = [dld.spot(picture).words for picture in pictures]
    failures: list[int] = []

    def work(index: int) -> None:
        for _ in range(5):
            if dld.spot(pictures[index]).words != expected[index]:
                failures.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not dld.spotter.overlapped


def test_hooks_hear_of_every_page(dld: DLDWrapper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dld_core import hookimpl

    heard: list[object] = []

    class Listener:
        @hookimpl
        def dld_scale_chosen(self, image: str, scale: float) -> None:
            heard.append((image, scale))

        @hookimpl
        def dld_page_spotted(self, page: Page) -> None:
            heard.append(page)

    hooks = Hooks(discover=False)
    hooks.register(Listener(), "listener")
    for step in ("steps", "plan"):
        monkeypatch.setattr(f"dld_core.pipeline.{step}.hooks", hooks)
    path = saved(tmp_path / "a.png", sign())
    page = dld.spot(path, scale=0.5)
    assert heard == [(str(path), 0.5), page]


# ---------------------------------------------------------------- making one


def test_unknown_backends_and_options() -> None:
    with pytest.raises(UnknownPartError, match="fake-red"):
        DLDWrapper("fake-rad")
    with pytest.raises(ConfigError, match="gain"):
        DLDWrapper("fake-red", gian=2)
    for options in ({"max_pixels": 0}, {"batch_size": 0}, {"batch_size": 1.5}, {"max_pixels": True}):
        with pytest.raises(ConfigError, match="whole number"):
            DLDWrapper("fake-red", **options)


def test_a_spotter_that_is_ready() -> None:
    spotter = RedSpotter()
    dld = DLDWrapper(spotter)
    assert dld.spotter is spotter
    assert dld.spot(sign()).backend == "RedSpotter"
    with pytest.raises(ConfigError, match="name of a backend"):
        dld.save("never_written")
    assert not Path("never_written").exists()


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("auto") in available_devices()
    assert resolve_device(torch.device("cpu")) == "cpu"
    for asked in ("cuda:99", "tpu", "gpu", "cuda:x"):
        with pytest.raises(DeviceError, match="cpu"):
            DLDWrapper("fake-red", device=asked)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (resolve_device("auto"), resolve_device("cuda"), resolve_device("cuda:1")) == (
        "cuda:0",
        "cuda:0",
        "cuda:1",
    )


def test_closing_lets_go() -> None:
    import weakref

    with DLDWrapper("fake-tiny") as dld:
        spotter = weakref.ref(dld.spotter)
        assert dld.spot(sign()).words
    assert spotter() is None
    dld.close()
    with pytest.raises(DLDError, match="closed"):
        dld.spot(sign())
    with pytest.raises(DLDError, match="closed"):
        dld.spot([sign()])


# ---------------------------------------------------------------- saving


def test_save_and_load_give_the_same_pages(tmp_path: Path) -> None:
    first = DLDWrapper("fake-tiny", None, scale=0.5, max_pixels=6000, batch_size=2, gain=2.0)
    with torch.no_grad():
        first.spotter.score.fill_(0.4375)
    assert first.save(tmp_path / "deep" / "folder") == tmp_path / "deep" / "folder"
    second = DLDWrapper.load(tmp_path / "deep" / "folder")
    assert second.spotter is not first.spotter
    one, two = first.spot(sign()), second.spot(sign())
    assert two.words == one.words
    assert two.words[0].score == 0.875
    assert (two.scale, two.weights) == (0.5, "model.safetensors")
    assert (second.working, second.batch_size) == (first.working, 2)
    assert second.spotter.table.dtype == torch.float16
    assert DLDWrapper.load(tmp_path / "deep" / "folder", scale="full").spot(sign()).scale == 1.0
    names = sorted(p.name for p in (tmp_path / "deep" / "folder").iterdir())
    assert names == ["dld.json", "model.safetensors"]


class Taught(TinySpotter):
    """A spotter with a student beside its bundled weights."""

    student: Path

    def bundled_part(self, part: str) -> Path | None:
        return self.student if part == "student" else None


def test_a_saved_wrapper_keeps_its_teacher(tmp_path: Path) -> None:
    Taught.student = tmp_path / "student.safetensors"
    student = TinySpotter.create()
    with torch.no_grad():
        student.score.fill_(0.75)
    save_file({k: v.clone().contiguous() for k, v in student.state_dict().items()}, Taught.student)
    backends.register("fake-taught", Taught)
    try:
        first = DLDWrapper("fake-taught", scale=0.5)
        scores = [first.spot(sign(), scale=scale).words[0].score for scale in (0.5, "full")]
        assert scores == [0.75, 0.25]
        first.save(tmp_path / "saved")
        again = DLDWrapper.load(tmp_path / "saved")
        assert [again.spot(sign(), scale=scale).words[0].score for scale in (0.5, "full")] == scores
        again.save(tmp_path / "saved twice")
        twice = DLDWrapper.load(tmp_path / "saved twice")
        assert twice.spot(sign(), scale="full").words[0].score == scores[1]
        DLDWrapper("fake-taught", Taught.student).save(tmp_path / "saved")
        alone = DLDWrapper.load(tmp_path / "saved")
        assert alone.teacher is alone.spotter, "no teacher of a wrapper that was there before"
        for asked, read in ((None, "teacher"), ("student", "student"), ("teacher", "teacher")):
            page = again.spot(sign(), scale=1.0 if asked else "full", **({"model": asked} if asked else {}))
            assert (page.model, page.words[0].score) == (read, scores[read == "teacher"])
    finally:
        backends.unregister("fake-taught")


def test_engines_without_a_state_save_their_settings(tmp_path: Path) -> None:
    DLDWrapper("fake-red", gain=3, scale=0.7).save(tmp_path)
    again = DLDWrapper.load(tmp_path)
    assert (again.spotter.config.gain, again.scale, again.weights) == (3, 0.7, "bundled")


def test_loading_what_save_did_not_write(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"dld\.json"):
        DLDWrapper.load(tmp_path / "absent")
    for text in ("", "[]", "{}", '{"backend": 1}', '{"backend": "x", "options": 3}', "\0"):
        (tmp_path / "dld.json").write_text(text)
        with pytest.raises(WeightsError, match="damaged"):
            DLDWrapper.load(tmp_path)
    DLDWrapper("fake-red").save(tmp_path)
    index = json.loads((tmp_path / "dld.json").read_text())
    (tmp_path / "dld.json").write_text(json.dumps({**index, "format": 99}))
    with pytest.raises(WeightsError, match="update dld"):
        DLDWrapper.load(tmp_path)


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="another folder"):
        DLDWrapper("fake-red").save(tmp_path / "file" / "deep")


# ---------------------------------------------------------------- limits, margins, order, processes


def test_a_limit_holds_at_a_given_scale(dld: DLDWrapper) -> None:
    full = dld.spot(sign())
    assert full.gflops is not None
    tight = dld.spot(sign(), scale=1.0, budget=15.0)
    assert (tight.scale < 1.0, "scale lowered from 1 to" in tight.notes[0]) == (True, True)
    assert dld.spot(sign(), scale=0.5, max_latency_ms=1e9).notes == []
    with pytest.raises(ConfigError, match="cannot keep a budget"):
        DLDWrapper("fake-silent").spot(sign(), budget=1.0)


def test_strips_and_crops_are_read_with_a_margin_and_at_a_sane_size(dld: DLDWrapper) -> None:
    strip = np.full((48, 1190, 3), 200, np.uint8)
    strip[4:44, 0:300] = (255, 0, 0)
    page = dld.spot(strip)
    assert page.working_size[0] * page.working_size[1] < 1190 * 48 * 8
    assert (page.width, page.height) == (1190, 48)
    assert np.abs(corners(page) - [[0, 4], [300, 4], [300, 44], [0, 44]]).max() <= 2
    crop = strip[:40, :60]
    assert np.abs(corners(dld.spot(crop)) - [[0, 4], [60, 4], [60, 40], [0, 40]]).max() <= 2


def test_words_come_line_by_line() -> None:
    class Shuffled(RedSpotter):
        def predict(self, images: list[torch.Tensor]) -> list[list[Word]]:
            def box(x: float, y: float) -> tuple[tuple[float, float], ...]:
                return ((x, y), (x + 20, y), (x + 20, y + 10), (x, y + 10))

            placed = {
                "Butter": (10, 10),
                "Bread": (40, 12),
                "2.40": (100, 9),
                "Tea": (10, 40),
                "7.95": (100, 41),
            }
            words = [Word(text, 0.9, box(*at)) for text, at in placed.items()]
            return [[words[i] for i in (3, 1, 4, 0, 2)]]

    page = DLDWrapper(Shuffled()).spot(sign())
    assert [word.text for word in page.words] == ["Butter", "Bread", "2.40", "Tea", "7.95"]


def test_copies_are_made_anew_and_forked_children_are_refused(dld: DLDWrapper) -> None:
    copied = pickle.loads(pickle.dumps(dld))
    assert copied.spotter is not dld.spotter
    assert copied.spot(sign()).words == dld.spot(sign()).words
    with pytest.raises(DLDError, match="make one in"):
        copy.deepcopy(DLDWrapper(RedSpotter()))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            dld.spot(sign())
        except DLDError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert b"each worker" in os.read(reading, 1000)


def test_a_selector_that_fails_loses_no_image() -> None:
    class Broken(ResolutionSelector):
        scales = (0.5, 1.0)
        answer: object = None

        def forward(self, thumbnails: torch.Tensor, native_sizes: torch.Tensor) -> torch.Tensor:
            if isinstance(self.answer, BaseException):
                raise self.answer
            return torch.tensor([self.answer])

    selector = Broken()
    dld = DLDWrapper(RedSpotter(), selector=selector)
    for answer in (RuntimeError("boom"), SystemExit(3), [float("nan"), 1.0], [1.0, 2.0, 3.0]):
        selector.answer = answer
        page = dld.spot(sign())
        assert (page.scale, len(page.words)) == (1.0, 1)
        assert "selector Broken failed" in page.warnings[0]
