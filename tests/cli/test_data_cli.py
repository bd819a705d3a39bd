"""`dld data check` and `dld data convert` as scripts use them: streams, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from formats_common import put, put_golden, put_image

from dld_core.cli import main

Capture = pytest.CaptureFixture[str]
LINE = "10,10,60,10,60,30,10,30"


def _dld(capfd: Capture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as ending:
        main([str(argument) for argument in arguments])
    captured = capfd.readouterr()
    return int(ending.value.code or 0), captured.out, captured.err


def test_check_ends_with_3_for_errors_and_names_places(tmp_path: Path, capfd: Capture) -> None:
    file = put(tmp_path / "gt_img_1.txt", f"{LINE},ok\n1,2,oops\n{LINE},Caf\u00e9\n{LINE},\n")
    put_image(tmp_path / "img_1.png")
    code, out, err = _dld(capfd, "data", "check", tmp_path)
    assert code == 3
    assert f"{file}: line 2: error [wrong-count]" in out
    assert f"{file}: line 4: warning [empty-text]" in out
    assert "non-ascii" not in out
    assert "1 of 3 words hold letters outside printable ASCII" in out
    assert "1 images, 3 words (0 don't-care); 1 errors, 4 warnings, 1 infos (--all lists the infos)" in err
    assert "non-ascii" in _dld(capfd, "data", "check", tmp_path, "--all")[1]


def test_check_ends_with_0_for_warnings(tmp_path: Path, capfd: Capture) -> None:
    put(tmp_path / "gt_img_1.txt", f"{LINE},\n")
    put_image(tmp_path / "img_1.png")
    code, out, _ = _dld(capfd, "data", "check", tmp_path)
    assert code == 0
    assert "warning" in out


def test_check_json(tmp_path: Path, capfd: Capture) -> None:
    put(tmp_path / "gt" / "gt_img_1.txt", f"{LINE},ok\n\n1,2,oops\n")
    put_image(tmp_path / "elsewhere" / "img_1.png")
    arguments = ("data", "check", tmp_path / "gt", "--images", tmp_path / "elsewhere", "--json")
    code, out, _ = _dld(capfd, *arguments)
    report = json.loads(out)
    assert code == 3
    assert report["format"] == "icdar"
    assert report["counts"] == {"error": 1, "warning": 0, "info": 0}
    (problem,) = report["problems"]
    assert (problem["code"], problem["line"], problem["severity"]) == ("wrong-count", 3, "error")
    assert problem["file"].endswith("gt_img_1.txt")
    assert problem["fix"]


def test_check_says_what_it_cannot_do(tmp_path: Path, capfd: Capture) -> None:
    put_golden("mmocr", tmp_path)
    assert _dld(capfd, "data", "check", tmp_path / "absent")[0] == 3
    code, _, err = _dld(capfd, "data", "check", tmp_path, "--format", "mmocrr")
    assert (code, "Did you mean 'mmocr'" in err) == (2, True)
    code, _, err = _dld(capfd, "data", "check", tmp_path, "--encoding", "utf-9")
    assert (code, "no encoding 'utf-9'" in err) == (2, True)


def test_terminal_escapes_in_names_are_shown_harmless(tmp_path: Path, capfd: Capture) -> None:
    put(tmp_path / "gt_\x1b[31mred\n.txt", "1,2,oops\n")
    code, out, _ = _dld(capfd, "data", "check", tmp_path, "--format", "icdar")
    assert code == 3
    assert "\x1b" not in out
    assert "\\x1b[31mred\\n.txt" in out


def test_convert_tells_losses_on_stderr(tmp_path: Path, capfd: Capture) -> None:
    put_golden("mmocr", tmp_path / "in")
    put_image(tmp_path / "in" / "images" / "extra.png")
    target = tmp_path / "out"
    code, out, err = _dld(
        capfd, "data", "convert", tmp_path / "in", target, "--to", "icdar13", "--copy-images"
    )
    assert code == 0
    assert out.strip() == str(target)
    assert "mmocr -> icdar13: 1 images, 2 words (1 don't-care)" in err
    assert "lost: polygons reduced to upright rectangles: 2 (first: " in err
    assert "1 images were not found" in err
    assert "1 images without annotations" in err
    assert json.loads((target / "conversion-report.json").read_text())["lost"][0]["count"] >= 1
    code, _, err = _dld(capfd, "data", "convert", tmp_path / "in", target, "--to", "icdar13")
    assert (code, "--overwrite" in err) == (2, True)


def test_convert_refuses_malformed_data_unless_told(tmp_path: Path, capfd: Capture) -> None:
    put(tmp_path / "in" / "gt_1.txt", f"{LINE},ok\n1,2,oops\n")
    arguments = ("data", "convert", tmp_path / "in", tmp_path / "out", "--from", "icdar", "--to", "davar")
    code, _, err = _dld(capfd, *arguments)
    assert (code, "line 2" in err, "dld data check" in err) == (3, True, True)
    code, _, err = _dld(capfd, *arguments, "--skip-malformed")
    assert (code, "skipped: " in err) == (0, True)


def test_points_and_encoding_reach_the_reader(tmp_path: Path, capfd: Capture) -> None:
    put(tmp_path / "gt_1.txt", f"{LINE},1,2,Caf\u00e9\n".encode("latin-1"))
    code, out, _ = _dld(
        capfd, "data", "check", tmp_path, "--points", 4, "--encoding", "latin-1", "--format", "icdar", "--all"
    )
    assert code == 0
    assert "the text '1,2,Caf\u00e9'" in out
