"""Each format read from a sample as its own documentation shows it, and written back without loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from formats_common import GOLDEN, facts, put_golden

from dld_core.data import formats
from dld_core.errors import DataError, UnknownPartError


@pytest.mark.parametrize("name", GOLDEN)
def test_sniffed_as_folder_and_as_file(name: str, tmp_path: Path) -> None:
    folder = put_golden(name, tmp_path / "shop")
    assert formats.sniff(folder) == name
    assert formats.sniff(folder / next(iter(GOLDEN[name]))) == name


@pytest.mark.parametrize("name", GOLDEN)
def test_written_back_as_it_was(name: str, tmp_path: Path) -> None:
    read = formats.read(put_golden(name, tmp_path / "in" / "shop"))
    losses = formats.write(read, tmp_path / "out" / "shop", name)
    assert not losses.counts
    again = formats.read(tmp_path / "out" / "shop")
    assert facts(again) == facts(read)
    assert again.extra == read.extra


@pytest.mark.parametrize("name", ["icdar", "icdar13", "icdar-mlt", "totaltext"])
def test_text_files_come_back_to_the_byte(name: str, tmp_path: Path) -> None:
    formats.write(formats.read(put_golden(name, tmp_path / "in")), tmp_path / "out", name)
    for file, content in GOLDEN[name].items():
        assert (tmp_path / "out" / file).read_text(encoding="utf-8") == content


@pytest.mark.parametrize("name", ["cocotext", "textocr", "mmocr", "davar", "doctr"])
def test_json_documents_come_back_whole(name: str, tmp_path: Path) -> None:
    (file, content), *_ = GOLDEN[name].items()
    formats.write(formats.read(put_golden(name, tmp_path / "in")), tmp_path / "out", name)
    written = json.loads((tmp_path / "out" / file).read_text(encoding="utf-8"))
    expected = json.loads(content)
    if name == "doctr":
        expected["sample_img_02.png"]["polygons"].pop("date")  # a class without regions
    assert written == expected


def test_what_the_golden_files_say(tmp_path: Path) -> None:
    texts = {name: _texts(name, tmp_path) for name in GOLDEN}
    assert texts["icdar"] == ["Genaxis Theatre", "[06]", None, "5,000", '"We']
    assert texts["icdar13"] == ["Footpath", "To", 'a "b", c']
    assert texts["icdar-mlt"] == ["NEW", "\uc11c\uc6b8", None]
    assert texts["totaltext"] == ["PAUL", None, "JOE'S"]
    assert texts["cocotext"] == [None, "the"]  # in the order of imgToAnns
    assert texts["textocr"] == ["Performance", None]
    assert texts["mmocr"] == [None, "HarbourFront"]
    assert texts["davar"] == ["AID", None, "6"]
    assert texts["labelme"] == ["OPEN", "ACME", None]
    assert texts["ppocrlabel"] == ["Caf\u00e9", None]


def _texts(name: str, folder: Path) -> list[str | None]:
    dataset = formats.read(put_golden(name, folder / name))
    return [None if word.ignore else word.text for image in dataset.images for word in image.words]


def test_provenance_of_every_word(tmp_path: Path) -> None:
    places = {}
    for name in GOLDEN:
        image = formats.read(put_golden(name, tmp_path / name)).images[0]
        assert image.source is not None
        assert image.source.is_file()
        places[name] = image.words[1].where
    assert places["icdar"] == places["icdar13"] == places["totaltext"] == "line 2"
    assert places["cocotext"] == "/anns/45346"
    assert places["mmocr"] == "/data_list/0/instances/1"
    assert places["davar"] == "/Images~1train~1img1102.jpg/content_ann/bboxes/1"
    assert places["doctr"] == "/sample_img_01.png/polygons/1"
    assert places["labelme"] == "/shapes/1"
    assert places["ppocrlabel"] == "line 1, /1"


def test_unknown_names_and_paths_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownPartError, match="Did you mean 'cocotext'"):
        formats.get_format("cocotex")
    with pytest.raises(DataError, match="nothing at"):
        formats.read(tmp_path / "absent")
    with pytest.raises(DataError, match="Cannot tell the format"):
        formats.sniff(tmp_path)
    assert formats.get_format("IC15").name == "icdar"


def test_read_without_a_list_raises_with_the_first_places(tmp_path: Path) -> None:
    (tmp_path / "gt_1.txt").write_text("1,2,3,4,5,6,7,8,ok\n" + "1,2,3,x\n" * 7)
    with pytest.raises(DataError, match=r"7 malformed place(?s:.*)gt_1.txt: line 2(?s:.*)and 2 more"):
        formats.read(tmp_path, "icdar")
