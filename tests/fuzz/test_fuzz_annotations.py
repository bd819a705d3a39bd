"""Annotation files of every format, ground truth, predictions and archives, broken at random."""

from __future__ import annotations

import json
import random
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from formats_common import GOLDEN, put, put_golden, put_image
from mutate import mutated, mutated_json, survives

from dld_core.data import formats
from dld_core.data.formats.checks import check
from dld_core.data.formats.convert import ConvertOptions, convert
from dld_core.evaluation import align, evaluate, read_ground_truth, read_predictions
from dld_core.evaluation.lexicon import Lexicons

PAGE = "10,20,110,20,110,50,10,50,Hello\n200,20,300,20,300,50,200,50,###\n" * 5
CURVED = "0,0,5,1,9,0,9,9,5,8,0,9,six\n1.5,2,30,2,30,9,1,9,####a,b\n" * 5


def _use(path: Path, name: str, out: Path, rng: random.Random) -> None:
    check(path, name)
    options = ConvertOptions(skip_malformed=True, overwrite=True, copy_images=True, quads=rng.random() < 0.3)
    for target in (name, rng.choice(sorted(formats.FORMATS))):
        convert(path, out, target, name, options)


@pytest.mark.parametrize("name", [name for name in GOLDEN if next(iter(GOLDEN[name])).endswith(".json")])
def test_any_document(name: str, tmp_path: Path, fuzz_rounds: int | None, fuzz_seed: int) -> None:
    (file, content), *_ = GOLDEN[name].items()
    document, rng = json.loads(content), random.Random(f"{name} {fuzz_seed}")
    for _ in range(fuzz_rounds or 12):
        broken = mutated_json(document, rng)
        path = put(tmp_path / file, json.dumps(broken))
        survives(broken, _use, path, name, tmp_path / "out", rng)


@pytest.mark.parametrize("name", GOLDEN)
def test_any_bytes(name: str, tmp_path: Path, fuzz_rounds: int | None, fuzz_seed: int) -> None:
    put_image(tmp_path / "images" / "img_1.jpg", 64, 48)
    (file, content), *_ = GOLDEN[name].items()
    rng = random.Random(f"bytes {name} {fuzz_seed}")
    for _ in range(fuzz_rounds or 12):
        broken = mutated(content.encode(), rng)
        path = put(tmp_path / file, broken)
        survives(broken, _use, path, name, tmp_path / "out", rng)
        survives(broken, formats.read, tmp_path)


def test_any_matlab_file(tmp_path: Path, fuzz_rounds: int | None, fuzz_seed: int) -> None:
    pytest.importorskip("scipy")
    formats.write(formats.read(put_golden("totaltext", tmp_path / "txt")), tmp_path / "mat", "totaltext-mat")
    (file,) = (tmp_path / "mat").glob("*.mat")
    content, rng = file.read_bytes(), random.Random(f"mat {fuzz_seed}")
    for _ in range(fuzz_rounds or 30):
        broken = mutated(content, rng)
        file.write_bytes(broken)
        survives(broken, check, tmp_path / "mat", "totaltext-mat")


def _score(gt: Path, found: Path, **options: Any) -> None:
    truth = read_ground_truth(gt, layout=options.get("layout", "auto"))
    evaluate(truth, align(truth, read_predictions(found, **options)))


def test_any_ground_truth_and_predictions(tmp_path: Path, fuzz_rounds: int | None, fuzz_seed: int) -> None:
    rng, results = random.Random(f"lines {fuzz_seed}"), 0
    rounds = fuzz_rounds or 150
    for _ in range(rounds):
        content = rng.choice((PAGE, CURVED)).encode()
        broken = content, mutated(content, rng) if rng.random() < 0.7 else _numbers(content, rng)
        gt, found = (put(tmp_path / f"{i}" / "img_1.txt", side).parent for i, side in enumerate(broken))
        options = {
            "layout": rng.choice(("auto", "quad", "polygon", "rectangle")),
            "scored": rng.random() < 0.2,
        }
        results += survives((broken[1], options), _score, gt, found, **options)
    assert 0 < results < rounds


def _numbers(content: bytes, rng: random.Random) -> bytes:
    """Lines of other coordinates: outlines that cross, touch, fold and lie far away."""
    lines = []
    for line in content.splitlines():
        count = rng.choice((6, 8, 8, 8, 10, 14, 40, 200))
        values = (rng.choice((rng.randrange(30), rng.randrange(300), 10**6, -5, 0.1)) for _ in range(count))
        lines.append(",".join(map(str, values)).encode() + b"," + line.rpartition(b",")[2])
    return b"\n".join(lines)


def test_any_archive(tmp_path: Path, fuzz_rounds: int | None, fuzz_seed: int) -> None:
    rng, results, rounds = random.Random(f"zip {fuzz_seed}"), 0, fuzz_rounds or 150
    good = put(tmp_path / "gt" / "img_1.txt", PAGE).parent
    for _ in range(rounds):
        memory = BytesIO()
        with zipfile.ZipFile(memory, "w", rng.choice((0, 8, 8, 12, 14))) as archive:
            for number in range(3):
                archive.writestr(f"img_{number}.txt", PAGE * rng.choice((1, 1, 100)))
        broken = mutated(memory.getvalue(), rng)
        source = put(tmp_path / "found.zip", broken)
        results += survives(broken, read_predictions, source)
        survives(broken, Lexicons.read, source)
        survives(broken, _score, good, source)
    assert results < rounds
