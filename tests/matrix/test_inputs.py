"""Bad input: refused before any work, naming argument, value and what is accepted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from twofold import robust_pca

GOOD = np.outer(np.arange(1.0, 9.0), np.arange(1.0, 10.0))


@pytest.mark.parametrize(
    ("Y", "error", "message"),
    [
        (np.ones(5), ValueError, "Y: 1-D array of shape (5,)"),
        (np.ones((2, 3, 4)), ValueError, "Y: 3-D array"),
        (np.ones((0, 4)), ValueError, "no entries"),
        (np.full((3, 3), np.nan), ValueError, "every entry is NaN"),
        (np.array([[1.0, np.inf]]), ValueError, "contains inf"),
        (np.array([[1.0, -np.inf]]), ValueError, "contains inf"),
        (np.ones((2, 2), dtype=complex), TypeError, "complex128"),
        (torch.ones(2, 2, dtype=torch.complex64), TypeError, "complex64"),
        (np.array([["a", "b"]]), TypeError, "Y: dtype"),
        (np.array([["a", 1.0]], dtype=object), TypeError, "not numbers"),
        (3.0, ValueError, "0-D"),
    ],
)
def test_bad_matrix(Y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        robust_pca(Y)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 9}, "n_components=9: None or an integer from 0 to 8"),
        ({"n_components": -1}, "n_components=-1"),
        ({"n_components": 2.0}, "n_components=2.0"),
        ({"n_components": True}, "n_components=True"),
        ({"alpha": 0.0}, "alpha=0.0: None or a positive number"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"alpha": "big"}, "alpha='big'"),
        ({"method": "svd"}, "method='svd': accepted are 'three-act', 'descent'"),
        ({"tol": 0}, "tol=0"),
        ({"tol": 1.5}, "tol=1.5"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"max_iter": 10.0}, "max_iter=10.0"),
        ({"random_state": "x"}, "random_state='x'"),
        ({"random_state": -1}, "random_state=-1"),
        ({"device": "nonsense"}, "device='nonsense'"),
        ({"symmetric": True}, "symmetric=True: accepted with method='descent' only"),
        ({"start_scale": 1e-3}, "start_scale=0.001: accepted with method='descent' only"),
        ({"method": "descent", "symmetric": True}, "square"),
        ({"method": "descent", "start_scale": -1.0}, "start_scale=-1.0"),
        ({"method": "descent", "n_components": 2}, "n_components=2"),
    ],
)
def test_bad_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is checked below)
        robust_pca(GOOD, **options)
    assert message in str(caught.value)


def test_bad_dtype() -> None:
    with pytest.raises(TypeError, match="float16"):
        robust_pca(GOOD, dtype=torch.float16)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="device='cuda'"):
        robust_pca(GOOD, device="cuda")


def test_objects_that_are_numbers_are_read() -> None:
    table = GOOD.astype(object)
    table[0, 0] = None
    solution = robust_pca(table)
    assert solution.low_rank[0, 0] == pytest.approx(1.0)


def test_read_only_and_byte_swapped_arrays() -> None:
    frozen = GOOD.copy()
    frozen.flags.writeable = False
    np.testing.assert_allclose(robust_pca(frozen).low_rank, GOOD)
    np.testing.assert_allclose(robust_pca(GOOD.astype(">f8")).low_rank, GOOD)


def test_a_mask_marks_missing_entries() -> None:
    Y = np.ma.masked_array(GOOD.astype(int), mask=np.zeros(GOOD.shape, dtype=bool))
    Y[2, 3] = 10**6
    Y[2, 3] = np.ma.masked
    solution = robust_pca(Y)
    np.testing.assert_allclose(solution.low_rank, GOOD, rtol=1e-9)
    assert not solution.outliers.any()
    assert solution.certificate is not None
    assert solution.certificate.verify(Y) < 1e-9
