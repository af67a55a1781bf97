"""RobustPCA as a scikit-learn citizen."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler
from sklearn.utils.estimator_checks import check_estimator

from tests.problems import low_rank_problem
from twofold import RobustPCA, robust_pca

PROBLEM = low_rank_problem(200, 60, 3, 0.08, missing=0.05)
NAMES = [f"sensor{i}" for i in range(60)]
TABLE = pd.DataFrame(PROBLEM.Y, columns=NAMES, index=[f"row{i}" for i in range(200)])


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
    stored = io.BytesIO()
    joblib.dump(model, stored)
    stored.seek(0)
    np.testing.assert_array_equal(joblib.load(stored).transform(PROBLEM.Y), model.transform(PROBLEM.Y))
    pipeline = make_pipeline(FunctionTransformer(), RobustPCA()).set_output(transform="pandas")
    scores = pipeline.fit_transform(TABLE)
    assert list(scores.columns) == ["robustpca0", "robustpca1", "robustpca2"]
    assert list(pipeline[-1].feature_names_in_) == NAMES


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


def test_fit_transform_is_fit_and_transform() -> None:
    together = RobustPCA().fit_transform(PROBLEM.Y)
    apart = RobustPCA().fit(PROBLEM.Y).transform(PROBLEM.Y)
    np.testing.assert_array_equal(together, apart)
    # And both are the coordinates of the low-rank part.
    model = RobustPCA().fit(PROBLEM.Y)
    np.testing.assert_allclose(together @ model.components_, model.low_rank_, atol=1e-6)


def test_names_of_what_comes_out(model: RobustPCA) -> None:
    assert list(model.get_feature_names_out()) == ["robustpca0", "robustpca1", "robustpca2"]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("source", ["pandas", "polars", "array"])
def test_set_output_decides_what_transform_and_denoise_return(source: str, kind: str) -> None:
    X: Any = {"pandas": TABLE, "polars": pl.DataFrame(PROBLEM.Y, schema=NAMES), "array": PROBLEM.Y}[source]
    model = RobustPCA(certify=False).set_output(transform=kind).fit(X)
    scores, rows = model.transform(X), model.denoise(X)
    table = pd.DataFrame if kind == "pandas" else pl.DataFrame
    assert isinstance(scores, table)
    assert isinstance(rows, table)
    assert list(scores.columns) == list(model.get_feature_names_out())
    assert list(rows.columns) == ([f"x{i}" for i in range(60)] if source == "array" else NAMES)
    if source == kind == "pandas":
        assert list(rows.index) == list(TABLE.index)
        assert list(scores.index) == list(TABLE.index)
    np.testing.assert_allclose(rows.to_numpy(), PROBLEM.X, atol=1e-7)
    assert isinstance(model.inverse_transform(scores), np.ndarray)  # as everywhere in scikit-learn
    assert isinstance(RobustPCA(certify=False).fit(X).denoise(X), np.ndarray)


@pytest.mark.parametrize("kind", ["default", "pandas", "polars"])
def test_no_components(kind: str) -> None:
    model = RobustPCA(n_components=0, certify=False).set_output(transform=kind).fit(PROBLEM.Y)
    assert model.transform(PROBLEM.Y).shape[1] == 0
    rows = np.asarray(model.denoise(PROBLEM.Y))
    assert rows.shape == PROBLEM.Y.shape
    assert not rows.any()


@pytest.fixture(scope="module")
def mixed() -> np.ndarray:
    """Numbers that fit other types too, some of them missing."""
    X = PROBLEM.Y[:70].copy()
    X[2, :4] = np.nan
    X[:, 1] = X[:, 1].round()  # integers
    X[:, 2] = np.where(np.isnan(X[:, 2]), np.nan, X[:, 2] > 0)  # booleans
    X[:, 3] = X[:, 3].astype(np.float32)
    return X


@pytest.fixture(scope="module")
def mixed_model(mixed: np.ndarray) -> RobustPCA:
    return RobustPCA(certify=False).fit(mixed)


def nullable(X: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(X, columns=NAMES).astype({"sensor0": "Float64", "sensor1": "Int64", "sensor2": "boolean"})
    assert table["sensor1"].isna().any()
    return table


def objects(X: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(X, columns=NAMES).astype({"sensor0": object, "sensor1": object})
    table["sensor0"] = [pd.NA if np.isnan(v) else v for v in X[:, 0]]
    table["sensor1"] = [None if np.isnan(v) else int(v) for v in X[:, 1]]
    return table


def polars(X: np.ndarray) -> pl.DataFrame:
    columns = {name: [None if np.isnan(v) else v for v in x] for name, x in zip(NAMES, X.T, strict=True)}
    table = pl.DataFrame(columns).cast({"sensor1": pl.Int16, "sensor2": pl.Boolean, "sensor3": pl.Float32})
    assert table["sensor1"].null_count() > 0
    return table


@pytest.mark.parametrize(
    "kind",
    [
        pd.DataFrame,
        nullable,
        objects,
        polars,
        torch.from_numpy,
        lambda X: torch.from_numpy(X).requires_grad_(),
        lambda X: np.ma.masked_array(np.nan_to_num(X, nan=77.0), np.isnan(X)),
        np.asfortranarray,
        np.ndarray.tolist,
    ],
)
def test_tables_and_tensors_mean_what_the_array_means(
    kind: Callable[[np.ndarray], Any], mixed: np.ndarray, mixed_model: RobustPCA
) -> None:
    found = RobustPCA(certify=False).fit(kind(mixed))
    np.testing.assert_array_equal(found.low_rank_, mixed_model.low_rank_)
    new = mixed[:20]
    np.testing.assert_array_equal(found.transform(kind(new)), mixed_model.transform(new))
    assert found.score(kind(new)) == mixed_model.score(new)


@pytest.mark.parametrize(
    ("dtype", "working"),
    [
        (bool, np.float64),
        (np.int8, np.float64),
        (np.uint16, np.float64),
        (np.float16, np.float64),
        (np.float32, np.float32),
        (torch.bool, np.float64),
        (torch.int32, np.float64),
        (torch.float32, np.float32),
        (torch.bfloat16, np.float32),
    ],
)
def test_other_kinds_of_numbers(dtype: Any, working: type) -> None:
    numbers = np.random.default_rng(0).integers(0, 3, (30, 20))
    data = torch.from_numpy(numbers).to(dtype) if isinstance(dtype, torch.dtype) else numbers.astype(dtype)
    expected = numbers > 0 if dtype in (bool, torch.bool) else numbers
    model = RobustPCA(certify=False).fit(data)
    assert model.low_rank_.dtype == working
    np.testing.assert_array_equal(model.low_rank_, RobustPCA(certify=False).fit(expected.astype(working)).low_rank_)


@pytest.mark.parametrize(
    ("X", "named"),
    [
        (TABLE.assign(place="north", day=pd.Timestamp("2020-01-01")), r"'place' \(str|object.*'day' \(datetime"),
        (TABLE.assign(sensor3="1.5"), "'sensor3'"),
        (TABLE.assign(sensor3=pd.Categorical(["a"] * 200)), r"'sensor3' \(category\)"),
        (pl.DataFrame(PROBLEM.Y, schema=NAMES).with_columns(place=pl.lit("north")), r"'place' \(String\)"),
        (pl.DataFrame(PROBLEM.Y, schema=NAMES).lazy(), r"X.collect\(\)"),
        (PROBLEM.Y.astype(str), "dtype <U"),
        (np.full((3, 3), np.datetime64("2020-01-01")), "dtype datetime64"),
        (scipy.sparse.csr_matrix(PROBLEM.X), "dense data is required"),
        (scipy.sparse.coo_array(PROBLEM.X), "dense data is required"),
        (TABLE.astype(pd.SparseDtype(float)), r"sparse columns.*X.astype\(float\)"),
        (TABLE.astype({"sensor3": pd.SparseDtype(float)}), r"sparse columns.*X.astype\(float\)"),
    ],
)
def test_what_is_not_numbers_is_refused_by_name(model: RobustPCA, X: Any, named: str) -> None:
    for method in (RobustPCA().fit, model.transform, model.denoise, model.score):
        with pytest.raises(TypeError, match=named):
            method(X)


def test_other_features_than_fitted_are_refused(model: RobustPCA) -> None:
    for method in (model.transform, model.denoise, model.score):
        with pytest.raises(ValueError, match="X has 5 features, but RobustPCA is expecting 60"):
            method(PROBLEM.Y[:, :5])
        with pytest.raises(ValueError, match="contains infinity"):
            method(np.full((1, 60), np.inf))
    with pytest.raises(ValueError, match="Z has 60 columns; 3 are accepted"):
        model.inverse_transform(PROBLEM.X)
    with pytest.raises(ValueError, match="same order"):
        RobustPCA(certify=False).fit(TABLE).transform(TABLE[NAMES[::-1]])


def test_nothing_works_before_fit() -> None:
    for method in ("transform", "denoise", "inverse_transform", "score", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(RobustPCA(), method)(PROBLEM.Y)


def test_new_rows_of_another_dtype_than_fitted(model: RobustPCA) -> None:
    single = RobustPCA(certify=False).fit(PROBLEM.Y.astype(np.float32))
    assert single.components_.dtype == single.transform(PROBLEM.Y).dtype == np.float32
    assert model.transform(PROBLEM.Y.astype(np.float32)).dtype == np.float64
    scale = np.abs(model.transform(PROBLEM.Y)).max()
    np.testing.assert_allclose(single.transform(PROBLEM.Y), model.transform(PROBLEM.Y), atol=1e-5 * scale)
    np.testing.assert_allclose(
        model.transform(PROBLEM.Y.astype(np.float32)), model.transform(PROBLEM.Y), atol=1e-5 * scale
    )
    spiked = PROBLEM.X[:1].copy()
    spiked[0, 5] = 1e60  # no float32
    np.testing.assert_allclose(single.transform(spiked), single.transform(PROBLEM.X[:1]), atol=1e-5 * scale)


@pytest.mark.parametrize(("noise", "outliers"), [(0.1, 0.0), (0.1, 0.1), (0.5, 0.1), (0.1, 0.3)])
def test_score_is_best_for_the_true_components(noise: float, outliers: float) -> None:
    problem = low_rank_problem(400, 50, 4, outliers, noise=noise)
    scores = [RobustPCA(k, certify=False).fit(problem.Y[:250]).score(problem.Y[250:]) for k in (0, 2, 3, 4, 5, 8)]
    assert np.argmax(scores) == 3
    assert np.all(np.diff(scores[:4]) > 0)
    assert np.all(np.diff(scores[3:]) < 0)


def test_score_is_the_share_of_entries_foretold() -> None:
    problem = low_rank_problem(300, 60, 3, 0.0)
    model = RobustPCA(certify=False).fit(problem.X)
    assert model.score(problem.X) == pytest.approx(1.0, abs=1e-9)
    spiked = problem.X.copy()
    spiked[np.random.default_rng(0).random(spiked.shape) < 0.1] = 1e6
    assert model.score(spiked) == pytest.approx(np.mean(spiked != 1e6), abs=1e-9)
    assert model.score(1e3 * spiked) == pytest.approx(model.score(spiked), abs=1e-9)
    hidden = np.where(spiked == 1e6, np.nan, spiked)
    assert model.score(hidden) == pytest.approx(1.0, abs=1e-9)
    assert RobustPCA(0, certify=False).fit(problem.X).score(problem.X) < 0.3


def test_score_of_rows_that_tell_nothing(model: RobustPCA) -> None:
    assert np.isnan(model.score(np.full((2, 60), np.nan)))
    two_entries = np.full((2, 60), np.nan)
    two_entries[:, :2] = 1.0
    assert model.score(two_entries) == 0.0
    assert model.score(np.zeros((2, 60))) == 1.0


def test_grid_search_finds_the_number_of_components_without_a_scorer() -> None:
    problem = low_rank_problem(120, 40, 3, 0.1, noise=0.1, missing=0.05)
    pipeline = make_pipeline(MaxAbsScaler(), RobustPCA(certify=False))
    search = GridSearchCV(pipeline, {"robustpca__n_components": [1, 2, 3, 4, 6]}, cv=3, error_score="raise")
    assert search.fit(problem.Y).best_params_ == {"robustpca__n_components": 3}
    assert 0 < search.best_score_ <= 1
