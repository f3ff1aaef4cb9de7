"""Every picture a person may have is read as they expect, or refused in one sentence."""

import numpy as np
import pytest
import torch
from PIL import Image

from cfexplain.images import (
    ImageError,
    check_images,
    load_images,
    load_mask,
    load_picture,
    paste_change,
    readable,
    round8,
    save_png,
    square,
    square_mask,
    write_whole,
)


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_png_round_trip_is_exact(tmp_path, colours):
    image = torch.from_numpy(colours).permute(2, 0, 1).float() / 255
    save_png(tmp_path / "a.png", image)
    assert torch.equal(load_picture(tmp_path / "a.png"), image)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA", "1"])
def test_every_mode_becomes_rgb(tmp_path, colours, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(colours).convert(mode).save(path)
    picture = load_picture(path)
    assert picture.shape == (3, 40, 60)
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1
    if mode == "CMYK":
        assert float((picture - torch.from_numpy(colours).permute(2, 0, 1) / 255).abs().mean()) < 0.02


def test_sixteen_bits_keep_their_range(tmp_path):
    ramp = np.linspace(0, 65535, 40 * 40).reshape(40, 40).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    picture = load_picture(tmp_path / "a.png")
    assert float(picture.max()) == 1
    assert float((picture[0] - torch.from_numpy(ramp.astype(np.float32)) / 65535).abs().max()) < 1 / 255


def test_transparency_lies_on_white(tmp_path):
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert float(load_picture(tmp_path / "a.png").min()) == 1


def test_exif_rotation_is_undone(tmp_path, colours):
    upright = Image.fromarray(colours)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(tmp_path / "a.png", exif=exif)
    assert torch.equal(load_picture(tmp_path / "a.png"), torch.from_numpy(colours).permute(2, 0, 1) / 255)


def test_a_very_wide_picture_is_reduced(tmp_path):
    Image.new("RGB", (20_000, 400), (200, 100, 50)).save(tmp_path / "wide.jpg")
    assert load_picture(tmp_path / "wide.jpg").shape[-1] <= 4096
    assert load_images([tmp_path / "wide.jpg"], 64).shape == (1, 3, 64, 64)


def test_bad_files_are_refused_in_a_sentence(tmp_path, colours):
    (tmp_path / "text.jpg").write_text("I am no picture")
    Image.fromarray(colours).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:600])
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, words in {
        "text.jpg": "not a picture",
        "cut.jpg": "cut short",
        "tiny.png": "1x1",
        "empty.png": "not a picture",
        "none.png": "no file",
    }.items():
        with pytest.raises(ImageError, match=words) as caught:
            load_picture(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_masks_are_cut_like_their_picture(tmp_path):
    picture = torch.rand(3, 30, 50)
    mask = np.zeros((30, 50), np.uint8)
    mask[:, 10:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    cut = square_mask(load_mask(tmp_path / "m.png"), picture, 30)
    assert cut.shape == (1, 30, 30)
    assert float(cut.mean()) == 1
    smaller = Image.fromarray(mask).resize((100, 60), Image.Resampling.NEAREST)
    smaller.save(tmp_path / "scaled.png")
    assert square_mask(load_mask(tmp_path / "scaled.png"), picture, 30).shape == (1, 30, 30)


def test_masks_that_do_not_fit_or_are_empty_are_refused(tmp_path):
    Image.new("L", (50, 30)).save(tmp_path / "black.png")
    with pytest.raises(ImageError, match="empty"):
        load_mask(tmp_path / "black.png")
    with pytest.raises(ImageError, match="same picture"):
        square_mask(torch.ones(1, 20, 50), torch.rand(3, 30, 50), 30)
    edge = torch.zeros(1, 30, 50)
    edge[:, :, :3] = 1
    with pytest.raises(ImageError, match="square"):
        square_mask(edge, torch.rand(3, 30, 50), 30)


def test_a_change_goes_back_to_where_it_was_found():
    picture = torch.full((3, 60, 100), 0.5)
    change = torch.zeros(3, 30, 30)
    change[:, 10:20, 10:20] = 0.25
    changed = paste_change(picture, change)
    assert torch.equal(changed[:, :, :20], picture[:, :, :20])
    assert float(changed[0, 30, 50]) == 0.75
    again = square(changed, 30) - square(picture, 30)
    assert float((again - change).abs().mean()) < 0.02


def test_what_is_no_batch_of_images_is_refused():
    with pytest.raises(ValueError, match="do not normalise"):
        check_images(torch.randn(1, 3, 8, 8) * 3)
    with pytest.raises(ValueError, match="shape"):
        check_images(torch.rand(3, 8, 8))
    with pytest.raises(TypeError, match="255"):
        check_images(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="undefined"):
        check_images(torch.full((1, 3, 8, 8), float("nan")))


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_whole(path, b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_rounding_survives_a_file():
    values = torch.rand(100)
    assert torch.equal(round8(round8(values)), round8(values))
    assert float((round8(values) - values).abs().max()) <= 0.5 / 255 + 1e-7


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_tiff_is_read_upright_by_both_readers(turn, tmp_path):
    from cfexplain.restore.picture import read

    upright = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3).astype(np.uint8)
    back = {1: (), 2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (2,), 7: (6,), 8: (4,)}[turn]
    stored = Image.fromarray(upright)
    for step in back:
        stored = stored.transpose(Image.Transpose(step))
    stored.save(tmp_path / "a.tif", tiffinfo={274: turn})
    expected = torch.from_numpy(upright).permute(2, 0, 1) / 255
    torch.testing.assert_close(load_picture(tmp_path / "a.tif"), expected)
    torch.testing.assert_close(read(tmp_path / "a.tif").values[0], expected)


def test_floating_point_values_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).random((20, 20), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="floating point"):
        load_picture(tmp_path / "a.tif")


def test_a_name_that_is_no_utf_8_can_be_written():
    assert readable("caf\udce9.jpg").encode() == b"caf\\xe9.jpg"
    assert readable("café.jpg") == "café.jpg"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_in_a_mask_is_not_marked(mode, tmp_path):
    mask = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (5, 5, 9, 9))
    mask.convert(mode).save(tmp_path / "mask.png")
    assert float(load_mask(tmp_path / "mask.png").sum()) == 16


def test_a_deep_mask_is_halved_at_its_own_brightest(tmp_path):
    deep = np.zeros((32, 32), np.uint16)
    deep[:16], deep[16:24] = 65535, 1000
    Image.fromarray(deep).save(tmp_path / "mask.png")
    assert float(load_mask(tmp_path / "mask.png").mean()) == 0.5
