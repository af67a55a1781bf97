"""scikit-learn estimators: thin, no mathematics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from twofold.matrix.recover import robust_pca
from twofold.matrix.rows import foretold_share, split_rows
from twofold.observers import from_verbosity
from twofold.problem import in_numpy


class RobustPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Robust principal component analysis: X = ``low_rank_`` + ``outliers_``, rank found.

    The components are those of the low-rank part; outliers do not move them, neither in the data they are fitted to
    nor in new rows. Columns are not centred: a column's mean is part of the low-rank part.

    X may be an array, a torch tensor, or a pandas or polars table of numbers and booleans. NaN, ``None``, ``pd.NA``
    and polars' null mark a missing entry, and so does the mask of a masked array. New rows split as
    X = ``denoise(X)`` + outliers (+ noise). ``fit_transform(X)`` gives what ``fit(X).transform(X)`` gives.

    Parameters
    ----------
    n_components : int, optional
        None: found.
    alpha, method, tol, max_iter, certify, device, dtype, random_state
        As in :func:`twofold.robust_pca`.
    verbose : int
        1 writes every tenth step to standard error, 2 every step.

    Attributes
    ----------
    low_rank_ : ndarray of shape (n_samples, n_features)
    outliers_ : ndarray of shape (n_samples, n_features)
    components_ : ndarray of shape ``(n_components_, n_features)``
        Orthonormal rows, by descending singular value; the entry of largest magnitude in each is positive.
    singular_values_ : ndarray of shape ``(n_components_,)``
    n_components_ : int
    n_iter_ : int
    n_features_in_ : int
    certificate_ : twofold.matrix.certificate.Certificate or None
    solution_ : twofold.LowRankSolution
    feature_names_in_ : ndarray of shape ``(n_features_in_,)``
        Where X has string column names.

    Raises
    ------
    TypeError
        Where X is sparse, complex, lazy, or has columns that are not numbers.
    ValueError
        Where X is not 2-D, is empty or holds inf, or its features are not those of ``fit``; from ``fit`` also as in
        :func:`twofold.robust_pca`.
    sklearn.exceptions.NotFittedError
        From every other method before ``fit``.

    References
    ----------
    You, Zhu, Qu, Ma: Robust Recovery via Implicit Bias of Discrepant Learning Rates for Double
    Over-parameterization, NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 2)) @ rng.standard_normal((2, 30))
    >>> corrupted = X.copy()
    >>> corrupted[rng.random(X.shape) < 0.05] = 7.0
    >>> model = RobustPCA().fit(corrupted)
    >>> model.n_components_, bool(np.allclose(model.low_rank_, X))
    (2, True)
    >>> bool(np.allclose(model.denoise(corrupted[:5]), X[:5]))
    True

    The number of components that foretells held-out entries best; without noise more than there are do no harm:

    >>> from sklearn.model_selection import GridSearchCV
    >>> noisy = corrupted + 0.1 * rng.standard_normal(X.shape)
    >>> search = GridSearchCV(RobustPCA(certify=False), {"n_components": [1, 2, 3, 5]}, cv=3).fit(noisy)
    >>> search.best_params_
    {'n_components': 2}
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        alpha: float | None = None,
        method: str = "three-act",
        tol: float = 1e-7,
        max_iter: int = 1000,
        certify: bool = True,
        device: Any = None,
        dtype: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.certify = certify
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: None = None) -> RobustPCA:
        """Split X into its low-rank part and outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN marks a missing entry.
        y : ignored
        """
        data = self._validated(X, reset=True)
        solution = robust_pca(
            data,
            n_components=self.n_components,
            alpha=self.alpha,
            method=self.method,  # type: ignore[arg-type]
            tol=self.tol,
            max_iter=self.max_iter,
            certify=self.certify,
            device=self.device,
            dtype=self.dtype,
            random_state=self.random_state,
            observer=from_verbosity(self.verbose),
        )
        _, singular_values, components = solution.factors
        largest = np.abs(components).argmax(axis=1)
        signs = np.sign(components[np.arange(len(components)), largest])
        self.solution_ = solution
        self.low_rank_ = solution.low_rank
        self.outliers_ = solution.outliers
        self.components_ = components * signs[:, None]
        self.singular_values_ = singular_values
        self.n_components_ = solution.rank
        self.n_iter_ = solution.n_iter
        self.certificate_ = solution.certificate
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Scores of new rows, not moved by outliers in them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN marks a missing entry.

        Returns
        -------
        ndarray of shape ``(n_samples, n_components_)``
            In the dtype of ``components_``; a table after ``set_output``. NaN in rows whose observed entries do not
            determine the scores, as when they are fewer than the components.
        """
        values, observed, components = self._new_rows(X)
        return split_rows(values, observed, components).numpy().astype(self.components_.dtype, copy=False)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Rows with the given scores: Z @ ``components_``.

        Parameters
        ----------
        Z : array-like of shape ``(n_samples, n_components_)``

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            NaN in rows without scores.
        """
        check_is_fitted(self)
        scores = check_array(
            Z,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            ensure_min_features=0,
            input_name="Z",
        )
        if scores.shape[1] != self.n_components_:
            raise ValueError(f"Z has {scores.shape[1]} columns; {self.n_components_} are accepted, one a component")
        return scores @ self.components_

    def denoise(self, X: Any) -> Any:
        """New rows without their outliers, missing entries filled.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN marks a missing entry.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            After ``set_output`` a table, as from ``transform``, with the columns of X.
        """
        scores = self.transform(X)
        # A table without columns may have forgotten how many rows it has.
        rows = self.inverse_transform(scores if self.n_components_ else np.zeros((len(X), 0)))
        if isinstance(scores, np.ndarray):
            return rows
        names = list(getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)]))
        if hasattr(scores, "index"):
            return type(scores)(rows, index=scores.index, columns=names)
        return type(scores)(rows, schema=names)

    def score(self, X: Any, y: None = None) -> float:
        """How well the components foretell entries of new rows from the rows' other entries; more is better.

            1 − mean over the observed entries of min(|x_ij − x̂_ij| / c, 1),     c = median |x_ij|

        where x̂_ij comes from entries of row i in other fifths; the entries are divided into fifths by chance, always
        the same. The residuals of :meth:`denoise` would not do: they shrink with every further component. What is
        held out is foretold worse by too few components, and by too many. An outlier counts no more than a typical
        entry.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that the model was not fitted to; NaN marks a missing entry.
        y : ignored

        Returns
        -------
        float
            1 where every entry is foretold; NaN where none is observed.
        """
        values, observed, components = self._new_rows(X)
        if observed is not None and not bool(observed.any()):
            return float("nan")
        return foretold_share(values, observed, components)

    def _new_rows(self, X: Any) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Values (zero where missing), what is observed, and the components."""
        check_is_fitted(self)
        data = self._validated(X, reset=False)
        missing = np.isnan(data)
        observed = torch.from_numpy(~missing) if missing.any() else None
        return torch.from_numpy(np.where(missing, 0, data)), observed, torch.from_numpy(self.components_)

    def _validated(self, X: Any, reset: bool) -> np.ndarray:
        return validate_data(
            self,
            _readable(X),
            reset=reset,
            dtype=[np.float64, np.float32],
            order="C",  # the same numbers, the same bits, however they lie in memory
            ensure_all_finite="allow-nan",
            ensure_min_samples=1,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_


def _readable(X: Any) -> Any:
    """X as scikit-learn reads it right, with missing entries as NaN.

    Raises
    ------
    TypeError
        Naming what scikit-learn would misread, or refuse without naming it.
    """
    X = in_numpy(X)
    if hasattr(X, "collect_schema") and not hasattr(X, "to_numpy"):
        raise TypeError("X: a lazy table; X.collect() gives what is accepted")
    if not (hasattr(X, "columns") and hasattr(X, "dtypes")):
        if getattr(getattr(X, "dtype", None), "kind", "") in ("U", "S", "M", "m"):
            raise TypeError(f"X: dtype {X.dtype}; real numbers are accepted")
        return X
    dtypes = list(X.dtypes)
    if any(str(dtype).startswith("Sparse") for dtype in dtypes):
        raise TypeError("X: pandas table with sparse columns; dense ones are accepted, as from X.astype(float)")
    wrong = [
        f"{name!r} ({dtype})"
        for i, (name, dtype) in enumerate(zip(X.columns, dtypes, strict=True))
        if not _holds_numbers(X, i, dtype)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise TypeError(f"X: columns {', '.join(wrong[:3])}{more}; numbers, booleans and missing values are accepted")
    # Among objects scikit-learn knows None and NaN, but not pd.NA.
    return X.mask(X.isna()) if any(str(dtype) == "object" for dtype in dtypes) else X


def _holds_numbers(table: Any, column: int, dtype: Any) -> bool:
    if hasattr(dtype, "is_numeric"):  # polars
        return dtype.is_numeric() or str(dtype) in ("Boolean", "Null")
    if str(dtype) == "object":
        return not any(isinstance(value, str | bytes) for value in table.iloc[:, column])
    return dtype.kind in "fiub"
