"""`dld spot`: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_spotters import RedSpotter, SilentSpotter
from PIL import Image

from dld_core.cli import main
from dld_core.cli.names import output_names
from dld_core.interfaces import Spotter
from dld_core.plugins.registry import backends
from dld_core.results.page import Page

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    backends.register("fake-red", RedSpotter)
    backends.register("fake-silent", SilentSpotter)
    yield
    backends.unregister("fake-red")
    backends.unregister("fake-silent")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`dld spot ... --backend fake-red` -> exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        words = [str(argument) for argument in arguments]
        if "--backend" not in words:
            words += ["--backend", "fake-red"]
        with pytest.raises(SystemExit) as ended:
            main(["spot", *words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two good photos, a bad one and a text file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    sign(folder / "img_2.png")
    sign(folder / "img_10.jpg")
    (folder / "broken.jpg").write_bytes((folder / "img_10.jpg").read_bytes()[:300])
    (folder / "notes.txt").write_text("text")
    return folder


def sign(path: Path) -> Path:
    pixels = np.full((120, 180, 3), 200, np.uint8)
    pixels[40:60, 30:90] = (255, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_a_table_for_people(run: Run, photos: Path) -> None:
    code, out, err = run(photos / "img_2.png")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith(f"{photos / 'img_2.png'}  180x120  teacher at scale 1  1 word  ")
    assert first.endswith("GFLOPs  cpu")
    assert second.split()[:2] == ["0.90", "180x120"]
    assert len(second.split()) == 6


def test_json_of_one_file_is_an_object(run: Run, photos: Path) -> None:
    code, out, _ = run(photos / "img_2.png", "--json", "--scale", "0.5")
    values = json.loads(out)
    assert code == 0
    assert (values["width"], values["height"], values["scale"]) == (180, 120, 0.5)
    assert values["words"][0]["text"] == "90x60"
    assert {"image", "gflops", "gflops_full", "timings_ms"} <= set(values)
    assert Page.from_dict(values).working_size == (90, 60)


def test_a_folder_is_read_to_its_end(run: Run, photos: Path) -> None:
    code, out, err = run(photos, "--json")
    pages = json.loads(out)
    assert code == 3
    assert [Path(page["image"]).name for page in pages] == ["broken.jpg", "img_2.png", "img_10.jpg"]
    assert [page["error"] is None for page in pages] == [False, True, True]
    assert err.count("\n") == 1
    assert str(photos / "broken.jpg") in err
    assert "truncated" in err


def test_a_folder_of_one_is_still_an_array(run: Run, tmp_path: Path) -> None:
    sign(tmp_path / "one" / "a.png")
    assert len(json.loads(run(tmp_path / "one", "--json")[1])) == 1
    assert len(json.loads(run(f"{tmp_path}/*/*.png", "--json")[1])) == 1


def test_json_lines(run: Run, photos: Path) -> None:
    code, out, _ = run(f"{photos}/img_*", photos / "img_2.png", "--jsonl")
    assert code == 0
    assert [Path(json.loads(line)["image"]).name for line in out.splitlines()] == ["img_2.png", "img_10.jpg"]


def test_files_of_every_image(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    assert run(photos, "--out", out)[0] == 3
    assert sorted(p.name for p in out.iterdir()) == ["img_10.jpg", "img_10.json", "img_2.jpg", "img_2.json"]
    page = Page.from_dict(json.loads((out / "img_2.json").read_text()))
    assert page.words[0].text == "180x120"
    drawn = np.asarray(Image.open(out / "img_2.jpg"))
    assert drawn.shape == (120, 180, 3)
    assert np.abs(drawn[25:37, 35:60].astype(int) - 200).mean() > 20  # the label above the word


def test_equal_names_do_not_collide(run: Run, tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png", "b/x.jpg", "b/y.png"):
        sign(tmp_path / "in" / name)
    assert run(f"{tmp_path}/in/**/*", "--out", tmp_path / "out")[0] == 0
    found = {p.stem: json.loads(p.read_text())["image"] for p in (tmp_path / "out").glob("*.json")}
    assert {stem: str(Path(image).relative_to(tmp_path / "in")) for stem, image in found.items()} == {
        "a_x.png": "a/x.png",
        "b_x.png": "b/x.png",
        "x.jpg": "b/x.jpg",
        "y": "b/y.png",
    }


def test_names_are_unique_whatever_the_paths() -> None:
    paths = [Path(p) for p in ("/a_b/c.png", "/a/b_c.png", "/A/B/C.png", "/a/b/c.png", "/x/c.png", "/d.jpg")]
    names = output_names(paths)
    assert len({name.lower() for name in names}) == len(paths)
    assert names[-1] == "d"
    assert output_names(paths) == names
    assert output_names([Path("a.png"), Path("/else/a.png")])[0].endswith("_a.png")


def test_skip_existing_reads_only_what_is_left(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photos / "img_2.png", "--out", out)
    before = (out / "img_2.json").stat().st_mtime_ns
    code, text, err = run(photos, "--out", out, "--skip-existing", "--jsonl")
    assert code == 3
    assert [Path(json.loads(line)["image"]).name for line in text.splitlines()] == [
        "broken.jpg",
        "img_10.jpg",
    ]
    assert "1 of 3 images are done already" in err
    assert (out / "img_2.json").stat().st_mtime_ns == before
    code, text, _ = run(f"{photos}/img_*", "--out", out, "--skip-existing", "--json")
    assert (code, json.loads(text)) == (0, [])


def test_arguments_that_name_nothing(run: Run, photos: Path, tmp_path: Path) -> None:
    code, out, err = run(tmp_path / "absent.jpg", photos / "img_2.png", "--jsonl")
    assert code == 3
    assert len(out.splitlines()) == 1
    assert "absent.jpg does not exist" in err
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", f"{tmp_path}/*.jpg", tmp_path / "absent"):
        code, out, err = run(source, "--json")
        assert (code, out) == (3, "")
        assert err.startswith("dld: ")
        assert len(err.splitlines()) == 1


def test_an_engine_that_fails_on_one_image(run: Run, photos: Path) -> None:
    Image.new("RGB", (240, 120)).save(photos / "wide.png")
    code, out, err = run(photos / "wide.png", photos / "img_2.png", "--backend", "fake-silent")
    assert code == 3
    assert "wide.png  not read" in out
    assert "img_2.png  180x120" in out
    assert "GFLOPs" not in out
    assert "RuntimeError: this engine dislikes the picture" in err
    assert "wide.png" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--scale", "half"], "--scale"),
        (["--scale", "3"], "scale"),
        (["--scale", "auto"], "selector"),
        (["--gamma", "5"], "selector"),
        (["--json", "--jsonl"], "exclude"),
        (["--skip-existing"], "--out"),
        (["--device", "cuda:99"], "cpu"),
        (["--backend", "fake-rod"], "fake-red"),
        (["--threads", "0"], "threads"),
        (["--option", "gian=2"], "did you mean 'gain'"),
        (["--option", "gain"], "KEY=VALUE"),
        (["--option", "scale=0.5"], "give --scale"),
    ],
)
def test_usage_errors_end_with_2(run: Run, photos: Path, options: list[str], says: str) -> None:
    code, out, err = run(photos / "img_2.png", *options)
    assert (code, out) == (2, "")
    assert says in err


def test_an_out_that_cannot_be_a_folder(run: Run, photos: Path) -> None:
    code, _, err = run(photos / "img_2.png", "--out", photos / "notes.txt")
    assert code == 2
    assert "notes.txt" in err


def test_threads_and_max_pixels(run: Run, photos: Path) -> None:
    before = torch.get_num_threads()
    try:
        code, out, _ = run(photos / "img_2.png", "--threads", 1, "--max-pixels", 2000, "--json")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert code == 0
    assert np.prod(json.loads(out)["working_size"]) <= 2000
    assert "capped" in json.loads(out)["notes"][0]


def test_a_person_sees_a_bar_and_bad_files(run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, out, err = run(photos, "--jsonl")
    assert code == 3
    assert len(out.splitlines()) == 3
    assert "reading" in err
    assert "truncated" in err.replace("\n", " ")


def test_options_of_the_spotter_and_no_weights(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[object, dict[str, object]]] = []
    plain = RedSpotter.create

    def create(weights: object = "bundled", device: str = "cpu", **options: object) -> Spotter:
        made.append((weights, options))
        return plain(weights, device, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(RedSpotter, "create", create)
    code, _, err = run(photos / "img_2.png", "--option", "gain=2.5", "--weights", "none")
    assert code == 0, err
    assert made == [(None, {"gain": 2.5})]


def test_pages_of_a_tiff_are_read_one_by_one(run: Run, tmp_path: Path) -> None:
    red = np.full((120, 180, 3), 200, np.uint8)
    red[40:60, 30:90] = (255, 0, 0)
    first, rest = Image.fromarray(red), [Image.fromarray(red[:, ::-1].copy()), Image.new("RGB", (180, 120))]
    first.save(tmp_path / "scan.tif", save_all=True, append_images=rest)
    code, out, _ = run(tmp_path / "scan.tif", "--pages", "1-2", "--jsonl", "--out", tmp_path / "out")
    pages = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(page["page"], len(page["words"])) for page in pages] == [(1, 1), (2, 1)]
    assert sorted(p.name for p in (tmp_path / "out").glob("*.json")) == ["scan-p2.json", "scan.json"]
    assert run(tmp_path / "scan.tif", "--pages", "9")[0] == 3
    assert run(tmp_path / "scan.tif", "--pages", "x")[0] == 2
