"""scikit-learn estimators: thin, no mathematics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from twofold.matrix.recover import robust_pca
from twofold.matrix.rows import split_rows
from twofold.observers import from_verbosity


class RobustPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Robust principal component analysis: X = ``low_rank_`` + ``outliers_``, rank found.

    The components are those of the low-rank part; outliers do not move them, neither in the data they are fitted to
    nor in new rows. Columns are not centred: a column's mean is part of the low-rank part.

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
    ValueError, TypeError
        From ``fit``, as in :func:`twofold.robust_pca`.

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
            NaN in rows with fewer observed entries than components.
        """
        check_is_fitted(self)
        data = self._validated(X, reset=False).astype(self.components_.dtype, copy=False)
        missing = np.isnan(data)
        observed = torch.from_numpy(~missing) if missing.any() else None
        values = torch.from_numpy(np.where(missing, 0, data))
        return split_rows(values, observed, torch.from_numpy(self.components_)).numpy()

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Rows with the given scores: Z @ ``components_``.

        Parameters
        ----------
        Z : array-like of shape ``(n_samples, n_components_)``
        """
        check_is_fitted(self)
        return np.asarray(Z) @ self.components_

    def denoise(self, X: Any) -> np.ndarray:
        """New rows without their outliers, missing entries filled; shape (n_samples, n_features)."""
        return self.inverse_transform(self.transform(X))

    def _validated(self, X: Any, reset: bool) -> np.ndarray:
        return validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
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
