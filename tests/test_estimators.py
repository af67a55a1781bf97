"""RobustPCA as a scikit-learn citizen."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from tests.problems import low_rank_problem
from twofold import RobustPCA, robust_pca

PROBLEM = low_rank_problem(200, 60, 3, 0.08, missing=0.05)


@pytest.fixture(scope="module")
def model() -> RobustPCA:
    return RobustPCA().fit(PROBLEM.Y)


@pytest.mark.filterwarnings("ignore:Skipping check")
def test_obeys_the_estimator_contract() -> None:
    check_estimator(RobustPCA())


def test_attributes(model: RobustPCA) -> None:
    assert model.n_components_ == 3
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(model.low_rank_, PROBLEM.X, atol=1e-7)
    np.testing.assert_allclose(model.singular_values_, np.linalg.svd(PROBLEM.X, compute_uv=False)[:3], rtol=1e-9)
    observed = ~np.isnan(PROBLEM.Y)
    np.testing.assert_allclose((model.low_rank_ + model.outliers_)[observed], PROBLEM.Y[observed], atol=1e-7)
    assert model.certificate_.verify(PROBLEM.Y) <= 1e-8
    assert model.n_iter_ == model.solution_.n_iter


def test_sign_convention_makes_components_unique(model: RobustPCA) -> None:
    flipped = RobustPCA().fit(-PROBLEM.Y)
    np.testing.assert_allclose(flipped.components_, model.components_, atol=1e-7)


def test_outliers_in_new_rows_do_not_leak_into_scores(model: RobustPCA) -> None:
    rng = np.random.default_rng(1)
    clean = rng.standard_normal((300, 3)) @ model.components_
    spiked = clean.copy()
    spiked[rng.random(clean.shape) < 0.1] = 1e4
    spiked[rng.random(clean.shape) < 0.1] = np.nan
    np.testing.assert_allclose(model.transform(spiked), model.transform(clean), atol=1e-8)
    np.testing.assert_allclose(model.denoise(spiked), clean, atol=1e-8)
    np.testing.assert_allclose(model.inverse_transform(model.transform(clean)), clean, atol=1e-10)


def test_rows_with_too_few_entries_have_no_scores(model: RobustPCA) -> None:
    row = np.full((1, 60), np.nan)
    row[0, :2] = 1.0
    assert np.isnan(model.transform(row)).all()


def test_clone_pickle_pipeline_and_pandas(model: RobustPCA) -> None:
    assert clone(RobustPCA(2, alpha=3.0)).get_params() == RobustPCA(2, alpha=3.0).get_params()
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.transform(PROBLEM.Y), model.transform(PROBLEM.Y))
    table = pd.DataFrame(PROBLEM.Y, columns=[f"sensor{i}" for i in range(60)])
    pipeline = make_pipeline(FunctionTransformer(), RobustPCA()).set_output(transform="pandas")
    scores = pipeline.fit_transform(table)
    assert list(scores.columns) == ["robustpca0", "robustpca1", "robustpca2"]
    assert list(pipeline[-1].feature_names_in_) == list(table.columns)


def test_arguments_reach_the_solver() -> None:
    told = RobustPCA(n_components=2, alpha=9.0, random_state=3, certify=False).fit(PROBLEM.Y)
    assert told.n_components_ == 2
    assert told.certificate_ is None
    assert told.solution_.settings["alpha"] == 9.0
    assert told.solution_.settings["seed"] == 3
    with pytest.raises(ValueError, match="method='nonsense'"):
        RobustPCA(method="nonsense").fit(PROBLEM.Y)


def test_verbose_writes_to_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    RobustPCA(verbose=2).fit(PROBLEM.Y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "identify 3/60" in err


def test_same_answer_as_the_function(model: RobustPCA) -> None:
    np.testing.assert_array_equal(model.low_rank_, robust_pca(PROBLEM.Y).low_rank)
