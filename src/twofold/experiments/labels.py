"""The talk's opening: a classifier learns wrong labels by heart; with an outlier for each label it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.dynamics import rounded
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN, OURS, RIGHT = "cross entropy", "with label outliers", "cross entropy, right labels only"
SHARES = (0.0, 0.2, 0.4, 0.6)
CHECKED = 0.4
TEST = 0.33


def cells(choice: Choice) -> list[Cell]:
    """Every share of wrong labels with every way of training."""
    made = []
    for share in SHARES:
        for method in (PLAIN, OURS, RIGHT):
            for seed in (0,) if choice.quick else (0, 1, 2):
                settings = {"share": share, "method": method, "seed": seed, "epochs": 200 if choice.quick else 1000}
                made.append(Cell("labels", f"{share:.0%} wrong, {method}, seed {seed}", settings, compute))
    return made


def compute(settings: Mapping[str, Any]) -> Facts:
    """Accuracy on clean test digits, and agreement with the labels that were given, epoch by epoch."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from twofold.classifiers import RobustLabelClassifier

    seed, method = settings["seed"], settings["method"]
    X, y = load_digits(return_X_y=True)
    X_train, X_test, truth, y_test = train_test_split(X / 16, y, test_size=TEST, random_state=seed, stratify=y)
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(truth)) < settings["share"]
    given = np.where(wrong, (truth + rng.integers(1, 10, len(truth))) % 10, truth)
    if method == RIGHT:
        X_train, truth, given, wrong = X_train[~wrong], truth[~wrong], given[~wrong], wrong[~wrong]
    model = RobustLabelClassifier(epochs=settings["epochs"], robust=method == OURS, random_state=seed)
    model.fit(X_train, given)
    suspected = model.label_error_ > 0.5
    facts = {
        "test": round(float(model.score(X_test, y_test)), 4),
        "corrected": round(float((model.corrected_labels_ == truth).mean()), 4),
        "agreement": rounded([epoch.agreement for epoch in model.history_]),
    }
    if wrong.any():
        facts["found"] = round(float(suspected[wrong].mean()), 4)
        facts["false alarms"] = round(float(suspected[~wrong].mean()), 4)
    return facts


def mean(records: Sequence[Record], name: str) -> dict[str, dict[float, float]]:
    """Method → share of wrong labels → mean of a fact over seeds, at the end of the training where it is a curve."""
    found: dict[str, dict[float, float]] = {}
    for method in (PLAIN, OURS, RIGHT):
        for share in SHARES:
            here = [
                np.atleast_1d(r["facts"][name])[-1]
                for r in records
                if (r["settings"]["method"], r["settings"]["share"]) == (method, share) and name in r["facts"]
            ]
            if here:
                found.setdefault(method, {})[share] = float(np.mean(here))
    return found


def checks(records: Sequence[Record]) -> list[Check]:
    """Test accuracy beside training on the right labels alone, and beside cross entropy."""
    test = mean(records, "test")
    ours, right, plain = (test[method][CHECKED] for method in (OURS, RIGHT, PLAIN))
    agrees = {method: share[CHECKED] for method, share in mean(records, "agreement").items()}
    return [
        Check(
            f"{CHECKED:.0%} wrong: test accuracy within 3 points of training on the right labels alone",
            f"{ours:.1%} beside {right:.1%}",
            ours >= right - 0.03,
        ),
        Check(
            f"{CHECKED:.0%} wrong: cross entropy learns them by heart and loses 20 points or more",
            f"agrees with {agrees[PLAIN]:.0%} of the given labels; test accuracy {plain:.1%}",
            plain <= right - 0.2 and agrees[PLAIN] > 0.9,
        ),
        Check(
            f"{CHECKED:.0%} wrong: with label outliers the classifier agrees with the right labels only",
            f"with {agrees[OURS]:.1%} of the given ones, of which {1 - CHECKED:.0%} are right",
            abs(agrees[OURS] - (1 - CHECKED)) <= 0.03,
        ),
        Check(
            "right labels: the outliers cost at most one point of test accuracy",
            f"{test[OURS][0.0]:.1%} beside {test[PLAIN][0.0]:.1%}",
            test[OURS][0.0] >= test[PLAIN][0.0] - 0.01,
        ),
    ]


def remarks(records: Sequence[Record]) -> list[str]:
    """All test accuracies, and what was found."""
    test, found, alarms = (mean(records, name) for name in ("test", "found", "false alarms"))
    words = [
        f"{share:.0%} wrong: " + ", ".join(f"{method} {test[method][share]:.1%}" for method in (PLAIN, OURS, RIGHT))
        for share in SHARES
    ]
    suspected = [
        f"{share:.0%} wrong: {found[OURS][share]:.1%} of them suspected, {alarms[OURS][share]:.1%} of the right ones"
        for share in found[OURS]
    ]
    return [
        "Test accuracy. " + "; ".join(words) + ".",
        "Labels that the classifier contradicts. " + "; ".join(suspected) + ".",
    ]


def figure(records: Sequence[Record], folder: Path) -> Figure:
    """Agreement with the given labels along the training; test accuracy against the share of wrong labels."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(9.5, 4.0), layout="constrained")
    left, right = made.subplots(1, 2)
    colours = {PLAIN: "#D55E00", OURS: "#0072B2", RIGHT: "0.5"}
    for record in records:
        settings = record["settings"]
        if settings["share"] == CHECKED and settings["method"] != RIGHT and settings["seed"] == 0:
            agreement = record["facts"]["agreement"]
            left.plot(
                range(1, len(agreement) + 1), agreement, color=colours[settings["method"]], label=settings["method"]
            )
    left.axhline(1 - CHECKED, color="0.7", linewidth=1)
    left.set_xlabel("epochs")
    left.set_ylabel("agreement with the given labels")
    left.set_title(f"{CHECKED:.0%} of the labels wrong", fontsize=10)
    left.legend(frameon=False, fontsize=9)
    for method, curve in mean(records, "test").items():
        right.plot(list(curve), list(curve.values()), "o-", color=colours[method], label=method)
    right.set_xlabel("share of wrong labels")
    right.set_ylabel("accuracy on clean test digits")
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    return made


EXPERIMENT = Experiment(
    name="labels",
    title="Wrong labels: learned by heart, or not",
    claim="An over-parameterized classifier fits labels that are wrong. With over-parameterized label noise and "
    "discrepant learning rates it does not, with no clean set and no early stopping.",
    setup="scikit-learn's 1797 digits, a third of them for the test, labels replaced by another class. "
    "RobustLabelClassifier with its defaults (two hidden layers of 256) beside the same network and training with "
    "cross entropy, on all labels and on the right ones alone. The form for softmax outputs is that of Liu, Zhu, Qu, "
    "You (ICML 2022).",
    cells=cells,
    checks=checks,
    figures={"accuracy": Drawn(figure, "Left: how many of the given labels the network agrees with, along the "
                                       "training. Right: accuracy on clean digits by share of wrong labels.")},
    remarks=remarks,
)  # fmt: skip
