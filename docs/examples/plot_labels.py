"""
Wrong labels
============

A network learns wrong labels by heart: its training accuracy on them goes to 100%, and its test accuracy falls.
``RobustLabelClassifier`` gives every label an outlier of its own.
"""

# %%
# Digits, two fifths of them with a wrong label
# ---------------------------------------------

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, digits = load_digits(return_X_y=True)
train, test, clean, truth = train_test_split(X / 16, digits, test_size=500, random_state=0)
rng = np.random.default_rng(0)
wrong = rng.random(len(clean)) < 0.4
labels = np.where(wrong, (clean + rng.integers(1, 10, len(clean))) % 10, clean)

# %%
# Cross entropy alone
# -------------------

from sklearn.neural_network import MLPClassifier

plain = MLPClassifier(256, alpha=0.0, max_iter=400, random_state=0).fit(train, labels)
print(f"cross entropy: fits {plain.score(train, labels):.0%} of the labels, right or wrong")
print(f"accuracy on new digits: {plain.score(test, truth):.1%}")

# %%
# With outliers on the labels
# ---------------------------

from twofold import RobustLabelClassifier

robust = RobustLabelClassifier(random_state=0).fit(train, labels)
print(f"accuracy on new digits: {robust.score(test, truth):.1%}")
print(f"labels corrected rightly: {(robust.corrected_labels_ == clean).mean():.1%}")

# %%
# Which labels were wrong
# -----------------------
# The labels that it would correct, drawn: given label and what it takes it for.

from matplotlib.figure import Figure

changed = np.flatnonzero(robust.corrected_labels_ != labels)[:24]
figure = Figure(figsize=(9, 3.6), layout="constrained")
for axes, index in zip(figure.subplots(3, 8).flat, changed, strict=True):
    axes.imshow(train[index].reshape(8, 8), cmap="gray_r")
    axes.set_title(f"{labels[index]} → {robust.corrected_labels_[index]}", fontsize=9)
    axes.set_axis_off()
