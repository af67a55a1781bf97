"""Label noise: the outliers of labels, their losses, and the classifier that carries them."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from twofold import RobustLabelClassifier
from twofold.labels import SMALL, LabelOutliers, train

X, Y = load_digits(return_X_y=True)
X_TRAIN, X_TEST, Y_TRAIN, Y_TEST = train_test_split(X / 16, Y, test_size=0.33, random_state=0, stratify=Y)


def mislabelled(share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(Y_TRAIN)) < share
    return np.where(wrong, (Y_TRAIN + rng.integers(1, 10, len(Y_TRAIN))) % 10, Y_TRAIN), wrong


NOISY, WRONG = mislabelled(0.4)


@pytest.fixture(scope="module")
def model() -> RobustLabelClassifier:
    return RobustLabelClassifier(random_state=0).fit(X_TRAIN, NOISY)


def test_obeys_the_estimator_contract():
    check_estimator(RobustLabelClassifier(epochs=60, random_state=0), expected_failed_checks={})


def test_wrong_labels_are_not_learned_by_heart(model):
    """Digits, 40% wrong: within three points of training on the right labels alone; cross entropy is not."""
    right = RobustLabelClassifier(robust=False, random_state=0).fit(X_TRAIN[~WRONG], NOISY[~WRONG])
    plain = RobustLabelClassifier(robust=False, random_state=0).fit(X_TRAIN, NOISY)
    best = right.score(X_TEST, Y_TEST)
    assert model.score(X_TEST, Y_TEST) >= best - 0.03
    assert plain.score(X_TEST, Y_TEST) <= best - 0.2
    assert (plain.corrected_labels_ == NOISY).mean() > 0.9  # by heart, though 40% are wrong
    assert (model.corrected_labels_ == Y_TRAIN).mean() > 0.95
    assert not plain.label_outliers_.any()


def test_it_says_which_labels_are_wrong(model):
    found = model.label_error_ > 0.5
    assert (found & WRONG).sum() / WRONG.sum() > 0.95
    assert (found & ~WRONG).sum() / found.sum() < 0.05
    chosen = np.arange(len(NOISY))
    named = np.searchsorted(model.classes_, NOISY)
    # s takes over the class that the label names, and gives to no class that it names.
    assert (model.label_outliers_[chosen, named] >= 0).all()
    others = model.label_outliers_.copy()
    others[chosen, named] = 0
    assert (others <= 0).all()
    taken = model.label_outliers_[chosen, named]
    assert np.median(taken[WRONG]) > 0.3 > 1e-3 > np.median(taken[~WRONG])


def test_more_epochs_do_no_harm(model):
    longer = clone(model).set_params(epochs=400).fit(X_TRAIN, NOISY)
    assert longer.score(X_TEST, Y_TEST) >= model.score(X_TEST, Y_TEST) - 0.01


def test_clean_labels_cost_nothing():
    robust = RobustLabelClassifier(epochs=100, random_state=0).fit(X_TRAIN, Y_TRAIN)
    plain = RobustLabelClassifier(epochs=100, robust=False, random_state=0).fit(X_TRAIN, Y_TRAIN)
    assert robust.score(X_TEST, Y_TEST) >= plain.score(X_TEST, Y_TEST) - 0.01


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = RobustLabelClassifier(epochs=2, random_state=1).fit(X_TRAIN, NOISY)
    assert torch.equal(torch.rand(3), expected)
    second = RobustLabelClassifier(epochs=2, random_state=1).fit(X_TRAIN, NOISY)
    np.testing.assert_array_equal(first.predict_proba(X_TEST), second.predict_proba(X_TEST))
    other = RobustLabelClassifier(epochs=2, random_state=2).fit(X_TRAIN, NOISY)
    assert (first.predict_proba(X_TEST) != other.predict_proba(X_TEST)).any()


def test_a_module_of_ones_own_is_copied_and_may_take_pictures():
    pictures = X_TRAIN.reshape(-1, 1, 8, 8)
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    before = [parameter.clone() for parameter in module.parameters()]
    model = RobustLabelClassifier(module, epochs=60, random_state=0).fit(pictures, NOISY)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))
    assert model.score(X_TEST.reshape(-1, 1, 8, 8), Y_TEST) > 0.9
    made = RobustLabelClassifier(lambda n_in, n_out: nn.Linear(n_in, n_out), epochs=3, random_state=0)
    assert isinstance(made.fit(X_TRAIN, NOISY).module_, nn.Linear)


def test_labels_of_any_kind_tables_and_tensors():
    names = np.array(["zero", "one", "two", "three"])[NOISY % 4]
    table = pd.DataFrame(X_TRAIN, columns=[f"p{i}" for i in range(64)])
    model = RobustLabelClassifier(epochs=2, random_state=0).fit(table, names)
    assert set(model.predict(table)) <= set(names)
    assert list(model.feature_names_in_[:2]) == ["p0", "p1"]
    same = RobustLabelClassifier(epochs=2, random_state=0).fit(torch.from_numpy(X_TRAIN), names)
    np.testing.assert_array_equal(same.predict(X_TEST), model.predict(pd.DataFrame(X_TEST, columns=table.columns)))
    assert pickle.loads(pickle.dumps(model)).score(table, names) == model.score(table, names)
    # Sixteenths, the digits' values, are numbers of bfloat16 too, which NumPy lacks.
    short = torch.from_numpy(X_TRAIN).to(torch.bfloat16)
    half = RobustLabelClassifier(epochs=2, random_state=0).fit(short, torch.from_numpy(NOISY))
    whole = RobustLabelClassifier(epochs=2, random_state=0).fit(X_TRAIN, NOISY)
    np.testing.assert_array_equal(half.predict_proba(short), whole.predict_proba(X_TRAIN))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"alpha": 0}, "alpha=0: a positive number"),
        ({"alpha": "10"}, "alpha='10'"),
        ({"start_scale": float("nan")}, "start_scale=nan"),
        ({"lr": -1}, "lr=-1"),
        ({"epochs": 0}, "epochs=0: a positive integer"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"weight_decay": -1}, "weight_decay=-1"),
        ({"device": "abacus"}, "device='abacus'"),
        ({"module": nn.Linear(64, 3)}, r"module: gives \(2, 3\) for 2 samples; \(2, 10\)"),
    ],
)
def test_refusals_come_before_work(options, named):
    with pytest.raises(ValueError, match=named):
        RobustLabelClassifier(**options).fit(X_TRAIN, NOISY)


def test_other_refusals():
    with pytest.raises(TypeError, match="module=3"):
        RobustLabelClassifier(3).fit(X_TRAIN, NOISY)
    with pytest.raises(ValueError, match="one class only, 7:"):
        RobustLabelClassifier().fit(X_TRAIN, np.full(len(X_TRAIN), 7))
    with pytest.raises(ValueError, match="y: 2 labels are masked"):
        RobustLabelClassifier().fit(X_TRAIN, np.ma.masked_array(NOISY, mask=np.arange(len(NOISY)) < 2))
    whole = np.ma.masked_array(NOISY, mask=np.zeros(len(NOISY), dtype=bool))
    assert RobustLabelClassifier(epochs=1).fit(X_TRAIN, whole).classes_.dtype == NOISY.dtype
    with pytest.raises(ValueError, match="NaN"):  # masked values are missing, not what lies below the mask
        RobustLabelClassifier().fit(np.ma.masked_array(X_TRAIN, mask=X_TRAIN == 0), NOISY)
    with pytest.raises(FloatingPointError, match=r"lr=1000000\.0: the training diverged"):
        RobustLabelClassifier(lr=1e6, epochs=20, random_state=0).fit(X_TRAIN * 1e3, NOISY)
    with pytest.raises(NotFittedError):
        RobustLabelClassifier().predict(X_TEST)
    with pytest.raises(ValueError, match="start_scale=0"):
        LabelOutliers(3, 2, start_scale=0)
    with pytest.raises(ValueError, match="n_classes=0"):
        LabelOutliers(3, 0)


def test_verbose_writes_epochs_to_standard_error(capsys):
    RobustLabelClassifier(epochs=20, verbose=1, random_state=0).fit(X_TRAIN[:50], NOISY[:50])
    written = capsys.readouterr()
    assert written.out == ""
    assert [line.split(":")[0] for line in written.err.splitlines()] == ["epoch 10/20", "epoch 20/20"]


def test_the_losses_are_those_of_the_formula():
    generator = torch.Generator().manual_seed(0)
    outliers = LabelOutliers(6, 4, dtype=torch.float64)
    with torch.no_grad():
        for parameter in outliers.parameters():
            parameter.copy_(0.5 * torch.rand(parameter.shape, generator=generator))
    indices, labels = torch.tensor([4, 0, 2]), torch.tensor([1, 3, 0])
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    outliers.loss(logits, indices, labels).backward()
    y = F.one_hot(labels, 4).double()
    g, h = (p.detach().clone().requires_grad_() for p in (outliers.g, outliers.h))
    z = logits.detach().clone().requires_grad_()
    p = z.softmax(1)

    def s(g, h):
        return g[indices] ** 2 * y - h[indices] ** 2 * (1 - y)

    q = (p + s(g, h.detach())).clamp(min=SMALL)
    entropy = -(y * (q / q.sum(1, keepdim=True)).log()).sum()
    misfit = (F.one_hot(p.argmax(1), 4) + s(g.detach(), h) - y).square().sum()
    expected = [
        *torch.autograd.grad(entropy, (z, g), retain_graph=True),
        torch.autograd.grad(misfit, h)[0],
    ]
    torch.testing.assert_close(logits.grad, expected[0])
    torch.testing.assert_close(outliers.g.grad.to_dense(), expected[1])
    torch.testing.assert_close(outliers.h.grad.to_dense(), expected[2])


def test_a_step_moves_the_outliers_of_the_batch_at_alpha_times_the_rate():
    """One sample a batch or all in one: a sample's outliers take the same first step."""
    labels, inputs = torch.tensor([0, 1, 1]), torch.eye(3)
    moved = []
    for size in (1, 3):
        module = nn.Linear(3, 2)
        with torch.no_grad():
            module.weight.zero_(), module.bias.zero_()
        outliers = LabelOutliers(3, 2, start_scale=0.1)
        train(
            module, outliers, inputs, labels, epochs=1, batch_size=size, lr=1e-9, alpha=1e6,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        moved.append(outliers.g.detach().clone())
    torch.testing.assert_close(moved[0], moved[1])
    assert (moved[0] > 0.1).all()
