"""Pages of TIFFs and frames of animations; files by standard input and by file://; a quiet console."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dld_core.errors import ConfigError, ImageError
from dld_core.images import (
    ImageLimits,
    LoadedImage,
    list_images,
    load_image,
    load_pages,
    open_image,
    parse_pages,
)

SHADES = (10, 60, 110, 160)


def frames(shape: tuple[int, int] = (24, 16)) -> list[Image.Image]:
    return [Image.new("RGB", shape, (shade, shade, 255 - shade)) for shade in SHADES]


def save_frames(path: Path, pictures: list[Image.Image], **options: object) -> Path:
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **options)
    return path


def shades(pages: object) -> list[int]:
    return [int(page.pixels[0, 0, 0]) for page in pages]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("raw.tif", {}),
        ("lzw.tif", {"compression": "tiff_lzw"}),
        ("jpeg.tif", {"compression": "jpeg", "quality": 100}),
        ("a.gif", {}),
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
    ],
)
def test_every_page_comes_once_and_in_order(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    path = save_frames(tmp_path / name, frames(), **options)
    pages = list(load_pages(path))
    np.testing.assert_allclose(shades(pages), SHADES, atol=3)
    assert [page.page for page in pages] == [1, 2, 3, 4]
    assert {page.name for page in pages} == {str(path)}
    assert not any(page.notes for page in pages)
    for source in (path.read_bytes(), io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(shades(load_pages(source, "2,4")), shades(pages[1::2]))
    third = load_image(path, page=3)
    np.testing.assert_array_equal(third.pixels, pages[2].pixels)
    assert (third.page, third.notes) == (3, ())
    assert "only the first" in load_image(path).notes[0]


def test_pages_differ_in_size_kind_and_orientation(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    stored = np.zeros((10, 30, 3), np.uint8)
    stored[:, :15] = 200
    parts = [Image.new("1", (7, 5), 1), Image.fromarray(stored), Image.new("CMYK", (8, 9))]
    parts[1].encoderinfo = {"exif": turned}
    save_frames(tmp_path / "a.tif", parts)
    pages = list(load_pages(tmp_path / "a.tif"))
    assert [page.pixels.shape[:2] for page in pages] == [(5, 7), (30, 10), (9, 8)]
    assert [(page.height, page.width) for page in pages] == [(5, 7), (30, 10), (9, 8)]
    np.testing.assert_array_equal(pages[1].pixels, np.rot90(stored, -1))
    for raw in (
        load_image(tmp_path / "a.tif", page=2, exif=False),
        *load_pages(tmp_path / "a.tif", "2", exif=False),
    ):
        np.testing.assert_array_equal(raw.pixels, stored)


def test_what_has_no_pages_is_one(tmp_path: Path) -> None:
    frames()[0].save(tmp_path / "a.jpg")
    loaded = load_image(tmp_path / "a.jpg")
    for source in (tmp_path / "a.jpg", loaded, loaded.pixels, Image.fromarray(loaded.pixels)):
        (page,) = load_pages(source)
        np.testing.assert_array_equal(page.pixels, loaded.pixels)
    assert next(load_pages(loaded)) is load_image(loaded) is loaded
    left, right = frames()[:2]
    left.save(tmp_path / "stereo.jpg", "MPO", save_all=True, append_images=[right])
    assert len(list(load_pages(tmp_path / "stereo.jpg"))) == 1


def test_thumbnails_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    parts = []
    for index, picture in enumerate(frames()):
        picture.encoderinfo = {"tiffinfo": {254: index % 2}}
        parts.append(picture)
    save_frames(tmp_path / "a.tif", parts)
    assert [page.page for page in load_pages(tmp_path / "a.tif")] == [1, 3]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("all", [1, 2, 3, 4]),
        ("2", [2]),
        ("1-3", [1, 2, 3]),
        ("3, 1", [1, 3]),
        ("2-", [2, 3, 4]),
        ("4-99,4", [4]),
    ],
)
def test_selecting_pages(tmp_path: Path, text: str, chosen: list[int]) -> None:
    path = save_frames(tmp_path / "a.tif", frames())
    assert [page.page for page in load_pages(path, text)] == chosen
    assert [page.page for page in load_pages(path, parse_pages(text))] == chosen


@pytest.mark.parametrize("text", ["", "0", "3-1", "a", "1,,2", "-3", "1-2-3", "1.5", "9" * 400])
def test_what_selects_no_pages_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="1-3,5"):
        load_pages("unopened.tif", text)


def test_pages_that_are_not_there(tmp_path: Path) -> None:
    path = save_frames(tmp_path / "a.gif", frames())
    with pytest.raises(ImageError, match="has 4 pages"):
        list(load_pages(path, "7-9"))
    for page in (0, 5):
        with pytest.raises(ImageError, match=f"a.gif has no page {page}"):
            load_image(path, page=page)
    with pytest.raises(ImageError, match="does not exist"):
        next(load_pages(tmp_path / "none.tif"))
    pages = load_pages(path, limits=ImageLimits(max_pages=3))
    assert shades(next(pages) for _ in range(3)) == shades(load_pages(path, "1-3"))
    with pytest.raises(ImageError, match="max_pages"):
        next(pages)


def test_a_damaged_page_does_not_hide_the_others(tmp_path: Path) -> None:
    path = save_frames(tmp_path / "a.tif", frames(), compression="tiff_adobe_deflate")
    content = bytearray(path.read_bytes())
    with Image.open(path) as picture:
        picture.seek(1)
        start = picture.tag_v2[273][0]
    content[start : start + 8] = b"\xff" * 8
    first, second, third, fourth = _all(load_pages(bytes(content)))
    assert "page 2 of the bytes given is truncated" in str(second)
    assert [page.page for page in (first, third, fourth)] == [1, 3, 4]


def _all(pages: Iterator[LoadedImage]) -> list[LoadedImage | str]:
    """Pages, and the messages of those that are damaged."""
    found: list[LoadedImage | str] = []
    while True:
        try:
            found.append(next(pages))
        except ImageError as error:
            found.append(str(error))
        except StopIteration:
            return found


# ---------------------------------------------------------------- names


def test_file_addresses_are_paths(tmp_path: Path) -> None:
    path = tmp_path / "a b#ü?.png"
    frames()[0].save(path)
    for address in (path.as_uri(), f"file://{path}", f"FILE://localhost{path}", f"file:{path}"):
        assert load_image(address).name == str(path)
        assert list_images(address) == [path]
    assert list_images(tmp_path.as_uri()) == [path]
    for address in ("file://server/share/a.png", "https://example.org/a.png", "S3://bucket/a.png"):
        for opener in (open_image, list_images):
            with pytest.raises(ImageError, match="download it first"):
                opener(address)


def test_standard_input(tmp_path: Path) -> None:
    code = (
        "from dld_core.images import *\n"
        "assert [str(p) for p in list_images('-')] == ['-']\n"
        "print(len(list(load_pages('-'))), load_image('-').pixels.shape, load_image('-').name)\n"
    )
    content = save_frames(tmp_path / "a.tif", frames()).read_bytes()
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True)
    assert done.stdout.decode().split() == ["4", "(16,", "24,", "3)", "-"]


def test_standard_input_is_bounded_and_a_file_of_that_name_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dld_core.images.files._read_input", [])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(3_000_000))))
    with pytest.raises(ImageError, match="max_bytes"):
        load_image("-", limits=ImageLimits(max_bytes=2_000_000))
    frames()[0].save(tmp_path / "-", "PNG")
    monkeypatch.chdir(tmp_path)
    assert load_image("./-").width == load_image(list_images("./-")[0]).width == 24


# ---------------------------------------------------------------- console

NOISE = """
import io, logging, random, sys, warnings
from PIL import Image
from dld_core.errors import ImageError
from dld_core.images import load_image
random.seed(1)
picture = Image.effect_noise((60, 40), 90)
bases = []
for compression in ("tiff_lzw", "jpeg", "tiff_adobe_deflate", "group4"):
    buffer = io.BytesIO()
    picture.convert("1" if compression == "group4" else "L").save(buffer, "TIFF", compression=compression)
    bases.append(buffer.getvalue())
for index in range(400):
    content = bytearray(bases[index % 4])
    for _ in range(4):
        content[random.randrange(len(content))] = random.randrange(256)
    try:
        load_image(bytes(content))
    except ImageError:
        pass
warnings.warn("ours is heard")
"""


def test_broken_files_write_nothing_to_the_console() -> None:
    done = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.strip().splitlines() == ["<string>:21: UserWarning: ours is heard"]


def test_only_the_thread_that_reads_is_quiet_and_warnings_as_errors_lose_no_photo(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00")
    heard: list[str] = []

    def other() -> None:
        with Image.open(tmp_path / "a.jpg") as picture:
            picture.getexif()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        assert load_image(tmp_path / "a.jpg").width == 20
        warnings.simplefilter("always")
        load_image(tmp_path / "a.jpg")
        assert not caught
        assert pickle.loads(pickle.dumps(warnings.filters)) == warnings.filters
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        heard = [str(warning.message) for warning in caught]
    assert any("Corrupt EXIF" in sentence for sentence in heard)
