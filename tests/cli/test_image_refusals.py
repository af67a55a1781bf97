"""`twofold image` on input that it cannot use: one line that names it, status 2, nothing written."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image


def test_missing_file(refused, tmp_path):
    assert "nowhere.png: no such file" in refused("image", tmp_path / "nowhere.png")


def test_folder(refused, tmp_path):
    assert "is a folder" in refused("image", tmp_path, "-o", tmp_path / "o.png")


def test_empty_file(refused, tmp_path):
    (tmp_path / "empty.png").touch()
    assert "empty.png: is empty" in refused("image", tmp_path / "empty.png")


def test_truncated_png(refused, photo):
    photo.write_bytes(photo.read_bytes()[:-600])
    assert "photo.png: damaged image" in refused("image", photo)


def test_truncated_16_bit_png(refused, tmp_path):
    from twofold.io.png16 import encode

    path = tmp_path / "deep.png"
    pixels = np.random.default_rng(0).integers(0, 65536, (32, 32, 3)).astype(np.uint16)
    path.write_bytes(encode(pixels, path)[:3000])
    assert "deep.png: damaged" in refused("image", path)


def test_truncated_tiff(refused, tmp_path):
    import tifffile

    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint16))
    path.write_bytes(path.read_bytes()[:3000])
    assert "cut.tif: damaged" in refused("image", path)


@pytest.mark.parametrize("name", ["text.png", "text.jpg", "text.tif"])
def test_text_under_the_name_of_an_image(refused, tmp_path, name):
    (tmp_path / name).write_text("Dear reader, this is no image.")
    assert f"{name}: is not an image" in refused("image", tmp_path / name)


@pytest.mark.parametrize("name", ["moving.gif", "moving.png", "moving.webp", "pages.tif"])
def test_several_frames(refused, tmp_path, name):
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 100, 200)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert "single picture is accepted" in refused("image", tmp_path / name)


@pytest.mark.parametrize("name", ["print.jpg", "print.tif"])
def test_cmyk(refused, tmp_path, name):
    Image.new("CMYK", (8, 8)).save(tmp_path / name)
    assert "CMYK" in refused("image", tmp_path / name)


def test_decompression_bomb_is_refused_by_its_header(refused, tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
    (tmp_path / "bomb.png").write_bytes(bomb + chunk(b"IEND", b""))
    line = refused("image", tmp_path / "bomb.png")
    assert "bomb.png: 60000×60000" in line
    assert "--max-pixels" in line


@pytest.mark.usefixtures("tiny_presets")
def test_max_pixels(refused, twofold, photo):
    assert "32×24" in refused("image", photo, "--max-pixels", 700)
    assert twofold("image", photo, "--max-pixels", 768, "--preset", "fast").status == 0


def test_float_with_nan(refused, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "nan.tif", np.full((8, 8), np.nan, np.float32))
    assert "nan" in refused("image", tmp_path / "nan.tif")


def test_int32_tiff(refused, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "deep.tif", np.ones((8, 8), np.int32))
    assert "int32" in refused("image", tmp_path / "deep.tif")


def test_mask_of_another_size(refused, photo, tmp_path):
    Image.new("L", (5, 6)).save(tmp_path / "mask.png")
    line = refused("image", photo, "--mask", tmp_path / "mask.png")
    assert "mask.png: the mask is 5×6 pixels; 32×24" in line


def test_mask_in_jpeg(refused, photo, tmp_path):
    Image.new("L", (32, 24)).save(tmp_path / "mask.jpg")
    assert "mask.jpg: JPEG" in refused("image", photo, "--mask", tmp_path / "mask.jpg")


def test_output_that_is_an_input(refused, photo):
    assert "is an input as well" in refused("image", photo, "-o", photo, "--force")


def test_output_that_is_a_link_to_an_input(refused, photo, tmp_path):
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "hard.png").hardlink_to(photo)
    assert "is an input as well" in refused("image", photo, "-o", tmp_path / "link.png", "--force")
    assert "is an input as well" in refused("image", photo, "-o", tmp_path / "hard.png", "--force")


def test_existing_output_without_force(refused, photo):
    photo.with_name("photo_clean.png").write_text("mine")
    assert "exists already; --force" in refused("image", photo)


def test_two_outputs_of_one_name(refused, photo, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.png").write_bytes(photo.read_bytes())
    assert "two outputs" in refused("image", photo, tmp_path / "other" / "photo.png", "-o", tmp_path / "out")
    assert "two outputs" in refused("image", photo, "-o", tmp_path / "a.png", "--figure", tmp_path / "a.png")


def test_output_folder_that_is_missing_or_a_file_or_closed(refused, photo, tmp_path):
    assert "no such folder" in refused("image", photo, "-o", tmp_path / "no" / "a.png")
    assert "a folder is accepted" in refused("image", photo, photo, "-o", photo)
    assert "cannot be written" in refused("image", photo, "-o", "/proc/a.png")


@pytest.mark.parametrize("name", ["a.gif", "a.xyz", "a"])
def test_output_of_an_unknown_kind(refused, photo, tmp_path, name):
    assert "accepted are .png" in refused("image", photo, "-o", tmp_path / name)


def test_output_that_cannot_hold_the_depth_or_the_transparency(refused, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((8, 8), np.uint16))
    assert "JPEG cannot hold uint16" in refused("image", tmp_path / "deep.tif", "-o", tmp_path / "a.jpg")
    Image.new("RGBA", (8, 8)).save(tmp_path / "clear.png")
    line = refused("image", tmp_path / "clear.png", "-o", tmp_path / "b.bmp")
    assert "transparency" in line


def test_figure_of_an_unknown_kind(refused, photo, tmp_path):
    assert "--figure" in refused("image", photo, "--figure", tmp_path / "figure.doc")


def test_one_figure_for_several_inputs(refused, photo, tmp_path):
    assert "a single input" in refused("image", photo, photo, "--figure", tmp_path / "f.png")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--preset", "quick"), ("--polarity", "up"), ("--group", "all"), ("--seed", "-1"), ("--seed", "x"),
        ("--max-pixels", "0"), ("--nonsense",), ("--device", "toaster"), ("--device", "cuda:99"),
    ],
)  # fmt: skip
def test_wrong_options(refused, photo, arguments):
    refused("image", photo, *arguments)


def test_no_input_and_unknown_commands(refused):
    refused("image")
    refused("picture", "a.png")
