"""Tesseract as a spotter: on a fake program always, on the real one where it is installed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from fake_engines import FakeTesseract, install_tesseract, line_of

from dld_core import ConfigError, DLDError, DLDWrapper, MissingExtraError, WeightsError
from dld_core.testing import SpotterContract, run_contracts, samples
from dld_plugins.engines import tessdata
from dld_plugins.tesseract import TesseractSpotter, words_of

REAL = shutil.which("tesseract")
real = pytest.mark.skipif(REAL is None, reason="the program is absent: apt-get install tesseract-ocr")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeTesseract:
    return install_tesseract(monkeypatch)


@pytest.mark.usefixtures("program")
class TestTesseractOnAFake(SpotterContract):
    def make(self) -> TesseractSpotter:
        return TesseractSpotter.create(weights=None)


@real
def test_the_real_program_keeps_the_contracts_of_its_words() -> None:
    class Case(SpotterContract):
        def make(self) -> TesseractSpotter:
            return TesseractSpotter.create()

    Case.images = lambda self: samples.pages()[:1]  # type: ignore[method-assign]
    outcomes = list(run_contracts(Case, {"S5", "S6", "S9"}))
    assert [(o.contract.number, o.state, o.message) for o in outcomes if o.state != "passed"] == []


@real
def test_the_real_program_reads() -> None:
    words = TesseractSpotter.create().predict([samples.page(160, 240)])[0]
    assert [word.text for word in words] == list(samples.WORDS)


@real
def test_the_real_program_ends_with_its_time() -> None:
    spotter = TesseractSpotter.create(timeout=0.001)
    with pytest.raises(DLDError, match=r"longer than 0.001 s"):
        spotter.predict([samples.page(160, 240)])


@pytest.mark.usefixtures("program")
def test_its_selector_chooses_wherever_its_data_lie(tmp_path: Path) -> None:
    for weights in ("bundled", tmp_path):
        page = DLDWrapper("tesseract", weights=weights).spot(samples.page(300, 400))
        assert page.scale in (0.3, 0.4, 0.6, 0.8, 1.0)
    for other in ({"page_mode": 3}, {"language": "eng+osd"}, {"reference_short_side": 900}):
        assert DLDWrapper("tesseract", **other).selector is None


def test_the_command_says_all_that_was_chosen(program: FakeTesseract, tmp_path: Path) -> None:
    spotter = TesseractSpotter.create(weights=tmp_path, language="eng+osd", page_mode=3, dpi=300)
    spotter.predict([samples.page(40, 60)])
    told = " ".join(program.commands[-1])
    assert told == (
        f"/usr/bin/tesseract stdin stdout --tessdata-dir {tmp_path} -l eng+osd "
        "--psm 3 --oem 1 --dpi 300 -c tessedit_create_tsv=1"
    )


def test_a_language_without_data_is_told_with_the_fix(program: FakeTesseract) -> None:
    with pytest.raises(WeightsError, match=r"no data for deu, chi_sim \(installed: eng, osd\).*ocr-chi-sim"):
        TesseractSpotter.create(language="eng+deu+chi_sim")
    with pytest.raises(ConfigError, match="language"):
        TesseractSpotter.create(language="eng; rm -r")


@pytest.mark.parametrize(
    ("platform", "line"), [("linux", "apt-get"), ("darwin", "brew"), ("win32", "winget")]
)
def test_absence_is_told_for_the_platform(platform: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingExtraError, match=line):
        TesseractSpotter.create()


def test_a_program_that_fails_or_vanishes_is_told(
    program: FakeTesseract, monkeypatch: pytest.MonkeyPatch
) -> None:
    spotter = TesseractSpotter.create()
    program.status = 1
    with pytest.raises(DLDError, match="told on stderr"):
        spotter.predict([samples.page(40, 60)])

    def vanished(*arguments: object, **options: object) -> None:
        raise FileNotFoundError("gone")

    monkeypatch.setattr("subprocess.run", vanished)
    with pytest.raises(DLDError, match="cannot be started: gone"):
        spotter.predict([samples.page(40, 60)])
    with pytest.raises(WeightsError, match="does not run: gone"):
        TesseractSpotter.create()


def test_a_program_that_lists_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name)
    failed = subprocess.CompletedProcess([], 1, b"", b"no tessdata")
    monkeypatch.setattr("subprocess.run", lambda *a, **k: failed)
    with pytest.raises(WeightsError, match="no language data: no tessdata"):
        TesseractSpotter.create()


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "level\tpage_num\n",
        "5\t1\t1\n",
        line_of((1, 1, 9, 9), "", 90),
        line_of((1, 1, 9, 9), "   ", 90),
        line_of((1, 1, 9, 9), "ab", "nan"),
        line_of((1, 1, 9, 9), "ab", "much"),
        line_of((1, 1, 9, 9), "ab", 20),
        line_of((5, 5, 5, 5), "ab", 90),
        line_of((200, 1, 240, 9), "ab", 90),
        "\x00\ufffd\t" * 12,
    ],
)
def test_broken_and_doubtful_lines_give_no_words(lines: str) -> None:
    assert list(words_of(lines, 100, 50, "ab", min_score=0.5)) == []


def test_text_may_hold_anything_but_the_end_of_the_line() -> None:
    (word,) = words_of(line_of((1, 2, 9, 8), 'a"\té'), 100, 50, 'aé"')
    assert word.text == 'a"é'
    assert word.polygon == ((1, 2), (9, 2), (9, 8), (1, 8))
    assert word.score == pytest.approx(0.965)


def traineddata(path: Path, units: list[str]) -> None:
    """A language file whose only parts are some network and its characters."""
    text = f"{len(units)}\n" + "".join(f"{unit} 3 0,255,0,255 Latin 1\n" for unit in units)
    offsets = [-1] * 24
    offsets[17], offsets[21] = 4 + 24 * 8, 4 + 24 * 8 + 5
    path.write_bytes(struct.pack("<i24q", 24, *offsets) + b"model" + text.encode())


def test_the_charset_is_read_from_the_language_data(tmp_path: Path) -> None:
    traineddata(tmp_path / "eng.traineddata", ["NULL", "Joined", "|Broken|0|1", "a", "é", "fi"])
    traineddata(tmp_path / "osd.traineddata", ["a", "中"])
    assert tessdata.characters(tmp_path, "eng+osd") == "aéfi中"


@pytest.mark.parametrize("content", [b"", b"\x01", struct.pack("<i", 99), struct.pack("<i2q", 2, 0, 0)])
def test_damaged_language_data_leave_the_charset_to_latin(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "eng.traineddata").write_bytes(content)
    assert tessdata.characters(tmp_path, "eng") == ""
    assert tessdata.characters(None, "eng") == ""


@pytest.mark.usefixtures("program")
def test_the_fallback_charset_is_latin_without_blanks() -> None:
    charset = TesseractSpotter.create().charset
    assert set("aZ9é€—") <= set(charset)
    assert not any(c.isspace() for c in charset)
    assert len(set(charset)) == len(charset)


@pytest.mark.usefixtures("program")
def test_the_threads_of_the_program_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    spotter = TesseractSpotter.create(threads=2)

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.append(dict(options["env"])["OMP_THREAD_LIMIT"])  # type: ignore[call-overload]
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr("subprocess.run", run)
    spotter.predict([samples.page(40, 60)])
    assert seen == ["2"]
    assert os.environ.get("OMP_THREAD_LIMIT") != "2"
