"""Words and fonts of the renderer."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dld_core.data.synth import faces, fonts
from dld_core.data.synth.faces import bundled_folder, font_files, glyphs
from dld_core.data.synth.fonts import FontBook, scan
from dld_core.data.synth.glyphs import Line, ink_line, stack
from dld_core.data.synth.text import PRINTABLE, TextSource, lexicon
from dld_core.errors import DataError


def draw(source: TextSource, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [source.word(rng, source.case(rng)) for _ in range(count)]


def test_every_printable_character_turns_up() -> None:
    seen = Counter("".join(draw(TextSource(), 30_000)))
    assert set(seen) == set(PRINTABLE)
    assert min(seen.values()) > 25


def test_words_are_short_and_cases_have_their_shares() -> None:
    words = draw(TextSource(), 6000)
    assert all(1 <= len(w) <= 24 for w in words)
    assert not any(set(w) - set(PRINTABLE) for w in words)
    letters = [w for w in words if any(c.isalpha() for c in w) and not any(c.isdigit() for c in w)]
    found = {
        "upper": sum(w.upper() == w for w in letters),
        "lower": sum(w.lower() == w for w in letters),
        "title": sum(len(w) > 1 and w[0].isupper() and w[1:].lower() == w[1:] for w in letters),
        "digits": sum(any(c.isdigit() for c in w) for w in words),
    }
    for kind, (low, high) in {
        "upper": (0.4, 0.58),
        "lower": (0.14, 0.3),
        "title": (0.14, 0.3),
        "digits": (0.06, 0.18),
    }.items():
        assert low < found[kind] / len(words) < high, kind


def test_own_vocabulary_joins_in(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("Zauberwort naïve")
    words = draw(TextSource(file), 400)
    assert words.count("Zauberwort") > 20
    assert "nave" in words  # characters outside the charset are dropped
    file.write_text("  \n")
    with pytest.raises(DataError, match="holds no word"):
        TextSource(file)
    with pytest.raises(DataError, match="cannot read the vocabulary"):
        TextSource(tmp_path / "absent.txt")


def test_lexicons_are_printable_and_licensed() -> None:
    for name in ("common", "more", "names", "abbreviations", "signs"):
        words = lexicon(name)
        assert len(words) > 250
        assert not set("".join(words)) - set(PRINTABLE)
    folder = Path(str(faces.__file__)).parent / "lexicon"
    assert "Kevin Atkinson" in (folder / "LICENSE.txt").read_text(encoding="utf-8")


def test_bundled_fonts_are_all_usable_and_licensed() -> None:
    files = font_files([bundled_folder()])
    assert len(scan([bundled_folder()])) == len(files) >= 8
    assert sum(p.stat().st_size for p in files) < 1_500_000
    for path in files:
        text = (path.parent / "LICENSE.txt").read_text(encoding="utf-8")
        assert "Open Font License" in text or "OPEN FONT LICENSE" in text or "Apache License" in text


def test_families_weigh_the_same_however_many_files(tmp_path: Path) -> None:
    serif = next(bundled_folder().glob("caladea/*.ttf"))
    for number in range(12):
        shutil.copy(serif, tmp_path / f"serif{number}.ttf")
    shutil.copy(next(bundled_folder().glob("lobster/*.otf")), tmp_path)
    book, rng = FontBook(tmp_path), np.random.default_rng(1)
    script = sum("lobster" in book.sample(rng).path for _ in range(400)) / 400
    assert 0.4 < script < 0.6


def test_fonts_that_draw_no_latin_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "damaged.ttf").write_bytes(b"\0" * 400)
    shutil.copy(next(bundled_folder().glob("cabin/*.otf")), tmp_path / "IconSymbols.otf")
    with pytest.raises(DataError, match="no font with Latin letters"):
        FontBook(tmp_path)


def test_letters_in_the_wrong_places_are_told_from_latin() -> None:
    """A font whose codes hold other letters (as Greek fonts on ASCII codes do) is not like Latin."""
    bitmaps = glyphs(next(bundled_folder().glob("karla/*.otf")), PRINTABLE)
    assert faces._latin_likeness(bitmaps) > 0.8
    moved = {c: bitmaps[chr((ord(c) * 7) % 26 + 65)] for c in bitmaps}
    assert faces._latin_likeness(moved) < 0.6


def test_scans_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLD_HOME", str(tmp_path / "home"))
    source = next(bundled_folder().glob("cabin/*.otf"))
    folder = tmp_path / "fonts"
    folder.mkdir()
    for number in range(25):
        shutil.copy(source, folder / f"{number:02d}.otf")
    found = scan([folder])
    assert len(found) == 25
    with monkeypatch.context() as patch:
        patch.setattr(fonts, "inspect", lambda path: pytest.fail(f"{path} was inspected again"))
        assert scan([folder]) == found
    (tmp_path / "home" / "fonts-1.json").write_text("[1, 2")  # damaged
    assert scan([folder]) == found


def test_boxes_hold_the_ink_of_their_word() -> None:
    face = scan([bundled_folder() / "open-sans"])[0]
    line = ink_line(Line(["Agpq", "x", "("], face, 40.0, spacing=1.0))
    assert line.texts == ["Agpq", "x", "("]
    for left, top, right, bottom in (tuple(map(int, box)) for box in line.boxes):
        part = line.mask[top:bottom, left:right]
        assert part[0].any()
        assert part[-1].any()
        assert part[:, 0].any()
        assert part[:, -1].any()
    covered = line.mask.copy()
    for left, top, right, bottom in (tuple(map(int, box)) for box in line.boxes):
        covered[top - 1 : bottom + 1, left - 1 : right + 1] = 0
    assert covered.max() < 128


def test_capitals_have_the_height_asked_for() -> None:
    for face in scan([bundled_folder()]):
        _, top, _, bottom = ink_line(Line(["H"], face, 50.0)).boxes[0]
        assert abs((bottom - top) - 50.0) <= 4


def test_lines_are_stacked_without_touching() -> None:
    face = scan([bundled_folder() / "open-sans"])[0]
    lines = [ink_line(Line([word], face, 20.0)) for word in ("gyp", "HAT", "one")]
    block = stack(lines, leading=6.0, align=0.5, pad=5)
    bottoms, tops = [b[3] for b in block.boxes], [b[1] for b in block.boxes]
    assert all(np.diff(tops) > 0)
    assert all(top - bottom == 6 for top, bottom in zip(tops[1:], bottoms, strict=False))
    assert stack([], 6.0, 0.0, 5).texts == []
