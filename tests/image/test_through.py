"""Images behind an operator: every kind of operator, known answers, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg as spl
import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.presets import PRESETS
from twofold.image.recover import recover_image
from twofold.image.through import corrected, measured
from twofold.metrics import psnr
from twofold.operators import LinearMap

ROWS, COLUMNS = np.mgrid[:96, :80]
GREY = (0.5 + 0.25 * np.sin(ROWS / 11) + 0.2 * np.cos(COLUMNS / 9)).astype(np.float32)
COLOUR = np.stack([GREY, GREY[::-1], 1 - GREY], axis=2)
CPU = torch.device("cpu")
ONE_NETWORK = replace(PRESETS["balanced"], n_small=1)


def halved(x: Tensor) -> Tensor:
    """Down-sampling by means of 2×2 pixels."""
    return F.avg_pool2d(x, 2)


def blurred(x: Tensor) -> Tensor:
    """A box of 3×3 pixels, zero beyond the border."""
    kernel = torch.full((x.shape[1], 1, 3, 3), 1 / 9)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def seen(function: Any, image: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1).copy())[None]
    y = function(x)[0].numpy().transpose(1, 2, 0)
    return y[..., 0] if image.ndim == 2 else y


def struck(y: np.ndarray, share: float, value: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    where = np.random.default_rng(0).random(y.shape) < share
    return np.where(where, value, y).astype(y.dtype), where


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
def test_down_sampling_with_impulses(image: np.ndarray) -> None:
    y, where = struck(seen(halved, image), 0.15)
    solution = recover_image(y, operator=halved, shape=image.shape, preset=ONE_NETWORK)
    assert (solution.image.shape, solution.image.dtype) == (image.shape, np.float32)
    assert solution.outlier_probability.shape == y.shape
    enlarged = np.repeat(np.repeat(y, 2, axis=0), 2, axis=1)
    assert psnr(image, np.clip(solution.image, 0, 1)) > psnr(image, enlarged) + 8
    found = solution.outlier_probability > 0.5
    assert found[where].mean() > 0.9
    assert found[~where].mean() < 0.05
    assert solution.status.success


def test_all_kinds_of_operators_are_one() -> None:
    y, _ = struck(seen(halved, GREY), 0.1)
    weights = F.avg_pool2d(torch.eye(96 * 80).reshape(-1, 1, 96, 80), 2).reshape(96 * 80, -1).numpy().T.copy()
    matrix = scipy.sparse.csr_array(weights)
    kinds: dict[str, Any] = {
        "torch function": halved,
        "dense": weights,
        "sparse": matrix,
        "LinearOperator": spl.aslinearoperator(matrix),
        "LinearMap": LinearMap(
            lambda x: F.avg_pool2d(x[None, None], 2).reshape(-1),
            lambda v: F.interpolate(v.reshape(1, 1, 48, 40), scale_factor=2)[0, 0] / 4,
        ),
        "callables": (
            lambda x: F.avg_pool2d(x.reshape(1, 1, 96, 80), 2).reshape(-1),
            lambda v: (F.interpolate(v.reshape(1, 1, 48, 40), scale_factor=2) / 4).reshape(-1),
        ),
    }
    first = None
    for name, operator in kinds.items():
        image = recover_image(y, operator=operator, shape=GREY.shape, preset="fast", steps=8).image
        first = image if first is None else first
        assert np.abs(image - first).mean() < 5e-3, name  # rounding alone tells them apart


def test_inpainting_keeps_what_was_measured() -> None:
    kept = np.random.default_rng(1).random(GREY.shape) < 0.6
    y, where = struck(GREY[kept], 0.1)
    operator = LinearMap.entries(torch.from_numpy(kept))
    solution = recover_image(y, operator=operator, shape=GREY.shape, preset=ONE_NETWORK)
    assert solution.outliers.shape == y.shape
    assert psnr(GREY, np.clip(solution.image, 0, 1)) > 28
    trusted = (solution.outlier_probability < 0.01) & ~where
    assert np.abs(solution.image[kept][trusted] - y[trusted]).max() < 0.02


def test_blur_of_bytes_comes_back_in_bytes() -> None:
    clean = np.rint(255 * COLOUR).astype(np.uint8)
    y = np.rint(seen(blurred, clean.astype(np.float32))).astype(np.uint8)
    noisy, _ = struck(y, 0.1, 255)
    solution = recover_image(noisy, operator=blurred, preset=ONE_NETWORK)
    assert (solution.image.shape, solution.image.dtype) == (clean.shape, np.uint8)
    inside = (slice(4, -4), slice(4, -4))
    assert psnr(clean[inside], solution.image[inside]) > 27


def test_random_projections_need_the_range_and_have_it_in_any_units() -> None:
    rng = np.random.default_rng(0)
    image = 100 + 50 * GREY[:24, :20].astype(np.float64)
    A = rng.standard_normal((400, 480))
    y, where = struck(A @ image.ravel(), 0.1, 9000.0)
    with pytest.raises(ValueError, match="data_range=None: the operator changes the level"):
        recover_image(y, operator=A, shape=image.shape)
    solution = recover_image(y, operator=A, shape=image.shape, data_range=(100, 150))
    error = np.abs(solution.image - image).mean() / 50
    assert error < 0.05
    assert (solution.outlier_probability > 0.5)[where].mean() > 0.9


def test_scale_offset_and_back() -> None:
    y = seen(halved, 100 + 50 * GREY).astype(np.float64)
    found = measured(y, None, halved, GREY.shape, (100, 150), CPU)
    x = torch.from_numpy(GREY)[None]
    torch.testing.assert_close(found.operator.forward(x), found.values, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(found.image_from(x), 100 + 50 * GREY, rtol=1e-5)
    np.testing.assert_allclose(found.outliers_from(x, torch.ones_like(found.values)), 0, atol=1e-3)


def test_correction_solves_its_least_squares() -> None:
    rng = np.random.default_rng(0)
    A = torch.from_numpy(rng.standard_normal((30, 12)))
    operator = LinearMap.from_matrix(A, (1, 3, 4))
    x, y, w = (torch.from_numpy(rng.random(shape)) for shape in ((1, 3, 4), (30,), (30,)))
    found = corrected(x, y, w, operator) - x
    pull = A.T @ (w * (y - A @ x.reshape(-1)))
    ridge = 1e-2 * float((A.T @ (A @ pull)).norm() / pull.norm())
    expected = torch.linalg.solve(A.T @ (w[:, None] * A) + ridge * torch.eye(12), pull)
    torch.testing.assert_close(found.reshape(-1), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"operator": lambda x: x**2}, ValueError, "adjoint does not belong"),
        ({"operator": lambda x: x[:, :, ::2]}, ValueError, "operator: gives 3840 numbers; a tensor of 7680"),
        ({"operator": lambda x: 1 / 0}, ValueError, "operator: fails on a tensor of shape"),
        ({"operator": np.ones((3, 4))}, ValueError, "operator: shape"),
        ({"operator": "blur"}, TypeError, "operator: str"),
        ({"operator": blurred, "shape": (4,)}, ValueError, "shape="),
        ({"operator": blurred, "tile": 256}, ValueError, "tile=256: not accepted with an operator"),
        ({"operator": blurred, "data_range": (1.0, 0.0)}, ValueError, "data_range="),
        ({"operator": blurred, "mask": np.zeros((3, 3), bool)}, ValueError, "mask: shape"),
        ({"shape": (96, 80)}, ValueError, "shape=\\(96, 80\\): accepted with an operator only"),
    ],
)
def test_refused_before_any_work(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        recover_image(GREY, **options)
