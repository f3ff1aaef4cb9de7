"""Image files with their depth and transparency."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cfexplain.images import ImageError
from cfexplain.restore.picture import Picture, read, write


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_grey_images_keep_their_opacity(tmp_path, colours):
    grey, opacity = colours[..., 0], colours[..., 1]
    both = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(opacity)))
    both.save(tmp_path / "both.tif")
    found = read(tmp_path / "both.tif")
    assert found.values.shape == found.alpha.shape == (1, 1, 40, 60)
    assert (found.values[0, 0] * 255).round().numpy().astype(int).tolist() == grey.tolist()
    assert (found.alpha[0, 0] * 255).round().numpy().astype(int).tolist() == opacity.tolist()
    for factor, dtype in ((1, np.uint8), (257, np.uint16)):
        Image.fromarray(grey.astype(dtype) * factor).save(tmp_path / "hole.png", transparency=int(grey[0, 0]) * factor)
        assert torch.equal(read(tmp_path / "hole.png").alpha[0, 0] == 0, torch.from_numpy(grey == grey[0, 0]))


def test_a_rotated_palette_with_transparency_is_upright(tmp_path, colours):
    exif, palette = Image.Exif(), Image.fromarray(colours).quantize(16)
    exif[0x0112] = 6
    palette.save(tmp_path / "a.png", exif=exif, transparency=3)
    holes = np.rot90(np.array(palette) == 3, -1)
    assert torch.equal(read(tmp_path / "a.png").alpha[0, 0] == 0, torch.from_numpy(holes.copy()))


def test_the_colours_of_a_transparent_tiff_are_those_in_the_file(tmp_path):
    Image.new("RGBA", (20, 20), (200, 100, 50, 128)).save(tmp_path / "a.tif")
    found = read(tmp_path / "a.tif")
    assert (found.values[0, :, 0, 0] * 255).round().tolist() == [200, 100, 50]
    assert round(float(found.alpha[0, 0, 0, 0]) * 255) == 128


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_rotated_image_is_upright(mode, suffix, tmp_path):
    mode = "RGB" if suffix == "jpg" and mode == "RGBA" else mode
    stored = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"tiffinfo": {0x0112: 6}} if suffix == "tif" else {"exif": exif}
    stored.save(tmp_path / f"a.{suffix}", quality=100, subsampling=0, **options)
    found = read(tmp_path / f"a.{suffix}")
    upright = np.atleast_3d(np.rot90(np.array(stored), -1))
    parts = [found.values] if found.alpha is None else [found.values, found.alpha]
    assert np.abs(torch.cat(parts, 1)[0].permute(1, 2, 0).numpy() * 255 - upright).max() < (
        6 if suffix == "jpg" else 0.01
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_survive_reading_and_writing(channels, suffix, tmp_path):
    array = np.random.default_rng(0).integers(0, 65536, (20, 30, channels), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"in.{suffix}"), array)
    found = read(tmp_path / f"in.{suffix}")
    assert found.bits == 16
    assert found.values.shape[1] == (1 if channels == 1 else 3)
    assert (found.alpha is not None) == (channels == 4)
    write(tmp_path / f"out.{suffix}", found)
    assert np.array_equal(cv2.imread(str(tmp_path / f"out.{suffix}"), cv2.IMREAD_UNCHANGED), array.squeeze())


def test_opacity_follows_the_size_of_the_values():
    alpha = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    enlarged = Picture(torch.rand(1, 3, 8, 8), alpha, 16).of(torch.rand(1, 3, 16, 16))
    assert enlarged.alpha.shape == (1, 1, 16, 16)
    assert enlarged.bits == 16
    assert float((enlarged.alpha[..., ::2, ::2] - alpha).abs().max()) < 0.1


def test_formats_that_would_lose_something_are_refused(tmp_path):
    grey, alpha = torch.rand(1, 1, 20, 20), torch.ones(1, 1, 20, 20)
    for name, picture, sentence in (
        ("a.xyz", Picture(grey), "no kind of picture"),
        ("a.webp", Picture(grey, bits=16), "16 bits"),
        ("a.jpg", Picture(grey, alpha), "transparency"),
    ):
        with pytest.raises(ImageError, match=sentence):
            write(tmp_path / name, picture)
    assert not list(tmp_path.iterdir())
    Image.fromarray(np.zeros((20, 4100, 3), np.uint8)).save(tmp_path / "wide.png")
    with pytest.raises(ImageError, match="at most 4096 a side"):
        read(tmp_path / "wide.png")
