"""
A matrix in five minutes
========================

A log of 120 sensors, read 480 times. Some readings are spikes, some sensors dropped out for a while, some readings
are missing. What did the sensors measure, and which readings are not to be trusted?
"""

# %%
# The log
# -------
# The sensors see mixtures of four quantities, so the clean log has rank 4. We are not going to say so.

import numpy as np

from twofold import datasets, robust_pca

log = datasets.sensor_matrix(random_state=0)
Y = log.observed
print(Y.shape, f"{np.isnan(Y).mean():.1%} missing")

# %%
# One call
# --------
# Missing readings are NaN; nothing else has to be prepared.

solution = robust_pca(Y)
print("rank:", solution.rank)
print("outliers:", f"{solution.outlier_fraction:.1%}")
print(solution.status)

# %%
# The figure is the one that ``twofold matrix log.csv --figure log.png`` draws.

from twofold.plots import matrix_figure

figure = matrix_figure(Y, solution, names=("reading", "sensor"))

# %%
# Is it right?
# ------------
# This log was made, so the truth is known.

error = np.linalg.norm(solution.low_rank - log.clean) / np.linalg.norm(log.clean)
print(f"relative error of the low-rank part, missing readings included: {error:.0e}")

# %%
# Without the truth, the certificate answers: no other split of the log into low rank and outliers has an objective
# smaller by more than this share. It is recomputed from the log, the answer, and a dual variable.

print(f"duality gap: {solution.certificate.verify(Y):.0e}")

# %%
# Ordinary PCA
# ------------
# With missing readings filled with the sensor's mean, and told the rank:

filled = np.where(np.isnan(Y), np.nanmean(Y, axis=0), Y)
U, s, Vt = np.linalg.svd(filled, full_matrices=False)
pca = (U[:, :4] * s[:4]) @ Vt[:4]
print(f"relative error of PCA: {np.linalg.norm(pca - log.clean) / np.linalg.norm(log.clean):.2f}")

# %%
# New readings
# ------------
# As a scikit-learn estimator. Outliers in new rows do not leak into their scores.

from twofold import RobustPCA

model = RobustPCA().fit(Y[:400])
denoised = model.denoise(Y[400:])
print(f"error on new rows: {np.abs(denoised - log.clean[400:]).max():.0e}")
