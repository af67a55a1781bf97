"""`twofold demo`: everything it promises is there, and a second run replaces it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import skimage.data
from PIL import Image


@pytest.mark.usefixtures("tiny_presets")
def test_demo_writes_figures_and_a_report(twofold, tmp_path, monkeypatch):
    small = skimage.data.astronaut()[:384, 64:448][::16, ::16]
    monkeypatch.setattr(skimage.data, "astronaut", lambda: np.pad(small, ((0, 360), (64, 0), (0, 0)))[:24])
    folder = tmp_path / "new" / "demo"
    first = twofold("demo", "--out", folder)
    assert first.status in (0, 1), first.err  # 1: so small a picture, so small a network
    assert "4 found, 4 true" in first.out
    assert "dB" in first.out
    assert str(folder / "report.html") in first.out
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "photograph.png", "photograph_clean.png", "photograph_corrupted.png", "photograph_recovered.png",
        "report.html", "sensors.png", "sensors_recovered.npz",
    ]  # fmt: skip
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing to load from elsewhere
    with Image.open(folder / "sensors.png") as image:
        assert min(image.size) > 500
    with np.load(folder / "sensors_recovered.npz") as result:
        assert int(result["rank"]) == 4
    assert twofold("demo", "--out", folder).status == first.status
    assert sorted(path.name for path in folder.iterdir()) == names


def test_demo_refusals(refused, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "not a folder" in refused("demo", "--out", tmp_path / "file")
    refused("demo", "--out", tmp_path / "new", "--device", "toaster")
