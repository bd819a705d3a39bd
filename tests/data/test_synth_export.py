"""`dld data synth`: files written, read back, resumed; wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dld_core.cli.data_synth import synth
from dld_core.data.formats import read
from dld_core.data.synth import PageRenderer, SynthConfig
from dld_core.data.synth.export import draw_labels, icdar_text, page_files, page_seed, write_pages
from dld_core.errors import ConfigError, DataError
from dld_core.types import Sample

CONFIG = SynthConfig.parse({"system_fonts": False, "page_size": (160, 200), "words": (3, 6)})


def run(*arguments: object) -> object:
    app = typer.Typer()
    app.command()(synth)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_pages_read_back_as_they_were_rendered(tmp_path: Path) -> None:
    assert write_pages(CONFIG, tmp_path, 5, seed=2, encoding="png") == 5
    dataset = read(tmp_path / "gt", "icdar", images=tmp_path / "images")
    renderer = PageRenderer(CONFIG)
    assert len(dataset) == 5
    for number, found in enumerate(dataset.images):
        page = renderer.page(page_seed(2, number))
        stored = cv2.cvtColor(cv2.imread(str(found.path)), cv2.COLOR_BGR2RGB)
        assert np.array_equal(stored, page.image)
        assert [w.ignore for w in found.words] == page.ignore.tolist()
        wanted = [("###" if i else t) for t, i in zip(page.texts, page.ignore, strict=True)]
        assert [w.text for w in found.words] == wanted
        for word, polygon in zip(found.words, page.polygons, strict=True):
            assert np.abs(word.polygon - polygon).max() <= 0.051


def test_numbers_beside_curved_words_stay_texts(tmp_path: Path) -> None:
    ring = np.stack([np.arange(10) * 3, np.arange(10)[::-1] * 2], axis=1).astype(np.float32)
    box = np.array([[1, 1], [9, 1], [9, 4.5], [1, 4]], np.float32)
    texts = ["round", "1,500", "42", '"so"', "a,b", "7/8"]
    polygons = [ring, *[box] * 5]
    sample = Sample(np.zeros((32, 32, 3), np.uint8), polygons, texts, np.zeros(6, np.bool_))
    (tmp_path / "gt_a.txt").write_text(icdar_text(sample))
    cv2.imwrite(str(tmp_path / "a.png"), sample.image)
    words = read(tmp_path, "icdar", images=tmp_path).images[0].words
    assert [w.text for w in words] == texts
    assert [len(w.polygon) for w in words] == [10, 4, 4, 4, 4, 4]


def test_rendering_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write_pages(CONFIG, tmp_path, 3)
    image, gt = page_files(tmp_path, 0, 1, "jpg")
    before, kept = image.read_bytes(), page_files(tmp_path, 0, 0, "jpg")[0].stat().st_mtime_ns
    gt.unlink()
    counts: list[int] = []
    assert write_pages(CONFIG, tmp_path, 4, done=counts.append) == 2
    assert len(counts) == 4
    assert image.read_bytes() == before
    assert page_files(tmp_path, 0, 0, "jpg")[0].stat().st_mtime_ns == kept


def test_a_folder_of_other_options_is_refused(tmp_path: Path) -> None:
    write_pages(CONFIG, tmp_path, 1)
    with pytest.raises(ConfigError, match="choose another folder"):
        write_pages(CONFIG, tmp_path, 1, seed=1)
    (tmp_path / "synth.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        write_pages(CONFIG, tmp_path, 1)


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match="taken"):
        write_pages(CONFIG, tmp_path / "taken", 1)


def test_workers_write_the_same_pages(tmp_path: Path) -> None:
    write_pages(CONFIG, tmp_path / "one", 3)
    write_pages(CONFIG, tmp_path / "two", 3, workers=2)
    for number in range(3):
        one, two = (page_files(tmp_path / name, 0, number, "jpg") for name in ("one", "two"))
        assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_labels_are_drawn_in_two_colours() -> None:
    box = np.array([[5, 5], [25, 5], [25, 12], [5, 12]], np.float32)
    sample = Sample(np.zeros((40, 40, 3), np.uint8), [box, box + 15], ["a", "b"], np.array([False, True]))
    drawn = draw_labels(sample)
    assert drawn[5, 15, 1] > drawn[5, 15, 0]
    assert drawn[20, 30, 0] > drawn[20, 30, 1]
    assert not sample.image.any()


def test_the_command_writes_a_set(tmp_path: Path) -> None:
    config = tmp_path / "pages.yaml"
    config.write_text("system_fonts: false\nwords: [1, 2]\ndegrade: 0\n")
    result = run("--out", tmp_path / "set", "--pages", 2, "--seed", 7, "--size", "96x128", "--config", config)
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "set") in result.stdout
    record = json.loads((tmp_path / "set" / "synth.json").read_text())
    assert record["seed"] == 7
    assert record["config"]["page_size"] == [96, 128]
    assert record["config"]["words"] == [1, 2]
    assert cv2.imread(str(tmp_path / "set" / "images" / "synth_7_000000.jpg")).shape == (96, 128, 3)
    assert len(list((tmp_path / "set" / "gt").glob("gt_synth_7_*.txt"))) == 2
    assert cv2.imread(str(tmp_path / "set" / "preview.jpg")) is not None


@pytest.mark.parametrize("arguments", [("--size", "big"), ("--words", "3"), ("--pages", "0")])
def test_wrong_arguments_end_with_usage(tmp_path: Path, arguments: tuple[str, str]) -> None:
    assert run("--out", tmp_path / "set", *arguments).exit_code == 2


def test_wrong_options_of_a_file_are_named(tmp_path: Path) -> None:
    config = tmp_path / "pages.yaml"
    config.write_text("wrods: [1, 2]\n")
    result = run("--out", tmp_path / "set", "--config", config)
    assert isinstance(result.exception, ConfigError)
    assert "did you mean 'words'" in str(result.exception)
