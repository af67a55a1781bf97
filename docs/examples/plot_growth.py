"""
Watching the implicit bias
==========================

Gradient descent on a model that could fit anything: X = U·Vᵀ with square factors, and an outlier for every entry. It
starts from almost nothing, and both grow. What was there comes up first, and what was not stays small.
"""

# %%
# A matrix of rank 3 with a tenth of its entries wrong
# ----------------------------------------------------

import numpy as np
import torch

from twofold import datasets

n, rank = 60, 3
data = datasets.low_rank_plus_sparse(n, rank, 0.1, random_state=0)
Y, wrong = data.observed, data.outliers != 0

# %%
# The descent, as published
# -------------------------
# ``descend`` is the one loop of twofold. It is looked at whenever its number of steps has grown by a tenth.

from twofold.descent import descend
from twofold.history import History
from twofold.models.factored import AsymmetricFactors
from twofold.outliers import HadamardOutliers
from twofold.problem import Problem

scale = float(np.linalg.norm(Y, 2))
problem = Problem(torch.from_numpy(Y / scale))
generator = torch.Generator().manual_seed(0)
start = 1e-4
factors = AsymmetricFactors.random((n, n), start, generator=generator, dtype=torch.float64)
outliers = HadamardOutliers((n, n), start_scale=start, dtype=torch.float64)
looks = sorted({round(step) for step in np.geomspace(1, 4000, 70)})
steps, values, low, sparse = [], [], [], []


def look(step, residual):
    if step in looks:
        steps.append(step)
        low.append(factors.value().numpy().copy())
        values.append(np.linalg.svd(low[-1], compute_uv=False))
        sparse.append(outliers.value().numpy().copy())
    return False


alpha = np.sqrt(n)
descend(
    problem, factors, outliers, tau=lambda step: 0.4, alpha=alpha * factors.rate_ratio_per_alpha, max_steps=4001,
    terminate=look, history=History(), act="descent",
)  # fmt: skip
values, low, sparse = np.array(values), np.array(low), np.array(sparse)

# %%
# Singular values and outliers over time
# --------------------------------------
# Three singular values rise out of sixty, and the entries of s that are outliers rise out of all. The smaller the
# start, the wider the gap: this is what tells the rank and the outliers to act 1, after a few dozen steps.

from matplotlib.figure import Figure

figure = Figure(figsize=(10, 4), layout="constrained")
left, right = figure.subplots(1, 2)
left.loglog(steps, values[:, :rank], color="#0072B2")
left.loglog(steps, values[:, rank:], color="0.75", linewidth=0.8)
left.set_ylabel("singular values of U·Vᵀ")
magnitudes = np.abs(sparse).reshape(len(steps), -1) + 1e-12
right.loglog(steps, magnitudes[:, ~wrong.ravel()][:, ::17], color="0.75", linewidth=0.5)
right.loglog(steps, magnitudes[:, wrong.ravel()][:, ::6], color="#D55E00", linewidth=0.8)
right.set_ylabel("|g∘g − h∘h|, wrong entries in colour")
for axes in (left, right):
    axes.set_xlabel("step")
    axes.set_ylim(1e-9, 2)

# %%
# The same as a film
# ------------------

from matplotlib import animation
from matplotlib import pyplot as plt

film, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 3.4), layout="constrained")
limit = float(np.abs(data.low_rank).max()) / scale
shown = []
for axes, title in ((left, "X = U·Vᵀ"), (middle, "s = g∘g − h∘h")):
    shown.append(axes.imshow(np.zeros((n, n)), cmap="RdBu_r", vmin=-limit, vmax=limit))
    axes.set_title(title)
    axes.set_axis_off()
(dots,) = right.semilogy(range(1, 21), np.ones(20), "o", color="#0072B2")
right.set_ylim(1e-9, 2)
right.set_title("singular values of X")
right.set_xlabel("index")


def draw(frame):
    shown[0].set_data(low[frame])
    shown[1].set_data(sparse[frame])
    dots.set_ydata(values[frame, :20])
    film.suptitle(f"step {steps[frame]}")
    return []


movie = animation.FuncAnimation(film, draw, frames=len(steps), interval=120)
