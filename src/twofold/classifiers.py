"""A scikit-learn classifier that does not learn wrong labels by heart: thin, no mathematics."""

from __future__ import annotations

import copy
import math
import sys
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from twofold.devices import as_device
from twofold.labels import Epoch, LabelOutliers, train
from twofold.problem import in_numpy

HIDDEN = 256
_PREDICT = 4096  # samples at a time


class RobustLabelClassifier(ClassifierMixin, BaseEstimator):
    """A neural classifier for training sets with wrong labels, of which nobody knows which and how many.

    y ≈ softmax(f(x; theta)) + s with s = g∘g∘y − h∘h∘(1 − y) an outlier for each sample
    (:class:`twofold.nn.LabelOutliers`), theta and s trained at discrepant rates. Trained by cross entropy alone an
    over-parameterized network learns every wrong label by heart; here s takes them over. No share of wrong labels is
    asked for, and no clean validation set to stop early.

    Parameters
    ----------
    module : torch.nn.Module or callable, optional
        f: inputs of shape (batch, ...) in float32 → logits of shape (batch, n_classes). A module is copied and
        trained from the weights it has; a callable gets (n_features, n_classes) and returns a module. None: two
        hidden layers of 256 units. Inputs should be scaled as for any network.
    alpha : float, default 10
        Ratio of the learning rates of s and theta, for the losses of one sample.
    start_scale : float, default 1e-8
        Start of g and h.
    epochs, batch_size : int
    lr : float
        Of theta, for the mean loss; falls by a cosine to zero.
    weight_decay : float
        Of theta.
    robust : bool, default True
        False: plain cross entropy with all else the same, to compare with.
    device : optional
        As in PyTorch. None: the CPU.
    random_state : int, numpy.random.RandomState or None
        Start of a module that is made here, and order of the samples. None: another one at each fit.
    verbose : int
        1 writes every tenth epoch to standard error, 2 every epoch.

    Attributes
    ----------
    classes_ : ndarray of shape ``(n_classes,)``
    module_ : torch.nn.Module
        Trained, in evaluation mode.
    label_outliers_ : float32 ndarray of shape ``(n_samples, n_classes)``
        s; zeros where not robust.
    label_error_ : float32 ndarray of shape ``(n_samples,)``
        1 − p of the class that the label names: near 1 where the classifier contradicts the label.
    corrected_labels_ : ndarray of shape ``(n_samples,)``
        What the classifier says about the training samples.
    history_ : list of twofold.labels.Epoch
    n_iter_ : int
        Epochs.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape ``(n_features_in_,)``
        Where X has string column names.

    Raises
    ------
    ValueError
        Where X or y is not what scikit-learn takes, a number is out of its range, or ``module`` has not one output a
        class.
    TypeError
        For a ``module`` of another kind.
    FloatingPointError
        Where the training diverged: lower ``lr``.

    References
    ----------
    Liu, Zhu, Qu, You: Robust Training under Label Noise by Over-parameterization, ICML 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> X, clean = X[:600] / 16, y[:600]
    >>> rng = np.random.default_rng(0)
    >>> wrong = rng.random(600) < 0.3
    >>> y = np.where(wrong, (clean + rng.integers(1, 10, 600)) % 10, clean)
    >>> model = RobustLabelClassifier(epochs=60, random_state=0).fit(X, y)
    >>> bool((model.corrected_labels_ == clean).mean() > 0.95)
    True
    >>> found = model.label_error_ > 0.5
    >>> bool((found == wrong).mean() > 0.95)
    True
    """

    def __init__(
        self,
        module: Any = None,
        *,
        alpha: float = 10.0,
        start_scale: float = 1e-8,
        epochs: int = 200,
        batch_size: int = 64,
        lr: float = 0.02,
        weight_decay: float = 0.0,
        robust: bool = True,
        device: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.module = module
        self.alpha = alpha
        self.start_scale = start_scale
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.robust = robust
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> RobustLabelClassifier:
        """Train on labels of which some may be wrong.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or of more dimensions for a module that takes them
        y : array-like of shape (n_samples,)
            Class labels of any kind.

        Raises
        ------
        ValueError
            If a number given to the constructor is out of its range, a value of X or a label is missing, y holds one
            class only, or the module's outputs do not fit y.
        TypeError
            If the module is neither a module nor a function that makes one.
        FloatingPointError
            If the training diverges.
        """
        self._check_numbers()
        if np.ma.is_masked(y):
            raise ValueError(f"y: {np.ma.count_masked(y)} labels are masked; samples without one have to be left out")
        X, y = self._validated(X, y=in_numpy(y))
        check_classification_targets(y)
        self.classes_, named = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class only, {self.classes_.tolist()[0]!r}: two or more are accepted")
        device = as_device(self.device)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        inputs = torch.from_numpy(np.asarray(X, dtype=np.float32)).to(device)
        labels = torch.from_numpy(named.astype(np.int64)).to(device)
        n_classes = len(self.classes_)
        self.module_ = self._made(X.shape[1], n_classes, inputs[:2], seed).to(device)
        outliers = None
        if self.robust:
            outliers = LabelOutliers(len(inputs), n_classes, start_scale=self.start_scale, device=device)
        self.history_ = train(
            self.module_, outliers, inputs, labels, epochs=self.epochs, batch_size=self.batch_size, lr=self.lr,
            alpha=self.alpha, weight_decay=self.weight_decay, generator=torch.Generator().manual_seed(seed),
            observer=_Teller(self.verbose),
        )  # fmt: skip
        if not math.isfinite(self.history_[-1].loss):
            epoch = self.history_[-1].number
            raise FloatingPointError(
                f"lr={self.lr!r}: the training diverged in epoch {epoch}; a lower lr is accepted"
            )
        self.n_iter_ = len(self.history_)
        p = self._probabilities(inputs)
        chosen = np.arange(len(p))
        self.label_error_ = 1 - p[chosen, named]
        self.corrected_labels_ = self.classes_[p.argmax(1)]
        if outliers is None:
            self.label_outliers_ = np.zeros_like(p)
        else:
            with torch.no_grad():
                everybody = torch.arange(len(inputs), device=device)
                self.label_outliers_ = outliers(everybody, labels).cpu().numpy()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """softmax(f(x)) of new samples.

        Parameters
        ----------
        X : array-like, as in ``fit``

        Returns
        -------
        float32 ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        return self._probabilities(torch.from_numpy(np.asarray(X, dtype=np.float32)))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of new samples.

        Parameters
        ----------
        X : array-like, as in ``fit``

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def _probabilities(self, inputs: torch.Tensor) -> np.ndarray:
        device = next((parameter.device for parameter in self.module_.parameters()), torch.device("cpu"))
        with torch.no_grad():
            parts = [self.module_(part.to(device)).softmax(1).cpu() for part in inputs.split(_PREDICT)]
        return torch.cat(parts).numpy()

    def _made(self, n_features: int, n_classes: int, sample: torch.Tensor, seed: int) -> nn.Module:
        """The module to train, tried on a sample."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if isinstance(self.module, nn.Module):
                module = copy.deepcopy(self.module)
            elif self.module is None:
                module = nn.Sequential(
                    nn.Linear(n_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                    nn.Linear(HIDDEN, n_classes),
                )  # fmt: skip
            elif callable(self.module):
                module = self.module(n_features, n_classes)
            else:
                module = None
        if not isinstance(module, nn.Module):
            given = self.module if module is None else module
            raise TypeError(
                f"module={given!r}: None, a torch.nn.Module or a callable (n_features, n_classes) → one is accepted"
            )
        module = module.to(sample.device).eval()
        with torch.no_grad():
            outputs = module(sample)
        wanted = (len(sample), n_classes)
        if not isinstance(outputs, torch.Tensor) or outputs.shape != wanted:
            given = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
            raise ValueError(
                f"module: gives {given} for {len(sample)} samples; {wanted} is accepted, one a class of y"
            )
        return module

    def _validated(self, X: Any, **more: Any) -> Any:
        return validate_data(
            self, in_numpy(X), dtype=[np.float32, np.float64], allow_nd=self.module is not None, **more
        )

    def _check_numbers(self) -> None:
        for name in ("alpha", "start_scale", "lr"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not (math.isfinite(value) and float(value) > 0):
                raise ValueError(f"{name}={value!r}: a positive number is accepted")
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name}={value!r}: a positive integer is accepted")
        decay = self.weight_decay
        if not isinstance(decay, Real) or not (math.isfinite(decay) and float(decay) >= 0):
            raise ValueError(f"weight_decay={decay!r}: zero or a positive number is accepted")


class _Teller:
    """Writes epochs to standard error, as ``verbose`` asks."""

    def __init__(self, verbose: int) -> None:
        self.every = {0: 0, 1: 10}.get(max(verbose, 0), 1)

    def __call__(self, epoch: Epoch) -> None:
        if self.every and epoch.number % self.every == 0:
            sys.stderr.write(
                f"epoch {epoch.number}/{epoch.n_epochs}: loss {epoch.loss:.3f}, "
                f"agrees with {epoch.agreement:.1%} of the labels\n"
            )
