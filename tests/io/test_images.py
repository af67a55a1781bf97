"""Images keep their depth on the way in and out; other libraries read what we write, and write what we read."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import tifffile
from PIL import Image

from twofold.io.errors import FileError
from twofold.io.image_writing import SUFFIXES, encode_image
from twofold.io.images import read_image
from twofold.io.pillow import Picture, orient

RNG = np.random.default_rng(0)
SHAPES = {"grey": (9, 7), "grey+alpha": (9, 7), "RGB": (9, 7, 3), "RGBA": (9, 7, 4)}
LOSSLESS = {
    "uint8": (".png", ".tif", ".bmp", ".webp"),
    "uint16": (".png", ".tif"),
    "float32": (".tif",),
    "float64": (".tif",),
}


def make(dtype, shape):
    return (
        RNG.random(shape).astype(dtype)
        if dtype.startswith("f")
        else RNG.integers(0, np.iinfo(dtype).max, shape, dtype)
    )


def write(path, picture):
    path.write_bytes(encode_image(path, picture))
    return path


@pytest.mark.parametrize(
    ("dtype", "suffix"), [(dtype, suffix) for dtype, suffixes in LOSSLESS.items() for suffix in suffixes]
)
@pytest.mark.parametrize("kind", SHAPES)
def test_round_trip(tmp_path, dtype, suffix, kind):
    pixels = make(dtype, SHAPES[kind])
    alpha = make(dtype, (9, 7)) if kind == "grey+alpha" else None
    if suffix == ".bmp" and kind.endswith(("A", "alpha")):
        with pytest.raises(FileError, match="transparency"):
            encode_image(tmp_path / "a.bmp", Picture(pixels, alpha))
        return
    back = read_image(write(tmp_path / f"a{suffix}", Picture(pixels, alpha)))
    if back.pixels.ndim == 3 and pixels.ndim == 2:  # WebP and 16-bit PNG have no such grey: equal channels
        assert (np.ptp(back.pixels[..., :3], axis=2) == 0).all()
        if alpha is not None:
            np.testing.assert_array_equal(back.pixels[..., 3], alpha)
        back = Picture(back.pixels[..., 0], alpha)
    assert back.pixels.dtype == dtype
    np.testing.assert_array_equal(back.pixels, pixels)
    if alpha is not None:
        np.testing.assert_array_equal(back.alpha, alpha)


def test_deep_colour_png_by_another_reader(tmp_path):
    pixels = make("uint16", (9, 7, 3))
    path = write(tmp_path / "a.png", Picture(pixels, dpi=(300, 300)))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    np.testing.assert_array_equal(frame.to_ndarray(format="rgb48be"), pixels)
    with Image.open(path) as image:  # reads the high bytes
        np.testing.assert_array_equal(np.asarray(image), pixels >> 8)
        assert round(image.info["dpi"][0]) == 300


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compressions_of_other_writers(tmp_path, compression):
    pixels = make("uint8", (9, 7, 3))
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)


def test_deep_colour_tiff_under_lzw(tmp_path):
    pixels = make("uint16", (16, 12, 3))
    coder = av.CodecContext.create("tiff", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = 12, 16, "rgb48le", Fraction(1, 25)
    coder.options = {"compression_algo": "lzw"}
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
    data = b"".join(bytes(packet) for packet in [*coder.encode(frame), *coder.encode(None)])
    (tmp_path / "a.tif").write_bytes(data)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].compression.name == "LZW"
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)


def test_tiff_planes_and_inverted_grey(tmp_path):
    pixels = make("uint16", (9, 7, 3))
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)
    tifffile.imwrite(tmp_path / "b.tif", pixels[..., 0], photometric="miniswhite")
    back = read_image(tmp_path / "b.tif")
    np.testing.assert_array_equal(back.pixels, 65535 - pixels[..., 0])
    assert "white was zero" in back.notes[0]


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    rows, columns = np.mgrid[:32, :32] * 8
    pixels = np.stack([rows, columns, 255 - rows], axis=2).astype(np.uint8)
    back = read_image(write(tmp_path / "a.jpg", Picture(pixels)))
    assert np.abs(back.pixels.astype(int) - pixels).max() <= 8
    assert back.lossy


def test_profile_and_resolution_are_kept(tmp_path):
    for suffix in (".png", ".jpg", ".tif"):
        picture = Picture(make("uint8", (9, 7, 3)), icc_profile=b"profile" * 30, dpi=(240.0, 240.0))
        back = read_image(write(tmp_path / f"a{suffix}", picture))
        assert back.icc_profile == picture.icc_profile
        assert back.dpi == pytest.approx((240, 240), rel=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    pixels = np.zeros((16, 24), np.uint8)
    pixels[:8, :8] = 255  # the top left corner as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", exif=exif)
    seen = read_image(tmp_path / f"a{suffix}").pixels
    expected = orient(pixels, orientation)
    assert seen.shape == ((16, 24) if orientation < 5 else (24, 16))
    np.testing.assert_allclose(seen, expected, atol=12)
    again = read_image(write(tmp_path / f"b{suffix}", Picture(seen))).pixels
    np.testing.assert_allclose(again, expected, atol=20)


def test_orient_agrees_with_pillow():
    from PIL import ImageOps

    pixels = make("uint8", (5, 7))
    for orientation in range(1, 9):
        image = Image.fromarray(pixels)
        image.getexif()[0x0112] = orientation
        np.testing.assert_array_equal(orient(pixels, orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_conversions(tmp_path):
    image = Image.fromarray(make("uint8", (9, 7, 3)))
    image.quantize(16).save(tmp_path / "palette.png")
    image.quantize(16).save(tmp_path / "clear.png", transparency=3)
    image.convert("1").save(tmp_path / "bits.png")
    image.convert("1").save(tmp_path / "bits.tif")
    image.quantize(16).save(tmp_path / "palette.tif")
    image.save(tmp_path / "key.png", transparency=(1, 2, 3))
    for name, shape, words in (
        ("palette.png", (9, 7, 3), "converted to RGB"),
        ("palette.tif", (9, 7, 3), "converted to RGB"),
        ("clear.png", (9, 7, 4), "converted to RGBA"),
        ("bits.png", (9, 7), "8-bit grey"),
        ("bits.tif", (9, 7), "8-bit grey"),
        ("key.png", (9, 7, 4), "alpha channel"),
    ):
        picture = read_image(tmp_path / name)
        assert picture.pixels.shape == shape
        assert words in picture.notes[0]


def test_what_a_format_cannot_hold(tmp_path):
    for suffix in SUFFIXES:
        for dtype in ("uint16", "float32"):
            if suffix not in (*LOSSLESS[dtype], ".tiff"):
                with pytest.raises(FileError, match="cannot hold"):
                    encode_image(tmp_path / f"a{suffix}", Picture(make(dtype, (4, 4))))
    with pytest.raises(FileError, match="accepted are"):
        encode_image(tmp_path / "a.gif", Picture(make("uint8", (4, 4))))
