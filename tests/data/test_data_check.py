"""`check` finds every kind of problem, all in one run, each with its file, line and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from formats_common import GOLDEN, put, put_golden, put_image, put_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dld_core.data.formats.checks import CheckReport, check
from dld_core.data.formats.convert import ConvertOptions, convert
from dld_core.data.formats.files import MAX_TEXT_BYTES
from dld_core.errors import DataError

LINES = [  # each line with the problems it must have, and no others
    ("10,10,60,10,60,30,10,30,fine", []),
    ("10,10,60,10,60,30,oops", ["wrong-count"]),
    ("10,10,60,ten,60,30,10,30,oops", ["non-numeric"]),
    ("10,10,60,10,60,30,10,3O,oops", ["non-numeric"]),
    ("10,10,60,10,60,30,10,oops, again", ["wrong-count"]),
    ("10,10,nan,10,60,30,10,30,oops", ["non-finite"]),
    ("10,10,60,inf,60,30,10,30,oops", ["non-finite"]),
    ("10,1e300,60,10,60,30,10,30,oops", ["non-finite"]),
    ("100,10,160,10,160,30,-5,30,oops", ["point-outside"]),
    ("900,10,960,10,960,30,900,30,oops", ["outside-image"]),
    ("10,40,60,40,90,40,10,40,oops", ["zero-area"]),
    ("10,50,60,70,60,50,10,70,oops", ["self-crossing"]),
    ("10,80,10,99,60,99,60,80,oops", ["anticlockwise"]),
    ("10,110,60,110,60,130,10,130,", ["empty-text"]),
    ("10,110,60,110,60,131,10,130,  ", ["empty-text"]),
    ("10,140,60,140,60,160,10,160,a\x07b", ["control-character"]),
    ("10,170,60,170,60,190,10,190,a\u200bb", ["invisible-character"]),
    ("10,200,60,200,60,220,10,220,Caf\ufffd", ["replacement-character"]),
    ("10,230,60,230,60,250,10,250,Caf\u00e9", ["non-ascii"]),
    ("10,10,60,10,60,30,10,30,fine", ["duplicate-word"]),
    ("10,10,60,10,60,30,10,30,other", ["duplicate-region"]),
    ("hello", ["wrong-count"]),
    ("10,260,60,260,60,280,10,280,###", []),
]


def _codes(report: CheckReport, file: str = "") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for problem in report.problems:
        assert problem.fix
        assert problem.message
        if file in problem.file:
            found.setdefault(problem.where, []).append(problem.code)
    return found


def test_every_problem_of_a_file_in_one_run(tmp_path: Path) -> None:
    put(tmp_path / "gt_img_1.txt", "\n".join(line for line, _ in LINES))
    put_image(tmp_path / "img_1.jpg")
    found = _codes(check(tmp_path, "icdar"))
    expected = {f"line {number}": codes for number, (_, codes) in enumerate(LINES, start=1) if codes}
    assert {where: codes for where, codes in found.items() if where} == expected


def test_every_problem_between_files_in_one_run(tmp_path: Path) -> None:
    for number in range(1, 9):
        put(tmp_path / "gt" / f"gt_img_{number}.txt", "10,10,60,10,60,30,10,30,fine\n")
    put_image(tmp_path / "images" / "img_1.jpg")
    put_image(tmp_path / "images" / "img_2.jpg", exif=6)
    put(tmp_path / "images" / "img_3.jpg", (tmp_path / "images" / "img_1.jpg").read_bytes()[:600])
    put(tmp_path / "images" / "img_4.jpg", b"")
    put(tmp_path / "images" / "img_5.jpg", b"<html>no image</html>")
    put_image(tmp_path / "images" / "img_6.png")
    put_image(tmp_path / "images" / "extra.png")
    put(tmp_path / "gt" / "gt_img_6.txt", b"\x00\x01\x02\xff")
    put(tmp_path / "gt" / "gt_img_1.txt", "10,10,60,10,60,30,10,30,Caf\u00e9\n".encode("latin-1"))
    put(tmp_path / "gt" / "gt_img_2.txt", "10,10,60,10,60,30,10,30,a\n".encode("utf-16"))
    report = check(tmp_path)
    found = {(Path(p.file).name, p.where, p.code) for p in report.problems}
    assert found == {
        ("gt_img_1.txt", "line 1", "encoding"),
        ("gt_img_1.txt", "line 1", "non-ascii"),
        (tmp_path.name, "", "letters"),
        ("gt_img_2.txt", "", "encoding"),
        ("img_2.jpg", "", "exif-orientation"),
        ("img_3.jpg", "", "unreadable-image"),
        ("img_4.jpg", "", "unreadable-image"),
        ("img_5.jpg", "", "unreadable-image"),
        ("gt_img_6.txt", "line 1", "binary-file"),
        ("gt_img_7.txt", "", "missing-image"),
        ("gt_img_8.txt", "", "missing-image"),
        ("extra.png", "", "image-without-gt"),
    }
    encoding = next(p for p in report.problems if p.code == "encoding")
    assert "iconv -f LATIN1" in encoding.fix


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        ("labels.txt", "1,2,3,4,5,6,7,text\n", "wrong-count"),
        ("gt_img_1.txt", "nothing that fits\n", "wrong-count"),
        ("img_1.txt", b"\x00\x01", "binary-file"),
    ],
)
def test_files_with_nothing_right_are_still_checked_line_by_line(
    file: str, content: str | bytes, code: str, tmp_path: Path
) -> None:
    put(tmp_path / file, content)
    put_image(tmp_path / "img_1.png")
    report = check(tmp_path)
    assert report.dataset is not None
    assert (code, "line 1") in {(p.code, p.where) for p in report.problems.of("error")}


def test_empty_files_mean_images_without_words(tmp_path: Path) -> None:
    put(tmp_path / "img_1.txt", "")
    put_image(tmp_path / "img_1.png")
    report = check(tmp_path)
    assert not report.problems
    assert report.dataset is not None
    assert len(report.dataset) == 1


def test_headers_alone_find_no_truncation(tmp_path: Path) -> None:
    put(tmp_path / "gt_img_1.txt", "")
    put_image(tmp_path / "img_1.jpg")
    put(tmp_path / "img_1.jpg", (tmp_path / "img_1.jpg").read_bytes()[:650])
    assert [p.code for p in check(tmp_path, "icdar").problems] == ["unreadable-image"]
    assert not check(tmp_path, "icdar", decode_images=False).problems


def test_labels_without_any_image_give_one_warning(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path / f"gt_img_{number}.txt", "10,10,60,10,60,30,10,30,fine\n")
    assert [(p.severity, p.code) for p in check(tmp_path).problems] == [("warning", "no-images")]


def test_huge_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gt_1.txt"
    with file.open("wb") as stream:  # sparse: takes no room
        stream.truncate(MAX_TEXT_BYTES + 1)
    assert [p.code for p in check(tmp_path, "icdar").problems] == ["huge-file", "no-images"]


def _broken(name: str, edit: Any, folder: Path) -> dict[str, list[str]]:
    """What is found in a golden JSON file after an edit."""
    (file, content), *_ = GOLDEN[name].items()
    document = json.loads(content)
    edit(document)
    put_json(folder / file, document)
    return {k: v for k, v in _codes(check(folder, name), file).items() if k}


def test_cocotext_problems_have_pointers(tmp_path: Path) -> None:
    def edit(document: Any) -> None:
        annotations = document["anns"]
        annotations["1"] = {"image_id": 522579, "mask": [1, 2, 3], "utf8_string": "a"}
        annotations["2"] = {"image_id": 7, "mask": [1, 2, 30, 2, 30, 9], "utf8_string": "a"}
        annotations["3"] = {"image_id": 522579, "mask": [1, 2, 30, "x", 30, 9], "utf8_string": "a"}
        annotations["4"] = {"image_id": 522579, "utf8_string": "a"}
        annotations["5"] = []
        annotations["6"] = {"image_id": 522579, "mask": [1, 2, 30, 2, 30, 9], "utf8_string": 5}
        document["imgToAnns"]["522579"] += [1, 2, 3, 4, 6, 99]
        document["imgs"]["522579"]["height"] = -3

    assert _broken("cocotext", edit, tmp_path) == {
        "/anns/45346": ["anticlockwise"],  # as COCO-Text has them: down the left side first
        "/anns/5": ["wrong-type"],
        "/anns/1/mask": ["wrong-count"],
        "/anns/2/image_id": ["unknown-image"],
        "/anns/3/mask": ["non-numeric"],
        "/anns/4": ["missing-key"],
        "/anns/6/utf8_string": ["wrong-type"],
        "/anns/6": ["empty-text"],
        "/imgToAnns/522579/7": ["unknown-annotation"],
        "/imgs/522579/height": ["bad-size"],
    }


def test_mmocr_problems_have_pointers(tmp_path: Path) -> None:
    def edit(document: Any) -> None:
        entry = document["data_list"][0]
        entry["instances"] += [{"ignore": False}, {"polygon": [[1, 2], [3]], "text": "a"}, 5]
        entry["instances"][0]["ignore"] = "yes"
        document["data_list"].append({"instances": [], "height": 1, "width": 1})
        document["data_list"].append(dict(entry, instances=[]))

    assert _broken("mmocr", edit, tmp_path) == {
        "/data_list/0/instances/2": ["missing-key"],
        "/data_list/0/instances/3/polygon/1": ["wrong-count"],
        "/data_list/0/instances/4": ["wrong-type"],
        "/data_list/0/instances/0/ignore": ["wrong-type"],
        "/data_list/1": ["missing-name"],
        "/data_list/2": ["duplicate-image"],
    }


def test_davar_problems_have_pointers(tmp_path: Path) -> None:
    def edit(document: Any) -> None:
        content = document["Images/train/img1102.jpg"]["content_ann"]
        content["texts"] = ["AID"]
        content["bboxes"][0] = [1, 2, 3, 4, 5]
        content["cares"][1] = "no"
        document["b.jpg"] = {"content_ann": 3}

    where = "/Images~1train~1img1102.jpg/content_ann"
    assert _broken("davar", edit, tmp_path) == {
        f"{where}/texts": ["wrong-count"],
        f"{where}/bboxes/0": ["wrong-count"],
        f"{where}/cares/1": ["wrong-type"],
        "/b.jpg/content_ann": ["wrong-type"],
    }


def test_labelme_problems_have_pointers(tmp_path: Path) -> None:
    def edit(document: Any) -> None:
        document["shapes"] += [
            {"label": "a", "points": [[1, 2]], "shape_type": "rectangle"},
            {"label": "a", "points": [[1, 2], [3, 4]], "shape_type": "line"},
            {"points": [[1, 2], [3, 4], [5, 1e400]]},
        ]
        document["imageWidth"] = "wide"

    assert _broken("labelme", edit, tmp_path) == {
        "/shapes/3/points": ["wrong-count"],
        "/shapes/4": ["shape-type"],
        "/shapes/5/points": ["non-finite"],
        "/imageWidth": ["bad-size"],
    }


def test_ppocrlabel_problems_have_lines_and_pointers(tmp_path: Path) -> None:
    put(
        tmp_path / "Label.txt",
        'a.jpg\t[{"transcription": "x", "points": [[1, 2], [9, 2]]}, {"transcription": "y"}]\n'
        "no tab here\n"
        'b.jpg\t[{"transcription": "x", "poi\n'
        'c.jpg\t[{"transcription": "\\ud800", "points": [[1, 2], [9, 2], [9, 8, 7]]}]\n'
        'd.jpg\t[{"transcription": "x", "transcription": "z", "points": [[1, 2], [9, 2], [9, 8], [1, 8]]}]\n'
        'e.jpg\t{"transcription": [1]}\n',
    )
    found = {k: v for k, v in _codes(check(tmp_path)).items() if k}
    assert found == {
        "line 1, /0": ["zero-area"],  # two points on one line are a rectangle without height
        "line 1, /1": ["missing-key"],
        "line 2": ["bad-record"],
        "line 3": ["truncated-json"],
        "line 4, /0/points/2": ["wrong-count"],
        "line 5": ["duplicate-key"],
        "line 6, /transcription": ["wrong-type"],
    }


def test_half_surrogates_are_told_and_made_harmless(tmp_path: Path) -> None:
    put(
        tmp_path / "Label.txt", 'a.jpg\t[{"transcription": "\\ud800", "points": [[1,2],[9,2],[9,8],[1,8]]}]\n'
    )
    report = check(tmp_path)
    assert "broken-text" in {p.code for p in report.problems.of("error")}
    assert report.dataset is not None
    assert report.dataset.images[0].words[0].text == "?"


@pytest.mark.parametrize("name", ["cocotext", "textocr", "mmocr", "davar", "doctr", "labelme"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_json_is_told_with_its_position(name: str, share: float, tmp_path: Path) -> None:
    (file, content), *_ = GOLDEN[name].items()
    put(tmp_path / file, content[: int(len(content) * share)])
    problems = [p for p in check(tmp_path).problems if p.code == "truncated-json"]
    assert len(problems) == 1
    assert problems[0].where.startswith("line 1, column ")
    assert problems[0].to_dict()["line"] == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "empty-file"),
        ("null", "wrong-type"),
        ('{"data_list": [,]}', "bad-json"),
        ('{"data_list": [' + "9" * 5000 + "]}", "bad-json"),
        ('{"data_list": ' + "[" * 100_000, "bad-json"),
        ("[1, 2]", "wrong-type"),
    ],
)
def test_unusable_json_is_told(content: str, code: str, tmp_path: Path) -> None:
    put(tmp_path / "set.json", content)
    assert code in {p.code for p in check(tmp_path / "set.json", "mmocr").problems.of("error")}


def test_sizes_that_differ_and_images_turned_by_a_viewer(tmp_path: Path) -> None:
    put_golden("labelme", tmp_path)
    put_image(tmp_path / "photo_7.jpg", 480, 640, exif=8)
    found = {p.code for p in check(tmp_path).problems}
    assert found == {"size-mismatch", "exif-orientation"}


def test_nothing_there_is_the_only_thing_that_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing at"):
        check(tmp_path / "absent")
    report = check(tmp_path)
    assert report.dataset is None
    assert [p.code for p in report.problems] == ["unknown-format"]


def test_the_golden_sets_have_no_errors(tmp_path: Path) -> None:
    for name in GOLDEN:
        report = check(put_golden(name, tmp_path / name))
        assert not report.problems.of("error"), (name, report.problems)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in _places(inner, (*path, key)))]


@pytest.mark.parametrize("name", ["cocotext", "textocr", "mmocr", "davar", "doctr", "labelme"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_a_json_file_is_survived(name: str, data: st.DataObject, tmp_path: Path) -> None:
    (file, content), *_ = GOLDEN[name].items()
    document = json.loads(content)
    place = data.draw(st.sampled_from(_places(document)[1:]))
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = data.draw(json_values)
    put_json(tmp_path / file, document)
    check(tmp_path / file, name)
    options = ConvertOptions(skip_malformed=True, overwrite=True)
    for target in ("icdar", name):
        convert(tmp_path / file, tmp_path / "out", target, name, options)


@pytest.mark.parametrize("name", ["icdar", "icdar13", "icdar-mlt", "totaltext", "ppocrlabel"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_in_a_text_file_are_survived(name: str, data: st.DataObject, tmp_path: Path) -> None:
    (file, content), *_ = GOLDEN[name].items()
    clean = content.encode()
    cut = data.draw(st.integers(0, len(clean)))
    check(put(tmp_path / file, clean[:cut] + data.draw(st.binary(max_size=30)) + clean[cut:]), name)
