"""What is transparent lies on paper on which the ink shows; integers of 10 to 16 bits come out bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from dld_core.images import LoadedImage, load_image
from dld_core.results.page import Page
from dld_core.types import Word


def lettering(*colours: tuple[int, int, int], size: int = 24) -> Image.Image:
    """A line of text in each colour, on nothing."""
    picture = Image.new("RGBA", (160, 2 * size * len(colours)))
    for row, colour in enumerate(colours):
        ImageDraw.Draw(picture).text((8, row * 2 * size + 8), "WORDS", colour, ImageFont.load_default(size))
    return picture


def contrast(loaded: LoadedImage) -> list[float]:
    """How far the ink of each line of text of `lettering` stands from the paper, grey levels."""
    grey = loaded.pixels @ np.array([0.299, 0.587, 0.114])
    lines = np.split(grey, max(1, len(grey) // 48))
    return [float(np.abs(line - grey[0, 0]).max()) for line in lines]


WHITE, YELLOW, BLACK, NAVY, RED = (255,) * 3, (255, 240, 60), (0,) * 3, (0, 0, 90), (200, 0, 0)


@pytest.mark.parametrize(
    ("colours", "paper"),
    [
        ((WHITE,), 0),
        ((YELLOW,), 0),
        ((BLACK,), 255),
        ((NAVY, RED), 255),
        ((BLACK, BLACK, BLACK, RED, YELLOW), 128),
        ((WHITE, BLACK), 128),
    ],
)
def test_the_paper_is_the_one_on_which_all_ink_shows(
    colours: tuple[tuple[int, int, int], ...], paper: int
) -> None:
    loaded = load_image(lettering(*colours))
    assert loaded.pixels[0, 0].tolist() == [paper] * 3
    assert min(contrast(loaded)) > 60
    assert any("transparent" in note for note in loaded.notes) == (paper != 255)


def test_it_is_the_same_for_every_kind_of_source_and_for_drawings(tmp_path: Path) -> None:
    picture = lettering(WHITE)
    rgba = np.asarray(picture)
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "a.webp", lossless=True)
    picture.quantize(8).save(tmp_path / "palette.png")
    sources = {
        "png": tmp_path / "a.png",
        "webp": tmp_path / "a.webp",
        "palette": tmp_path / "palette.png",
        "picture": picture,
        "premultiplied": picture.convert("RGBa"),
        "grey": picture.convert("LA"),
        "array": rgba,
        "array of two channels": rgba[:, :, [0, 3]],
        "tensor-like": rgba.transpose(2, 0, 1),
        "float": rgba / 255,
    }
    for kind, source in sources.items():
        loaded = load_image(source)
        assert loaded.pixels[0, 0].tolist() == [0, 0, 0], kind
        assert loaded.pixels.max() > 200, kind
        assert "filled with black" in loaded.notes[0], kind
        page = Page([Word("x", 0.9, ((1, 1), (9, 1), (9, 5), (1, 5)))], loaded.width, loaded.height)
        assert page.draw(source)[-1, -1].tolist() == [0, 0, 0], kind


def test_the_whole_picture_counts_and_not_the_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = lettering(WHITE, BLACK, WHITE, WHITE)
    whole = load_image(picture)
    monkeypatch.setattr("dld_core.images.pixels._STRIP_PIXELS", 160 * 48)
    np.testing.assert_array_equal(load_image(picture).pixels, whole.pixels)


def test_photos_with_transparent_corners_and_fringes_of_old_paper_stay_on_white() -> None:
    rng = np.random.default_rng(0)
    photo = np.dstack([rng.integers(0, 256, (90, 120, 3), np.uint8), np.full((90, 120), 255, np.uint8)])
    photo[:5, :5, 3] = 0
    assert load_image(photo).pixels[0, 0].tolist() == [255] * 3
    assert load_image(_fringed()).pixels[0, 0].tolist() == [255] * 3
    hidden = np.zeros((50, 50, 4), np.uint8)
    assert (load_image(hidden).pixels == 255).all()


def _fringed() -> np.ndarray:
    """Black letters that were smoothed on white paper before the paper was cut away."""
    ink = np.asarray(lettering(BLACK).getchannel("A")).astype(int)
    return np.dstack([255 - ink, 255 - ink, 255 - ink, (ink > 20) * 255]).astype(np.uint8)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_integers_of_few_bits_come_out_as_bright_as_they_are(bits: int, dtype: type, tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)
    values = (grey.astype(dtype) << (bits - 8)) + 1
    loaded = load_image(values)
    np.testing.assert_array_equal(loaded.pixels[:, :, 0], grey)
    assert f"{bits}-bit" in loaded.notes[0]
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif").pixels, loaded.pixels)
    assert load_image(grey.astype(dtype)).notes == load_image(grey.astype(dtype) * 257).notes == ()
