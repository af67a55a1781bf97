"""Synthetic data are what they are said to be; metrics agree with scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.metrics
import torch

from twofold import datasets, metrics


def test_low_rank_plus_sparse_is_what_it_says():
    data = datasets.low_rank_plus_sparse((80, 60), 3, 0.2, missing_fraction=0.1, random_state=0)
    assert np.linalg.matrix_rank(data.low_rank) == data.rank == 3
    assert (data.outliers != 0).mean() == pytest.approx(0.2)
    assert np.isnan(data.observed).mean() == pytest.approx(0.1)
    limit = 2 * np.abs(data.low_rank).mean()
    size = np.abs(data.outliers).max()
    assert 0.98 * limit < size <= limit
    seen = ~np.isnan(data.observed)
    np.testing.assert_array_equal(data.observed[seen], (data.low_rank + data.outliers)[seen])


@pytest.mark.parametrize("condition", [1, 10, 100.0])
def test_condition_number_is_that_asked_for_and_the_size_of_the_entries_stays(condition):
    data = datasets.low_rank_plus_sparse((70, 50), 5, 0.1, condition=condition, random_state=0)
    sigma = np.linalg.svd(data.low_rank, compute_uv=False)
    assert sigma[0] / sigma[4] == pytest.approx(condition)
    np.testing.assert_allclose(sigma[:4] / sigma[1:5], condition ** (1 / 4))
    assert sigma[5] < 1e-12 * sigma[0]
    assert np.sqrt(np.mean(data.low_rank**2)) == pytest.approx(np.sqrt(5))


def test_float32_is_the_same_matrix_in_fewer_digits():
    options = {"missing_fraction": 0.1, "noise": 0.01, "random_state": 0}
    single = datasets.low_rank_plus_sparse((40, 30), 3, 0.2, dtype=np.float32, **options)
    double = datasets.low_rank_plus_sparse((40, 30), 3, 0.2, **options)
    for name in ("observed", "low_rank", "outliers"):
        assert getattr(single, name).dtype == np.float32
        assert getattr(double, name).dtype == np.float64
        np.testing.assert_allclose(getattr(single, name), getattr(double, name), rtol=1e-5, atol=1e-5)


def test_moving_blobs_are_a_still_background_and_what_covers_it():
    clip = datasets.moving_blobs(24, 32, 30, random_state=0)
    assert clip.observed.dtype == clip.low_rank.dtype == np.float32
    assert clip.observed.shape == (24 * 32, 30)
    sigma = np.linalg.svd(clip.low_rank, compute_uv=False)
    assert sigma[1] < 1e-5 * sigma[0]
    background = clip.outliers == 0
    np.testing.assert_array_equal(clip.observed[background], clip.low_rank[background])
    assert clip.observed.min() >= 0
    assert clip.observed.max() <= 255
    covered = ~background
    assert (covered.sum(0) > 0).all()  # something in every frame
    assert (covered[:, 1:] != covered[:, :-1]).any(axis=0).all()  # and it moves
    assert (datasets.moving_blobs(8, 8, 2, n_blobs=0, random_state=0).outliers == 0).all()
    noisy = datasets.moving_blobs(24, 32, 30, noise=1, random_state=0)
    np.testing.assert_array_equal(noisy.outliers, clip.outliers)
    assert (noisy.observed - clip.observed).std() == pytest.approx(1, rel=0.05)


def test_same_seed_same_bits():
    for make in (
        lambda seed: datasets.low_rank_plus_sparse(20, 2, 0.1, condition=9, random_state=seed).observed,
        lambda seed: datasets.moving_blobs(12, 10, 5, random_state=seed).observed,
        lambda seed: datasets.low_rank_plus_sparse(20, 2, 0.1, noise=0.1, random_state=seed).observed,
        lambda seed: datasets.sensor_matrix(40, 20, random_state=seed).observed,
        lambda seed: datasets.salt_and_pepper(np.full((20, 20), 7, np.uint8), 0.5, random_state=seed),
        lambda seed: datasets.random_valued_impulse(np.full((20, 20), 0.5), 0.5, random_state=seed),
    ):
        np.testing.assert_array_equal(make(3), make(3))
        assert not np.array_equal(make(3), make(4), equal_nan=True)


@pytest.mark.parametrize("shape", [1, (1, 5), (5, 1)])
def test_small_and_rank_zero(shape):
    data = datasets.low_rank_plus_sparse(shape, 0, 1.0, random_state=0)
    assert (data.low_rank == 0).all()
    assert (data.outliers != 0).all()


def test_sensor_matrix():
    log = datasets.sensor_matrix(random_state=0)
    assert np.linalg.matrix_rank(log.clean) == log.rank
    seen = ~np.isnan(log.observed)
    np.testing.assert_array_equal(seen & (log.observed != log.clean), log.faulty)
    assert (log.observed[log.faulty] == 0).any()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_impulses(dtype):
    top = np.iinfo(dtype).max if dtype.startswith("u") else 1
    image = np.full((60, 50, 3), top // 3 if dtype.startswith("u") else 0.3, dtype)
    before = image.copy()
    salted = datasets.salt_and_pepper(image, 0.4, random_state=0)
    struck = salted != image
    assert set(np.unique(salted[struck])) == {0, top}
    assert struck.mean() == pytest.approx(0.4, abs=0.02)
    assert (salted[struck] == top).mean() == pytest.approx(0.5, abs=0.03)
    random = datasets.random_valued_impulse(image, 0.4, random_state=0)
    assert salted.dtype == random.dtype == dtype
    assert (random != image).mean() == pytest.approx(0.4, abs=0.02)
    assert random[random != image].mean() == pytest.approx(top / 2, rel=0.05)
    np.testing.assert_array_equal(image, before)


def test_whole_pixels_are_struck_together():
    image = np.full((60, 50, 3), 100, np.uint8)
    salted = datasets.salt_and_pepper(image, 0.3, whole_pixels=True, random_state=0)
    assert (salted == salted[..., :1]).all()
    assert (salted[..., 0] != 100).mean() == pytest.approx(0.3, abs=0.02)
    random = datasets.random_valued_impulse(image, 0.3, whole_pixels=True, random_state=0)
    struck = (random != 100).any(axis=2)
    assert struck.mean() == pytest.approx(0.3, abs=0.02)
    assert (random[struck] != 100).mean() > 0.98  # all three channels, each with a value of its own
    grey = datasets.salt_and_pepper(image[..., 0], 0.3, whole_pixels=True, random_state=0)
    np.testing.assert_array_equal(grey, salted[..., 0])


@pytest.mark.parametrize("shape", [(90, 120), (90, 120, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_overlays_change_what_they_cover_and_nothing_else(shape, dtype):
    top = 1.0 if dtype is np.float64 else np.iinfo(dtype).max
    image = np.full(shape, 0.4 * top).astype(dtype)
    before = image.copy()
    for name, options in (("text_overlay", {}), ("scratches", {"n": 10}), ("dead_lines", {"fraction": 0.1})):
        covered = getattr(datasets, name)(image, random_state=0, **options)
        assert (covered.shape, covered.dtype) == (image.shape, image.dtype)
        changed = covered != image
        assert 0.02 < changed.mean() < 0.5
        if len(shape) == 3:
            assert (changed == changed[..., :1]).all()
        again = getattr(datasets, name)(image, random_state=0, **options)
        np.testing.assert_array_equal(covered, again)
    np.testing.assert_array_equal(image, before)
    lines = datasets.dead_lines(image, 0.1, random_state=0) != image
    rows = lines.reshape(90, -1).all(axis=1)
    assert (rows.sum(), lines.reshape(90, 120, -1).all(axis=(0, 2)).sum()) == (9, 12)
    coloured = datasets.text_overlay(image, colour=before.flat[0], random_state=0)
    np.testing.assert_array_equal(coloured, image)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: datasets.low_rank_plus_sparse(0, 0, 0.1), "shape"),
        (lambda: datasets.low_rank_plus_sparse(5, 6, 0.1), "rank"),
        (lambda: datasets.low_rank_plus_sparse(5, 1, 1.1), "outlier_fraction"),
        (lambda: datasets.low_rank_plus_sparse(5, 1, 0.1, missing_fraction=1), "missing_fraction"),
        (lambda: datasets.low_rank_plus_sparse(5, 1, 0.1, noise=math.nan), "noise"),
        (lambda: datasets.low_rank_plus_sparse(5, 1, 0.1, condition=0.5), "condition"),
        (lambda: datasets.low_rank_plus_sparse(5, 1, 0.1, condition=math.inf), "condition"),
        (lambda: datasets.moving_blobs(4, 9, 9), "height"),
        (lambda: datasets.moving_blobs(9, 9, 1), "n_frames"),
        (lambda: datasets.moving_blobs(9, 9, 9, n_blobs=-1), "n_blobs"),
        (lambda: datasets.moving_blobs(9, 9, 9, noise=-1), "noise"),
        (lambda: datasets.sensor_matrix(3), "n_times"),
        (lambda: datasets.sensor_matrix(spike_fraction=0.9), "spike_fraction"),
        (lambda: datasets.salt_and_pepper(np.zeros(5), 0.1), "image"),
        (lambda: datasets.salt_and_pepper(np.zeros((5, 5)), -0.1), "fraction"),
        (lambda: datasets.text_overlay(np.zeros((20, 20)), size=3), "size"),
        (lambda: datasets.scratches(np.zeros((20, 20)), -1), "n"),
        (lambda: datasets.scratches(np.zeros((20, 20)), width=0), "width"),
        (lambda: datasets.dead_lines(np.zeros((20, 20)), 1.5), "fraction"),
        (lambda: metrics.psnr([[1.0]], [[1.0, 2.0]]), "result"),
        (lambda: metrics.psnr([[2.0]], [[1.0]]), "data_range"),
        (lambda: metrics.psnr([[2.0]], [[1.0]], data_range=0), "data_range"),
        (lambda: metrics.ssim(np.zeros((4, 4)), np.zeros((4, 4))), "truth"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        call()


def test_errors_name_the_dtype():
    for call in (
        lambda: datasets.low_rank_plus_sparse(5, 1, 0.1, dtype=np.float16),
        lambda: datasets.moving_blobs(9, 9, 9, dtype=int),
    ):
        with pytest.raises(TypeError, match=r"^dtype"):
            call()


def test_psnr_and_ssim_agree_with_scikit_image():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    result = datasets.salt_and_pepper(truth, 0.1, random_state=1)
    expected = skimage.metrics.peak_signal_noise_ratio(truth, result)
    assert metrics.psnr(truth, result) == pytest.approx(expected)
    expected = skimage.metrics.structural_similarity(truth, result, channel_axis=2, data_range=255)
    assert metrics.ssim(truth, result) == pytest.approx(expected)


def test_tensors_mean_what_arrays_mean():
    truth = np.random.default_rng(0).integers(0, 129, (8, 8)) / 128  # numbers of bfloat16, too
    result = truth[::-1].copy()
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        shown = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in (truth, result)]
        assert metrics.psnr(*shown) == metrics.psnr(truth, result)
        assert metrics.relative_error(*shown) == metrics.relative_error(truth, result)


def test_masked_arrays_are_compared_where_nothing_is_masked():
    truth = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    result = truth[::-1]
    whole = np.ma.masked_array(truth, mask=np.zeros(truth.shape, dtype=bool))
    assert metrics.psnr(whole, result) == metrics.psnr(truth, result)  # in the range of uint8
    with pytest.raises(ValueError, match="result: 1 entries are masked"):
        metrics.psnr(truth, np.ma.masked_equal(np.arange(64).reshape(8, 8), 7))


def test_equal_is_perfect():
    truth = np.random.default_rng(0).random((8, 8))
    assert metrics.psnr(truth, truth) == math.inf
    assert metrics.relative_error(truth, truth) == 0
    assert metrics.relative_error(np.zeros(3), np.zeros(3)) == 0
    assert metrics.relative_error(np.zeros(3), np.ones(3)) == math.inf
