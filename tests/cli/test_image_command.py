"""`twofold image` on good input: what comes out, where, and how it is told."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from twofold.image import presets

pytestmark = pytest.mark.usefixtures("tiny_presets")


def test_output_lies_beside_the_input_in_its_kind(twofold, photo):
    outcome = twofold("image", photo, "--preset", "fast")
    assert outcome.status == 0
    assert "photo_clean.png" in outcome.out
    assert outcome.err == ""  # progress is silent where stderr is no terminal
    with Image.open(photo.with_name("photo_clean.png")) as image:
        assert (image.mode, image.size) == ("RGB", (32, 24))


def test_json_of_one_input_is_flat(twofold, photo, tmp_path):
    facts = twofold("image", photo, "--preset", "fast", "-o", tmp_path / "out.tif", "--json").json
    assert {"seconds", "preset", "outlier_fraction", "status", "output"} <= set(facts)
    assert facts["preset"] == "fast"
    assert 0 <= facts["outlier_fraction"] <= 1
    assert tifffile.imread(tmp_path / "out.tif").shape == (24, 32, 3)


def test_several_inputs_go_to_a_folder_and_the_bad_one_is_named(twofold, photo, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    outcome = twofold("image", photo, bad, "--preset", "fast", "-o", tmp_path / "out", "--json")
    assert outcome.status == 1
    assert "bad.png" in outcome.err
    assert outcome.err.count("\n") == 1
    assert len(outcome.json["results"]) == 1
    assert outcome.json["failed"][0]["input"] == str(bad)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["photo_clean.png"]


def test_no_usable_input_among_several_is_status_2(twofold, tmp_path):
    outcome = twofold("image", tmp_path / "a.png", tmp_path / "b.png", "--json")
    assert outcome.status == 2
    assert outcome.json["results"] == []
    assert outcome.err.count("\n") == 2


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_figure_and_outlier_map(twofold, photo, tmp_path, suffix):
    figure, outliers = tmp_path / f"figure{suffix}", tmp_path / "outliers.png"
    outcome = twofold("image", photo, "--preset", "fast", "--figure", figure, "--outliers", outliers)
    assert outcome.status == 0
    head = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert figure.read_bytes().startswith(head)
    with Image.open(outliers) as image:
        assert (image.mode, image.size) == ("RGB", (32, 24))


def test_masked_pixels_are_outliers(twofold, photo, tmp_path):
    mask = np.zeros((24, 32), np.uint8)
    mask[3:6, 4:9] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    found = tmp_path / "outliers.png"
    outcome = twofold("image", photo, "--mask", tmp_path / "mask.png", "--outliers", found, "--preset", "fast")
    assert outcome.status == 0
    with Image.open(found) as image:
        assert (np.asarray(image)[3:6, 4:9] == 255).all()


def test_transparency_passes_through(twofold, tmp_path):
    rows, columns = np.mgrid[:16, :16] * 15
    pixels = np.stack([rows, columns, 255 - rows, 255 - columns], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    Image.fromarray(pixels[..., [0, 3]].copy(), "LA").save(tmp_path / "la.png")
    assert twofold("image", tmp_path / "rgba.png", tmp_path / "la.png", "--preset", "fast").status == 0
    with Image.open(tmp_path / "rgba_clean.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[..., 3], pixels[..., 3])
    with Image.open(tmp_path / "la_clean.png") as image:
        assert image.mode == "LA"
        np.testing.assert_array_equal(np.asarray(image)[..., 1], pixels[..., 3])


def test_conversions_are_said(twofold, tmp_path):
    rows, columns = np.mgrid[:16, :16] * 15
    picture = Image.fromarray(np.dstack([rows, columns, 255 - rows]).astype(np.uint8))
    picture.quantize(256).save(tmp_path / "palette.png")
    picture.convert("1").save(tmp_path / "bits.png")
    outcome = twofold("image", tmp_path / "palette.png", tmp_path / "bits.png", "--preset", "fast")
    assert "palette image: converted to RGB" in outcome.err
    assert "1-bit image: converted to 8-bit grey" in outcome.err


def test_a_gif_becomes_a_png_and_that_is_said(twofold, photo, tmp_path):
    with Image.open(photo) as image:
        image.convert("P").save(tmp_path / "still.gif")
    outcome = twofold("image", tmp_path / "still.gif", "--preset", "fast")
    assert "written as .png" in outcome.err
    assert (tmp_path / "still_clean.png").exists()


def test_a_failed_run_is_status_1(twofold, photo, monkeypatch):
    from dataclasses import replace

    import twofold.image.recover as module
    from twofold.status import Status

    real = module.recover_image
    failed = Status("diverged", False, "It diverged.", "Lower alpha.")
    monkeypatch.setattr(module, "recover_image", lambda *a, **k: replace(real(*a, **k), status=failed))
    outcome = twofold("image", photo, "--preset", "fast", "--json")
    assert outcome.status == 1
    assert outcome.json["status"] == "diverged"
    assert "Lower alpha." in outcome.err


def test_presets_are_those_of_the_library():
    from typing import get_args

    from twofold.cli.image import Preset

    assert set(get_args(Preset)) == set(presets.PRESETS)


def test_dry_run_tells_time_and_memory_and_writes_nothing(twofold, photo):
    before = sorted(photo.parent.iterdir())
    outcome = twofold("image", photo, "--preset", "fast", "--dry-run")
    assert outcome.status == 0
    assert "preset fast: about " in outcome.out
    assert "GiB of memory" in outcome.out
    facts = twofold("image", photo, "--preset", "fast", "--dry-run", "--json").json
    assert facts["tiles"] == 1
    assert facts["seconds"] > 0
    assert sorted(photo.parent.iterdir()) == before


def test_a_time_limit_is_kept_or_refused(twofold, refused, photo):
    assert "about" in refused("image", photo, "--time-limit", "0.001")
    assert twofold("image", photo, "--preset", "fast", "--time-limit", "1000").status == 0


def test_a_checkpoint_is_removed_with_the_result_and_goes_on_before(twofold, photo, tmp_path, monkeypatch):
    from twofold.image.checkpoint import Checkpoint

    monkeypatch.setattr(Checkpoint, "is_due", True)
    state = tmp_path / "state.safetensors"
    whole = twofold("image", photo, "--preset", "fast", "-o", tmp_path / "whole.png")
    assert whole.status == 0
    written = []
    real = Checkpoint.write

    def killed_at_the_fifth(self, content):
        real(self, content)
        written.append(content)
        if len(written) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "write", killed_at_the_fifth)
    assert (
        twofold("image", photo, "--preset", "fast", "-o", tmp_path / "out.png", "--checkpoint", state).status == 130
    )
    assert state.exists()
    assert not (tmp_path / "out.png").exists()
    again = twofold("image", photo, "--preset", "fast", "-o", tmp_path / "out.png", "--checkpoint", state)
    assert again.status == 0
    assert not state.exists()
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_a_checkpoint_is_a_file_of_its_own(twofold, refused, photo, tmp_path):
    before = photo.read_bytes()
    assert "an input or output as well" in refused("image", photo, "--checkpoint", photo)
    clean = photo.with_name("photo_clean.png")
    assert "an input or output as well" in refused("image", photo, "--checkpoint", clean)
    assert photo.read_bytes() == before
    (tmp_path / "text").write_text("mine")
    assert "is no checkpoint of twofold" in refused("image", photo, "--checkpoint", tmp_path / "text")
    assert (tmp_path / "text").read_text() == "mine"
    assert "one of them" in refused("image", photo, "--checkpoint", tmp_path / "new", "--time-limit", "10")
    assert "one file for 2 inputs" in refused("image", photo, photo, "--checkpoint", tmp_path / "new")
