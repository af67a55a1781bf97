"""Tiles: they cover the image, weights add up, no seams, memory and time plans."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from twofold.datasets import salt_and_pepper
from twofold.image.polish import Restored
from twofold.image.recover import foretell, recover_image
from twofold.image.tiles import OVERLAP, Canvas, tiles_of
from twofold.metrics import psnr


@pytest.mark.parametrize("size", [(128, 128), (129, 500), (700, 128), (333, 777)])
def test_tiles_cover_and_overlap(size: tuple[int, int]) -> None:
    tiles = tiles_of(*size, side=128)
    count = np.zeros(size, dtype=int)
    for tile in tiles:
        assert tile.rows.stop - tile.rows.start == 128
        count[tile.rows, tile.columns] += 1
    assert count.min() >= 1
    for sides in ({(t.rows.start, t.rows.stop) for t in tiles}, {(t.columns.start, t.columns.stop) for t in tiles}):
        ordered = sorted(sides)
        for (_, stop), (start, _) in itertools.pairwise(ordered):
            assert stop - start >= OVERLAP


def test_weights_add_up_and_equal_shares_come_back_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    whole, share = torch.rand(3, 300, 410, generator=generator), torch.zeros(3, 300, 410)
    canvas = Canvas(whole)
    for tile in tiles_of(300, 410, 128):
        canvas.add(tile, Restored(tile.of(whole), tile.of(share), tile.of(whole) ** 2, noise=0.25))
    blended = canvas.blended()
    torch.testing.assert_close(blended.image, whole)
    torch.testing.assert_close(blended.squared_error, whole**2)
    assert not blended.probability.any()
    assert blended.noise == pytest.approx(0.25)
    assert float(canvas.weight.min()) > 0


def test_a_tiled_picture_has_no_seams_and_keeps_its_good_entries() -> None:
    rows, columns = np.mgrid[:140, :260]
    clean = (120 + 60 * np.sin(rows / 17) + 50 * np.cos(columns / 13)).astype(np.uint8)
    noisy = salt_and_pepper(clean, 0.3, random_state=0)
    tiled = recover_image(noisy, tile=128, preset="fast")
    whole = recover_image(noisy, preset="fast")
    assert psnr(clean, tiled.image) > psnr(clean, whole.image) - 2
    kept = tiled.outlier_probability == 0
    np.testing.assert_array_equal(tiled.image[kept], noisy[kept])
    # Differences between neighbours are no larger at the tiles' edges than elsewhere.
    error = np.abs(np.diff(tiled.image.astype(float) - clean, axis=1)).mean(axis=0)
    edges = sorted(
        {t.columns.start for t in tiles_of(140, 260, 128)} | {t.columns.stop for t in tiles_of(140, 260, 128)}
    )
    inner = [edge - 1 for edge in edges if 0 < edge < 260]
    assert error[inner].max() < error.mean() + 6 * error.std()


def test_a_checkpoint_goes_on_within_a_tile(tmp_path, monkeypatch) -> None:
    from twofold.image.checkpoint import Checkpoint

    monkeypatch.setattr(Checkpoint, "is_due", True)
    noisy = salt_and_pepper(
        np.full((128, 200), 90, np.uint8) + np.arange(200, dtype=np.uint8) // 4, 0.2, random_state=0
    )
    options = {"tile": 128, "preset": "fast", "steps": 10}
    whole = recover_image(noisy, **options)
    left = 14  # in the second tile

    def observer(record):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover_image(noisy, checkpoint=tmp_path / "run", observer=observer, **options)
    again = recover_image(noisy, checkpoint=tmp_path / "run", **options)
    np.testing.assert_array_equal(again.image, whole.image)


def test_a_time_limit_takes_steps_away_and_is_refused_where_nothing_fits() -> None:
    noisy = salt_and_pepper(np.full((64, 64), 90, np.uint8), 0.2, random_state=0)
    with pytest.raises(ValueError, match=r"time_limit=0.01: about \d+ s or more are accepted"):
        recover_image(noisy, time_limit=0.01)
    with pytest.raises(ValueError, match="not accepted with steps"):
        recover_image(noisy, time_limit=10, steps=4)
    with pytest.raises(ValueError, match="time_limit=-1: a positive"):
        recover_image(noisy, time_limit=-1)
    full = recover_image(noisy, time_limit=1e5)
    np.testing.assert_array_equal(full.image, recover_image(noisy).image)


def test_foretelling_changes_nothing() -> None:
    noisy = salt_and_pepper(np.full((160, 160), 90, np.uint8), 0.2, random_state=0)
    before = noisy.copy()
    seconds, n_tiles, extra = foretell(noisy)
    assert seconds > 0
    np.testing.assert_array_equal(noisy, before)
    assert n_tiles == 1
    assert extra == 40 * 160 * 160
    assert foretell(np.zeros((1000, 1000), np.uint8), preset="fast")[1] == 9
