"""Any image opens, safely; what does not is refused with the name and the fix."""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dld_core.errors import ImageError, MissingExtraError
from dld_core.images import (
    ImageLimits,
    WorkingLimits,
    full_factor,
    import_cv2,
    list_images,
    load_image,
    open_image,
    resize,
    scale_to,
)


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth RGB picture, 24 high and 40 wide, every corner different."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([x * 6, y * 10, 255 - x * 3 - y * 4], axis=2).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    """A valid small PNG file whose header claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body + png_chunk(b"IEND", b"")


# ---------------------------------------------------------------- what opens


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "jp2"])
def test_lossless_files_give_their_pixels(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    options = {"webp": {"lossless": True}, "jp2": {"irreversible": False}}.get(suffix, {})
    np.testing.assert_array_equal(open_image(saved(tmp_path / f"a.{suffix}", photo, **options)), photo)


@pytest.mark.parametrize("suffix", ["jpg", "gif", "webp"])
def test_lossy_files_come_close(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    opened = open_image(saved(tmp_path / f"a.{suffix}", photo, quality=95))
    assert opened.shape == photo.shape
    assert np.abs(opened.astype(int) - photo).mean() < 6


def test_every_kind_of_source_gives_the_same_pixels(tmp_path: Path, photo: np.ndarray) -> None:
    path = saved(tmp_path / "a.png", photo)
    content = path.read_bytes()

    class Pipe(io.RawIOBase):  # a stream that cannot seek, as from a socket
        def __init__(self) -> None:
            self.left = content

        def read(self, size: int = -1) -> bytes:
            part, self.left = self.left[:9], self.left[9:]
            return part

    with path.open("rb") as file:
        sources = [
            str(path),
            path,
            content,
            bytearray(content),
            io.BytesIO(content),
            file,
            Pipe(),
            photo,
            photo[:, :, ::-1][:, :, ::-1],
            Image.fromarray(photo),
            torch.from_numpy(photo).permute(2, 0, 1),
            torch.from_numpy(photo).permute(2, 0, 1).float() / 255,
            torch.from_numpy(photo).permute(2, 0, 1).double().requires_grad_(),
            photo.transpose(2, 0, 1),
        ]
        for source in sources:
            np.testing.assert_array_equal(open_image(source), photo)


def test_names_are_kept_and_suffixes_do_not_matter(tmp_path: Path, photo: np.ndarray) -> None:
    path = saved(tmp_path / "a.png", photo).rename(tmp_path / "a.jpg")
    loaded = load_image(path)
    assert (loaded.name, loaded.width, loaded.height, loaded.notes) == (str(path), 40, 24, ())
    with path.open("rb") as file:
        assert load_image(file).name == str(path)
    assert load_image(photo).name is None


def test_the_result_shares_no_memory_with_an_array(photo: np.ndarray) -> None:
    before = photo.copy()
    open_image(photo)[:] = 0
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_exif_orientation(tmp_path: Path, photo: np.ndarray, suffix: str, orientation: int) -> None:
    stored = {  # the picture as a camera held that way stores it
        1: photo,
        2: photo[:, ::-1],
        3: photo[::-1, ::-1],
        4: photo[::-1],
        5: photo.transpose(1, 0, 2),
        6: np.rot90(photo, 1),
        7: photo[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(photo, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    path = saved(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif, **options)
    tolerance = 4 if suffix == "jpg" else 0
    np.testing.assert_allclose(open_image(path).astype(int), photo, atol=tolerance)
    np.testing.assert_allclose(open_image(path, exif=False).astype(int), stored, atol=tolerance)
    loaded, raw = load_image(path), load_image(path, exif=False)
    assert (loaded.height, loaded.width) == photo.shape[:2]
    assert (raw.height, raw.width) == stored.shape[:2]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_ignored(tmp_path: Path, photo: np.ndarray, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(open_image(saved(tmp_path / "a.png", photo, exif=exif)), photo)


def test_broken_exif_does_not_hide_the_photo(tmp_path: Path, photo: np.ndarray) -> None:
    path = saved(tmp_path / "a.jpg", photo, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff\x01")
    assert open_image(path).shape == photo.shape


def test_transparent_pixels_lie_on_white(tmp_path: Path, photo: np.ndarray) -> None:
    alpha = np.zeros((24, 40), np.uint8)
    alpha[:, 20:] = 255
    for path in (
        saved(tmp_path / "rgba.png", np.dstack([photo, alpha])),
        saved(tmp_path / "rgba.webp", np.dstack([photo, alpha]), lossless=True),
    ):
        opened = open_image(path)
        assert (opened[:, :20] == 255).all()
        np.testing.assert_array_equal(opened[:, 20:], photo[:, 20:])


def test_half_transparent_pixels_mix(photo: np.ndarray) -> None:
    rgba = np.dstack([photo, np.full((24, 40), 128, np.uint8)])
    for source in (rgba, Image.fromarray(rgba)):
        np.testing.assert_allclose(open_image(source), photo * 0.502 + 255 * 0.498, atol=1.5)


def test_grey_with_alpha(tmp_path: Path) -> None:
    la = np.zeros((5, 6, 2), np.uint8)
    la[:, 3:, 1] = 255
    for source in (saved(tmp_path / "la.png", la), la):
        opened = open_image(source)
        assert (opened[:, :3] == 255).all()
        assert (opened[:, 3:] == 0).all()


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (8, 4), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((0, 0), 0)
    picture.save(tmp_path / "plain.png")
    picture.save(tmp_path / "clear.png", transparency=0)
    picture.save(tmp_path / "clear.gif", transparency=0)
    assert open_image(tmp_path / "plain.png")[0, 0].tolist() == [255, 0, 0]
    for name in ("clear.png", "clear.gif"):
        opened = open_image(tmp_path / name)
        assert opened[0, 0].tolist() == [255, 255, 255]
        assert opened[1, 1].tolist() == [0, 0, 255]


def test_rgb_png_with_a_transparent_colour(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0] = (10, 20, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(10, 20, 30))
    opened = open_image(tmp_path / "a.png")
    assert (opened[0] == 255).all()
    assert (opened[1:] == 0).all()


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    # Pillow writes JPEGs as Photoshop does: inverted, with the Adobe marker.
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / f"red.{suffix}")
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / f"white.{suffix}")
    np.testing.assert_allclose(open_image(tmp_path / f"red.{suffix}")[8, 8], [255, 0, 0], atol=3)
    np.testing.assert_allclose(open_image(tmp_path / f"white.{suffix}")[8, 8], [255, 255, 255], atol=3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey(tmp_path: Path, suffix: str) -> None:
    grey = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)
    opened = open_image(saved(tmp_path / f"a.{suffix}", grey.astype(np.uint16) * 257))
    np.testing.assert_array_equal(opened, np.repeat(grey[:, :, None], 3, axis=2))


def test_16_bit_big_endian_tiff(tmp_path: Path) -> None:
    picture = Image.frombytes("I;16B", (2, 1), b"\xff\xff\x80\x80")
    picture.save(tmp_path / "a.tif")
    assert open_image(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 128]


def test_32_bit_and_float_tiff(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 65535]], np.int32)).save(tmp_path / "i.tif")
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "f.tif")
    assert open_image(tmp_path / "i.tif")[0, :, 0].tolist() == [0, 255]
    assert open_image(tmp_path / "f.tif")[0, :, 0].tolist() == [0, 128, 255]


def test_1_bit(tmp_path: Path) -> None:
    bits = np.zeros((9, 9), bool)
    bits[4] = True
    for source in (saved(tmp_path / "a.png", bits), saved(tmp_path / "a.tif", bits), bits):
        np.testing.assert_array_equal(open_image(source)[:, :, 0], bits * 255)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    loaded = load_image(tmp_path / f"a.{suffix}")
    assert loaded.pixels[5, 5].tolist() == [255, 0, 0]
    assert "only the first" in loaded.notes[0]


def test_the_first_page_of_a_tiff(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), value) for value in (7, 9)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    loaded = load_image(tmp_path / "a.tif")
    assert loaded.pixels[0, 0].tolist() == [7, 7, 7]
    assert "only the first" in loaded.notes[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    for suffix in ("png", "jpg", "webp"):
        path = saved(tmp_path / f"a.{suffix}", np.full((*size, 3), 200, np.uint8))
        assert open_image(path).shape == (*size, 3)


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_either_range(photo: np.ndarray, dtype: type) -> None:
    np.testing.assert_allclose(open_image((photo / 255).astype(dtype)).astype(int), photo, atol=1)
    np.testing.assert_allclose(open_image(photo.astype(dtype)).astype(int), photo, atol=1)


def test_a_little_overshoot_is_clipped() -> None:
    pixels = np.array([[-0.02, 0.0, 0.5, 1.04]])
    assert open_image(pixels)[0, :, 0].tolist() == [0, 0, 128, 255]


def test_integers(photo: np.ndarray) -> None:
    for dtype in (np.int16, np.int32, np.int64, np.uint16, np.uint32):
        np.testing.assert_array_equal(open_image(photo.astype(dtype)), photo)
    for factor in (256, 257):
        np.testing.assert_array_equal(open_image(photo.astype(np.uint16) * factor), photo)


def test_bfloat16_tensors(photo: np.ndarray) -> None:
    tensor = (torch.from_numpy(photo).permute(2, 0, 1).float() / 255).bfloat16()
    np.testing.assert_allclose(open_image(tensor).astype(int), photo, atol=2)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((5, 0)), "no pixels"),
        (np.zeros((2, 3, 8, 8), np.uint8), "list"),
        (np.zeros(7, np.uint8), "[H, W]"),
        (np.zeros((8, 8, 7), np.uint8), "channels"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), np.inf), "NaN or infinite"),
        (np.linspace(-2.1, 2.6, 16).reshape(4, 4), "normalisation"),
        (np.full((4, 4), 4000.0), "normalisation"),
        (np.full((4, 4), -3), "0..255"),
        (np.full((4, 4), 70000), "0..255"),
        (np.zeros((4, 4), complex), "complex"),
        (np.array([["a", "b"]]), "type"),
    ],
)
def test_arrays_that_are_no_images(array: np.ndarray, says: str) -> None:
    with pytest.raises(ImageError) as caught:
        open_image(array)
    assert says in str(caught.value)


def test_other_things_are_refused() -> None:
    for thing in (3, None, [1, 2], {"a": 1}):
        with pytest.raises(ImageError, match="cannot read an image from"):
            open_image(thing)


# ---------------------------------------------------------------- bad files


def bad_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> (content, what the message must hold)."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    files: dict[str, tuple[bytes, str]] = {}
    for suffix in ("jpg", "png", "webp", "tif", "bmp", "gif", "jp2", "ppm"):
        content = saved(folder / f"whole.{suffix}", noise).read_bytes()
        files[f"half.{suffix}"] = (content[: len(content) // 2], "truncated or damaged")
        files[f"head.{suffix}"] = (content[:20], "")
    broken_crc = bytearray((folder / "whole.png").read_bytes())
    broken_crc[60:70] = b"0123456789"
    return files | {
        "empty.jpg": (b"", "0 bytes"),
        "text.jpg": (b"this is not a picture\n" * 9, "holds text"),
        "page.html.jpg": (b"<!DOCTYPE html><html>not found</html>", "web page"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        "scan.jpg": (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        "photos.jpg": (b"PK\x03\x04" + bytes(60), "archive"),
        "phone.heic": (b"\x00\x00\x00\x18ftypheic" + bytes(40), "HEIC"),
        "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid", "LFS"),
        "random.jpg": (bytes(range(256)) * 4, "format is unknown"),
        "zeros.png": (bytes(500), "format is unknown"),
        "crc.png": (bytes(broken_crc), "truncated or damaged"),
        "only_magic.jpg": (b"\xff\xd8\xff", "truncated or damaged"),
        "only_magic.png": (b"\x89PNG\r\n\x1a\n", "truncated or damaged"),
        "bomb.png": (png_claiming(100_000, 100_000), "10000 megapixels"),
        "no_width.png": (png_claiming(0, 10), ""),
        "bomb.webp": (
            b"RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00"
            + bytes(4)
            + b"\xff\x3f\x00\xff\x3f\x00"
            + bytes(9),
            "decompression bomb",
        ),
        "bomb.gif": (b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02", "4295"),
        "bomb.bmp": (
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 90_000, 90_000, 1, 24, 0, 0, 1, 1, 0, 0),
            "8100 megapixels",
        ),
        "bomb.ppm": (b"P6\n50000 50000\n255\n" + bytes(30), "2500 megapixels"),
    }


def test_bad_files_are_refused_by_name_with_a_fix(tmp_path: Path) -> None:
    files = bad_files(tmp_path)
    assert len(files) > 30
    for name, (content, says) in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        for opener in (open_image, load_image):
            with pytest.raises(ImageError) as caught:
                opener(path)
            assert str(path) in str(caught.value), name
            assert says in str(caught.value), (name, str(caught.value))
            assert "\n" not in str(caught.value)
        with pytest.raises(ImageError):
            open_image(content)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    for path, says in [
        (tmp_path, "is a folder"),
        (tmp_path / "absent.jpg", "does not exist"),
        (tmp_path / ("x" * 300), "cannot be opened"),
        ("null\0character.jpg", "cannot be opened"),
        ("/dev/zero", "regular file"),
        ("https://example.org/a.jpg", "download"),
        ("", "does not exist"),
    ]:
        with pytest.raises(ImageError, match=says):
            open_image(path)


def test_a_file_that_may_not_be_read(tmp_path: Path, photo: np.ndarray) -> None:
    path = saved(tmp_path / "a.png", photo)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ImageError, match=r"may not be read.*chmod"):
        open_image(path)


def test_permission_is_told_whoever_runs_this(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")

    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageError, match=r"a\.png may not be read.*chmod"):
        open_image(tmp_path / "a.png")


def test_a_text_file_object(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="binary mode"):
        open_image(io.StringIO("text"))


def test_a_named_pipe(tmp_path: Path, photo: np.ndarray) -> None:
    content = saved(tmp_path / "a.png", photo).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(content))
    writer.start()
    np.testing.assert_array_equal(open_image(pipe), photo)
    writer.join()


# ---------------------------------------------------------------- limits


def test_the_budget_is_an_argument_and_pillows_global_is_left_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.zeros((100, 100, 3), np.uint8))
    before = Image.MAX_IMAGE_PIXELS
    results: list[str] = []

    def attempt(limit: int) -> None:
        for _ in range(20):
            try:
                open_image(path, limits=ImageLimits(max_pixels=limit))
                results.append(f"{limit} opened")
            except ImageError:
                results.append(f"{limit} refused")

    threads = [threading.Thread(target=attempt, args=(limit,)) for limit in (9_999, 10_000) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(results)) == ["10000 opened", "9999 refused"]
    assert before == Image.MAX_IMAGE_PIXELS


def test_pillows_own_limit_does_not_get_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", np.zeros((100, 100, 3), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(path).shape == (100, 100, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_huge_pictures_are_decoded_smaller(tmp_path: Path, suffix: str, orientation: int) -> None:
    y, x = np.mgrid[0:203, 0:401]
    pixels = np.stack([x // 2, y, x * 0 + 30], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", pixels, exif=exif)
    loaded = load_image(path, limits=ImageLimits(decode_pixels=203 * 401 // 4 + 1))
    whole = load_image(path)
    assert (loaded.height, loaded.width) == (whole.height, whole.width) == whole.pixels.shape[:2]
    assert loaded.pixels.shape[:2] == (-(-whole.height // 2), -(-whole.width // 2))
    assert "to bound memory" in loaded.notes[0]
    assert whole.notes == ()
    by_two = whole.pixels[: whole.height // 2 * 2 : 2, : whole.width // 2 * 2 : 2].astype(int)
    assert np.abs(loaded.pixels[: len(by_two), : by_two.shape[1]] - by_two).mean() < 3
    assert open_image(path, limits=ImageLimits(decode_pixels=100)).shape == whole.pixels.shape


def test_a_huge_jpeg_is_reduced_by_its_decoder(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (203, 401, 3), dtype=np.uint8)
    path = saved(tmp_path / "a.jpg", pixels)
    with Image.open(path) as picture:
        picture.draft(None, (100, 50))
        expected = np.asarray(picture)
    assert expected.shape == (51, 101, 3)
    np.testing.assert_array_equal(load_image(path, limits=ImageLimits(decode_pixels=6000)).pixels, expected)


def test_strips_change_nothing(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    rgba = np.dstack([photo, photo[:, :, 0]])
    wide = photo[:, :, 0].astype(np.uint16) * 257
    pictures = [Image.fromarray(rgba), Image.fromarray(photo).quantize(), Image.fromarray(wide)]
    limits = ImageLimits(decode_pixels=100)
    whole = [load_image(picture, limits=limits).pixels for picture in pictures]
    monkeypatch.setattr("dld_core.images.pixels._STRIP_PIXELS", 40 * 4)
    for picture, expected in zip(pictures, whole, strict=True):
        np.testing.assert_array_equal(load_image(picture, limits=limits).pixels, expected)


def test_a_pillow_picture_given_is_not_altered(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", np.zeros((64, 64, 3), np.uint8))
    with Image.open(path) as picture:
        load_image(picture, limits=ImageLimits(decode_pixels=100))
        assert picture.size == (64, 64)


# ---------------------------------------------------------------- folders


def test_listing_a_folder(tmp_path: Path, photo: np.ndarray) -> None:
    for name in ("img_10.jpg", "img_2.JPG", "b.png", ".hidden.png"):
        saved(tmp_path / name, photo)
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / "deep").mkdir()
    saved(tmp_path / "deep" / "a.png", photo)
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["b.png", "img_2.JPG", "img_10.jpg"]
    assert [p.name for p in list_images(str(tmp_path / "img_*"))] == ["img_2.JPG", "img_10.jpg"]
    assert len(list_images(f"{tmp_path}/**/*.png")) == 2
    assert len(list_images(tmp_path, recursive=True)) == 4
    assert list_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_a_name_with_brackets_is_a_file_first(tmp_path: Path, photo: np.ndarray) -> None:
    path = saved(tmp_path / "a[1].png", photo)
    assert list_images(str(path)) == [path]


def test_listing_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for source, says in [
        (tmp_path, "holds no images"),
        (f"{tmp_path}/*.jpg", "holds no images"),
        (tmp_path / "absent", "does not exist"),
        ("https://example.org/a.jpg", "download"),
        ("a" * 300, "does not exist"),
    ]:
        with pytest.raises(ImageError, match=says):
            list_images(source)


# ---------------------------------------------------------------- resizing


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resize(stripes, scale=0.27)
    assert small.shape == (17, 17, 3)
    assert np.abs(small[:, 1:-1].astype(int) - 127).max() < 25
    aliased = resize(stripes, scale=0.27, antialias=False)
    assert aliased.std() != pytest.approx(small.std(), abs=1)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (24, 40), (60, 100), (24, 41)])
def test_resize_gives_the_size_asked_for(photo: np.ndarray, size: tuple[int, int]) -> None:
    resized = resize(photo, size=size)
    assert resized.shape == (*size, 3)
    assert resized.dtype == np.uint8
    assert abs(resized.mean() - photo.mean()) < 12


def test_resize_keeps_flat_colours_and_read_only_arrays() -> None:
    flat = np.full((30, 50, 3), (10, 128, 250), np.uint8)
    flat.flags.writeable = False
    for scale in (0.1, 0.7, 1.0, 2.5):
        assert (resize(flat, scale=scale) == (10, 128, 250)).all()


def test_resize_agrees_with_pillow(photo: np.ndarray) -> None:
    for height, width in ((12, 20), (17, 31), (48, 80)):
        expected = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC))
        assert np.abs(resize(photo, size=(height, width)).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("height", "width"), [(900, 1201), (1003, 797)])
def test_large_pictures_are_averaged_first_and_look_the_same(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    rough = np.asarray(Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize((width, height)))
    for shrink in (4.4, 9.7):
        size = round(height / shrink), round(width / shrink)
        once = Image.fromarray(rough).resize(size[::-1], Image.Resampling.BICUBIC)
        apart = np.abs(resize(rough, size=size).astype(int) - np.asarray(once))
        assert apart.mean() < 1
        assert apart.max() < 12
    for side in range(1, 90):
        assert resize(rough, size=(side, side + 3)).shape == (side, side + 3, 3)
    fine = np.zeros((height, width, 3), np.uint8)
    fine[::2] = 255
    assert np.abs(resize(fine, scale=0.2)[:-2].astype(int) - 127).max() < 12


@pytest.mark.parametrize(
    "arguments", [{}, {"scale": 1, "size": (2, 2)}, {"scale": 0}, {"size": (0, 2)}, {"scale": float("nan")}]
)
def test_resize_refuses_nonsense(photo: np.ndarray, arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"scale|size"):
        resize(photo, **arguments)


def test_scale_to() -> None:
    assert scale_to(1080, 1920, 720) == scale_to(1080, 1920, 720, WorkingLimits())
    fit = scale_to(1080, 1920, 720)
    assert (fit.height, fit.width, fit.note) == (1080, 1920, None), "no native pixel is given up"
    fit = scale_to(1080, 1920, 720, fraction=0.5)
    assert (fit.height, fit.width) == (540, 960)
    fit = scale_to(600, 480, 720)
    assert (fit.height, fit.width) == (900, 720), "a small image is enlarged to the reference"
    fit = scale_to(300, 200, 720)
    assert (fit.height, fit.width) == (600, 400), "but no further than twice its size"
    assert scale_to(100, 16_000, 736).height == 100, "and a strip only to the area of a page"


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (4000, 3000), (720, 90_000), (37, 53)])
@pytest.mark.parametrize("fraction", [0.3, 1.0, 1.5])
def test_scale_to_keeps_limits_and_aspect(size: tuple[int, int], fraction: float) -> None:
    limits = WorkingLimits(max_pixels=1_000_000, max_side=4096, max_enlargement=8)
    fit = scale_to(*size, 720, limits, fraction)
    assert 1 <= fit.height * fit.width <= 1_000_000
    assert max(fit.height, fit.width) <= 4096
    assert fit.height <= 8 * max(1.0, fraction) * size[0] + 1
    factor = max(fit.height, fit.width) / max(size)
    assert abs(fit.height - size[0] * factor) <= 1
    assert abs(fit.width - size[1] * factor) <= 1
    capped = full_factor(*size, 720, limits) > min(1000 / math.sqrt(size[0] * size[1]), 4096 / max(size))
    assert (fit.note is not None) == (capped and fraction >= 1)


# ---------------------------------------------------------------- OpenCV


def test_a_missing_libgl_is_told_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    (tmp_path / "cv2.py").write_text(broken)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    with pytest.raises(MissingExtraError, match=r"libgl1.*opencv-python-headless"):
        import_cv2()


def test_a_missing_opencv_is_told_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="pip install"):
        import_cv2()
