"""On a CUDA device: the same answers as on the processor, and the same bits each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import twofold
from tests.cut_off import cut_off_after
from tests.pictures import picture, salted
from tests.problems import low_rank_problem
from twofold.image import checkpoint as module
from twofold.metrics import psnr
from twofold.models.network import NetworkSignal

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CLEAN = picture("chelsea", 96)
NOISY, _ = salted(CLEAN, 0.5)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 37, 51), (2, 5, 40)])
def test_image_and_gradient_are_those_of_the_processor(
    padding: Any, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    images, gradients = [], []
    for device in ("cpu", "cuda"):
        signal = NetworkSignal(
            shape, padding=padding, optimizer=torch.optim.SGD, mixed_precision=False, device=device
        )
        for seed in range(2):  # of which the second counts
            images.append(signal.value().detach().cpu())
            pull = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5
            signal.descend(pull.to(device), 0.0)
        gradients.append([parameter.grad.cpu() for parameter in signal.network.parameters()])
    for image in images[1:]:
        torch.testing.assert_close(image, images[0], atol=1e-4, rtol=0)
    here, there = (torch.cat([g.flatten() for g in each]) for each in gradients)
    # Of a small image normalization divides by little: float32 is worth three digits.
    assert float((here - there).norm()) < 1e-2 * float(here.norm())


def test_a_value_outlives_the_next() -> None:
    signal = NetworkSignal((3, 32, 32), device="cuda")
    first = signal.value().detach()
    kept = first.clone()
    signal.descend(torch.ones(3, 32, 32, device="cuda"), 1e-2)
    assert not torch.equal(signal.value(), first)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_as_good_as_on_the_processor(preset: str) -> None:
    here, there = (twofold.recover_image(NOISY, preset=preset, device=device) for device in ("cuda", "cpu"))
    assert psnr(CLEAN, here.image) > psnr(CLEAN, there.image) - 0.5


@pytest.mark.parametrize(
    "options",
    [{"preset": "balanced", "steps": 100}, {"preset": "paper", "steps": 50}, {"group": "pixel", "steps": 80}],
)
def test_same_seed_same_bits(options: dict[str, Any]) -> None:
    one, two = (twofold.recover_image(NOISY, device="cuda", **options) for _ in range(2))
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.outlier_probability, two.outlier_probability)


@pytest.mark.parametrize("n_steps", [3, 35, 70])
@pytest.mark.parametrize("preset", ["balanced", "paper"])
def test_same_bits_wherever_it_was_cut_off(
    preset: str, n_steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Checkpoint, "is_due", True)
    options: dict[str, Any] = {"preset": preset, "steps": 80, "device": "cuda"}
    cut_off_after(n_steps, NOISY, tmp_path / "run", **options)
    again = twofold.recover_image(NOISY, checkpoint=tmp_path / "run", **options)
    whole = twofold.recover_image(NOISY, **options)
    np.testing.assert_array_equal(again.image, whole.image)


def test_through_an_operator() -> None:
    kernel = torch.ones(3, 1, 5, 5, device="cuda") / 25

    def blur(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, kernel, padding=2, groups=3)

    measured = blur(torch.from_numpy(CLEAN.astype(np.float32)).permute(2, 0, 1)[None].cuda())[0].permute(1, 2, 0)
    noisy, bad = salted(measured.round().cpu().numpy().astype(np.uint8), 0.2)
    solution = twofold.recover_image(noisy, operator=blur, shape=CLEAN.shape, device="cuda")
    assert psnr(CLEAN, solution.image) > psnr(CLEAN, noisy) + 8
    assert float(np.mean((solution.outlier_probability > 0.5) == bad)) > 0.98


def test_several_channels_and_sixteen_bits() -> None:
    smooth = gaussian_filter(np.random.default_rng(0).random((80, 80, 5)), (6, 6, 0))
    clean = np.rint(65535 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint16)
    bad = np.random.default_rng(1).random(clean.shape) < 0.3
    noisy = np.where(bad, 65535, clean).astype(np.uint16)
    solution = twofold.recover_image(noisy, device="cuda")
    assert psnr(clean, solution.image) > 35


def test_a_matrix() -> None:
    problem = low_rank_problem(300, 200, 10, 0.1)
    solution = twofold.robust_pca(torch.from_numpy(problem.Y).cuda())
    assert solution.status.success
    assert problem.error(solution.low_rank.cpu().numpy()) < 1e-7
