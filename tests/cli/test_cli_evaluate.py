"""`dld evaluate --predictions`: what it prints and how it fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_runner import Run, runner

from dld_core.evaluation import EvaluationResult
from dld_core.types import Word

GT = (
    "10,20,110,20,110,50,10,50,Hello\n200,20,300,20,300,50,200,50,###\n10,80,110,80,110,99,10,99,two, words\n"
)
FOUND = (
    "10,20,110,20,110,50,10,50,hello\n210,20,290,20,290,50,210,50,junk\n10,80,110,80,110,99,10,99,two words\n"
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    call = runner(capsys)
    return lambda *arguments: call("evaluate", *arguments)


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "gt_img_1.txt").write_text(GT)
    return tmp_path / "gt"


@pytest.fixture
def found(tmp_path: Path) -> Path:
    path = tmp_path / "found.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("res_img_1.txt", FOUND)
    return path


def test_json_has_the_documented_fields(run: Run, gt: Path, found: Path) -> None:
    code, out, err = run("--gt", gt, "--predictions", found, "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert result["detection"] == {"precision": 1, "recall": 1, "hmean": 1}
    assert result["e2e"] == {"precision": 0.5, "recall": 0.5, "hmean": 0.5}
    assert result["word_spotting"] == {"precision": 1, "recall": 1, "hmean": 1}
    assert (result["images"], result["words"], result["detections"], result["matched"]) == (1, 2, 2, 2)
    assert result["recognition_accuracy"] == 0.5
    assert result["recognition_accuracy_exact"] == 0


def test_the_table_prints_scores_and_every_rule(run: Run, gt: Path, found: Path) -> None:
    code, out, _ = run("--gt", gt, "--predictions", found, "--iou", 0.3)
    assert code == 0
    for part in (
        "detection",
        "end-to-end",
        "word spotting",
        "1.0000",
        "0.5000",
        "IoU above 0.3",
        "over 0.3 of",
    ):
        assert part in out


def test_word_spotting_chooses_the_words_that_count(run: Run, gt: Path, found: Path) -> None:
    _, out, _ = run("--gt", gt, "--predictions", found, "--json", "--word-spotting")
    assert json.loads(out)["words"] == 1


def test_a_lexicon_is_used_and_recorded(run: Run, gt: Path, found: Path, tmp_path: Path) -> None:
    lexicon = tmp_path / "weak.txt"
    lexicon.write_text("two, words\nhello\n")
    _, out, _ = run("--gt", gt, "--predictions", found, "--json", "--lexicon", lexicon)
    result = json.loads(out)
    assert result["e2e"]["hmean"] == 1
    assert result["lexicon"]["words"] == 2
    _, out, _ = run("--gt", gt, "--predictions", found, "--lexicon", lexicon, "--lexicon-distance", 2)
    assert "edit distance 2" in out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "--predictions"),
        (["--predictions", "{found}", "--backend", "maskrcnn"], 2, "either"),
        (["--backend", "maskrcnn"], 2, "--images"),
        (["--predictions", "{found}", "--iou", "2"], 2, "iou"),
        (["--predictions", "{found}", "--lexicon-far", "away"], 2, "far"),
        (["--predictions", "{found}", "--lexicon", "absent.txt"], 3, "does not exist"),
        (["--predictions", "absent"], 3, "does not exist"),
        (["--predictions", "{found}", "--score-column"], 3, "a score"),
        (["--backend", "maskrcnn", "--images", "{gt}"], 3, "holds no images"),
    ],
)
def test_mistakes_end_in_a_sentence(
    run: Run, gt: Path, found: Path, options: list[str], code: int, message: str
) -> None:
    given = [option.format(found=found, gt=gt) for option in options]
    status, out, err = run("--gt", gt, *given)
    assert (status, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_scoring_files_needs_no_torch(gt: Path, found: Path) -> None:
    code = (
        "import sys; from dld_core.cli import main\n"
        f"main(['evaluate', '--gt', {str(gt)!r}, '--predictions', {str(found)!r}, '--json'])\n"
        "assert not {'torch', 'cv2', 'timm', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_documentation_names_every_field_and_option(run: Run, gt: Path, found: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    _, out, _ = run("--gt", gt, "--predictions", found, "--json")
    fields = set(json.loads(out)) - {"protocol", "notes"}
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []
    _, shown, _ = run("--help")
    documented = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text))
    other = {"--repeats", "--threads", "--warmup", "--relative-to"}  # of dld bench
    other |= {"--script", "--python"}  # of benchmarks/evaluation_speed.py
    assert [option for option in sorted(documented - other) if option not in shown] == []


def test_the_documented_python_works() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    block = text.split("## From Python\n\n", 1)[1].split("\n\n`evaluate`", 1)[0]
    page = SimpleNamespace(words=[Word("Word", 0.9, ((0, 0), (9, 0), (9, 9), (0, 9)))])
    names: dict[str, object] = {"page": page}
    exec(textwrap.dedent(block), names)
    result = names["result"]
    assert isinstance(result, EvaluationResult)
    assert result.e2e.hmean == 1
