"""`cfexplain restore` as scripts use it: depth, transparency, sizes, previews, exit codes."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

from cfexplain.cli import app
from cfexplain.restore.picture import read

SHORT = ("--preset", "fast", "--steps", "2", "--device", "cpu")


def call(*arguments):
    return CliRunner().invoke(app, ["restore", *(str(a) for a in arguments)])


def drawn(path, *, height=33, width=41, channels=3, bits=8):
    """A smooth picture, as OpenCV writes it."""
    rng = np.random.default_rng(0)
    values = cv2.resize(rng.random((3, 3, channels)), (width, height), interpolation=cv2.INTER_LINEAR)
    values = values.reshape(height, width, channels)
    array = (values * (2**bits - 1)).astype(np.uint16 if bits == 16 else np.uint8)
    cv2.imwrite(str(path), array)
    return array


def opened(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_depth_size_and_transparency_are_kept(bits, channels, tmp_path):
    before = drawn(tmp_path / "in.png", channels=channels, bits=bits)
    done = call("denoise", tmp_path / "in.png", "--out", tmp_path / "new" / "out.png", *SHORT, "--preview")
    assert done.exit_code == 0, done.output
    assert "denoise-fast, 2 steps in" in done.stdout
    after = opened(tmp_path / "new" / "out.png")
    assert after.dtype == before.dtype
    assert after.shape[:2] == before.shape[:2]
    if channels == 4:
        assert np.array_equal(after[..., 3], before[..., 3])
    assert opened(tmp_path / "new" / "out-preview.png").shape == (33, 82, 3)


@pytest.mark.parametrize("method", ["denoise-paper", "tv-denoise"])
def test_other_methods_by_name(method, tmp_path):
    drawn(tmp_path / "in.png")
    done = call("denoise", tmp_path / "in.png", "--out", tmp_path / "out.png", "--method", method, *SHORT)
    assert done.exit_code == 0, done.output
    assert f"{method}-fast, 2 steps" in done.stdout


def test_known_pixels_come_back_bit_for_bit(tmp_path):
    before = drawn(tmp_path / "in.png", bits=16)
    mask = np.zeros((33, 41), np.uint8)
    mask[10:14] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    done = call("inpaint", tmp_path / "in.png", "--mask", tmp_path / "mask.png", "--out", tmp_path / "out.png", *SHORT)
    assert done.exit_code == 0, done.output
    after = opened(tmp_path / "out.png")
    assert np.array_equal(after[mask == 0], before[mask == 0])
    assert not np.array_equal(after[mask > 0], before[mask > 0])


def test_enlarging_takes_the_transparency_along(tmp_path):
    drawn(tmp_path / "in.png", channels=4, height=16, width=20)
    done = call("superres", tmp_path / "in.png", "--factor", 3, "--out", tmp_path / "out.png", *SHORT, "--preview")
    assert done.exit_code == 0, done.output
    assert opened(tmp_path / "out.png").shape == (48, 60, 4)
    assert opened(tmp_path / "out-preview.png").shape == (48, 120, 3)


def test_flash_and_jpeg(tmp_path):
    drawn(tmp_path / "dark.jpg")
    drawn(tmp_path / "flash.png")
    flashed = call(
        "flash", tmp_path / "dark.jpg", "--flash", tmp_path / "flash.png", "--out", tmp_path / "a.jpg", *SHORT
    )
    assert flashed.exit_code == 0, flashed.output
    cleaned = call("dejpeg", tmp_path / "dark.jpg", "--out", tmp_path / "b.png", *SHORT, "--stop", "emv")
    assert cleaned.exit_code == 0, cleaned.output
    assert opened(tmp_path / "a.jpg").shape == opened(tmp_path / "b.png").shape == (33, 41, 3)


@pytest.mark.parametrize("way", [(), ("--classic", "dullrazor"), ("--classic", "opencv")])
def test_hair_is_painted_over_and_the_rest_is_kept(way, tmp_path):
    skin = np.full((90, 120, 3), 200, np.uint8)
    skin[40:42, 10:100] = 40
    cv2.imwrite(str(tmp_path / "in.png"), skin)
    done = call("dehair", tmp_path / "in.png", "--out", tmp_path / "out.png", "--steps", 25, "--device", "cpu", *way)
    assert done.exit_code == 0, done.output
    after = opened(tmp_path / "out.png")
    assert np.array_equal(after[:30], skin[:30])
    assert np.array_equal(after[60:], skin[60:])
    assert after[40:42, 20:90].mean() > 100


def test_nothing_found_is_said_and_a_mask_is_shown(tmp_path):
    cv2.imwrite(str(tmp_path / "in.png"), np.full((90, 120, 3), 200, np.uint8))
    out = tmp_path / "new" / "out.png"
    done = call("dehair", tmp_path / "in.png", "--out", out, "--device", "cpu", "--preview")
    assert "nothing painted" in done.stdout
    assert np.array_equal(opened(out), opened(tmp_path / "in.png"))
    assert opened(out.with_name("out-mask.png")).max() == 0


def test_a_palette_keeps_its_transparency(tmp_path):
    colours = Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8), 300).reshape(30, 40), mode="P")
    colours.putpalette([10, 20, 30, 200, 10, 10, 10, 200, 10, 250, 250, 250])
    colours.save(tmp_path / "in.png", transparency=2)
    done = call("denoise", tmp_path / "in.png", "--out", tmp_path / "out.png", *SHORT)
    assert done.exit_code == 0, done.output
    assert np.array_equal(opened(tmp_path / "out.png")[..., 3], np.where(np.array(colours) == 2, 0, 255))


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_picture_keeps_depth_and_transparency(turn, tmp_path):
    """As Pillow turns it, in 16 bits too."""
    exif = Image.Exif()
    exif[0x0112] = turn
    values = np.random.default_rng(0).integers(0, 256, (17, 23, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "in.png", exif=exif)
    found = read(tmp_path / "in.png")
    with Image.open(tmp_path / "in.png") as file:
        upright = np.array(ImageOps.exif_transpose(file))
    assert np.array_equal((found.values[0].permute(1, 2, 0) * 255).round().numpy(), upright[..., :3])
    assert np.array_equal((found.alpha[0, 0] * 255).round().numpy(), upright[..., 3])


def test_a_turned_photograph_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 24), (200, 100, 50)).save(tmp_path / "in.jpg", exif=exif)
    done = call("denoise", tmp_path / "in.jpg", "--out", tmp_path / "out.png", *SHORT)
    assert done.exit_code == 0, done.output
    assert opened(tmp_path / "out.png").shape == (40, 24, 3)


def test_bad_use_is_a_sentence_and_exit_code_two(tmp_path):
    drawn(tmp_path / "in.png", bits=16)
    drawn(tmp_path / "clear.png", channels=4)
    drawn(tmp_path / "small.png", height=8)
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.full((40, 41), 0.5, np.float32)).save(tmp_path / "float.tif")
    image = tmp_path / "in.png"
    for arguments, words in (
        (("denoise", tmp_path / "none.png", "--out", tmp_path / "o.png"), "there is no file"),
        (("denoise", tmp_path / "text.png", "--out", tmp_path / "o.png"), "is not a picture"),
        (("denoise", tmp_path / "small.png", "--out", tmp_path / "o.png"), "41x8 pixels"),
        (("denoise", image, "--out", tmp_path / "o.jpg"), "16 bits"),
        (("denoise", tmp_path / "clear.png", "--out", tmp_path / "o.jpg"), "transparency"),
        (("denoise", image, "--out", tmp_path / "o.xyz"), "no kind of picture"),
        (("denoise", image, "--out", tmp_path / "text.png" / "o.png"), "cannot be written to"),
        (("denoise", image, "--out", tmp_path / "o.png", "--preset", "slow"), "paper or fast"),
        (
            ("inpaint", image, "--mask", tmp_path / "clear.png", "--out", tmp_path / "o.png", "--method", "x"),
            "no method x for this: choose one of inpaint,",
        ),
        (
            ("inpaint", image, "--mask", tmp_path / "clear.png", "--out", tmp_path / "o.png", "--method", "denoise"),
            "no method",
        ),
        (("denoise", image, "--out", tmp_path / "o.png", "--method", "superresolve-4"), "no method"),
        (("denoise", image, "--out", tmp_path / "o.png", "--method", "flash"), "no method"),
        (("inpaint", image, "--mask", tmp_path / "small.png", "--out", tmp_path / "o.png"), "41x33 pixels"),
        (("denoise", tmp_path / "float.tif", "--out", tmp_path / "o.png"), "floating point"),
        (("dehair", image, "--out", tmp_path / "o.png", "--classic", "wax"), "dullrazor or opencv"),
        (("paint", image, "--out", tmp_path / "o.png"), "no task paint: use denoise, dejpeg"),
        (("denoise", image, "--out", tmp_path / "o.png", "--mask", image), "denoise has no option --mask"),
        (("dehair", image, "--out", tmp_path / "o.png", "--preset", "fast"), "dehair has no option --preset"),
        (("inpaint", image, "--out", tmp_path / "o.png"), "inpaint needs --mask"),
        (("flash", image, "--out", tmp_path / "o.png"), "flash needs --flash"),
    ):
        done = call(*arguments)
        assert done.exit_code == 2, arguments
        assert words in done.stderr, done.stderr
        assert "Traceback" not in done.output
        assert not list(tmp_path.glob("o.*")), "nothing is written"


def test_rules_that_end_denoising_by_name(tmp_path):
    drawn(tmp_path / "in.png")
    done = call("denoise", tmp_path / "in.png", "--out", tmp_path / "out.png", *SHORT, "--stop", "held-out")
    assert done.exit_code == 0, done.output
    again = call("denoise", tmp_path / "in.png", "--out", tmp_path / "plain.png", *SHORT)
    assert again.exit_code == 0, again.output
    assert not np.array_equal(opened(tmp_path / "out.png"), opened(tmp_path / "plain.png")), "some pixels were left out"
    wrong = call("denoise", tmp_path / "in.png", "--out", tmp_path / "no.png", *SHORT, "--stop", "later")
    assert wrong.exit_code == 2
    assert "fixed, held-out, wmv, emv" in " ".join(wrong.output.replace("│", " ").split())


def test_a_mask_that_was_given_is_not_written_over(tmp_path):
    skin, mask = np.full((90, 120, 3), 200, np.uint8), np.zeros((90, 120), np.uint8)
    skin[40:42, 10:100], mask[40:42, 10:100] = 40, 255
    cv2.imwrite(str(tmp_path / "a.png"), skin)
    cv2.imwrite(str(tmp_path / "a-mask.png"), mask)
    given = (tmp_path / "a-mask.png").read_bytes()
    options = ("--mask", tmp_path / "a-mask.png", "--classic", "opencv", "--preview", "--device", "cpu")
    done = call("dehair", tmp_path / "a.png", "--out", tmp_path / "a.png", *options)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a-mask.png").read_bytes() == given
