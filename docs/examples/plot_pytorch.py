"""
Your own PyTorch model in five minutes
======================================

A network with more parameters than data, and data with gross errors. A robust loss does not help: the network can fit
the errors too, and with enough steps it does. Outliers of their own, trained at a larger rate, take them over.
"""

# %%
# A curve with wrong points
# -------------------------

import torch

generator = torch.Generator().manual_seed(0)
t = torch.linspace(-1, 1, 200)[:, None]
truth = torch.sin(3 * t) + 0.5 * t
y = truth.clone()
wrong = torch.rand(t.shape, generator=generator) < 0.2
y[wrong] += 2 + torch.rand(int(wrong.sum()), generator=generator)


# %%
# A network of 130,000 parameters on random Fourier features, of which most are of high frequency: it can draw any
# curve through 200 points.

frequencies = 40 * torch.randn(1, 128, generator=generator)
amplitudes = 1 / (1 + (frequencies / 6) ** 2)
features = torch.cat([torch.sin(t * frequencies) * amplitudes, torch.cos(t * frequencies) * amplitudes, t], dim=1)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(257, 512), torch.nn.Tanh(), torch.nn.Linear(512, 1))


def error(model):
    return float((model(features) - truth).detach().square().mean().sqrt())


# %%
# Least absolute deviations
# -------------------------
# The classical robust loss, minimized by Adam.

STEPS = 4000


def fit_l1():
    model, errors = network(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (y - model(features)).abs().sum().backward()
        optimizer.step()
        errors.append(error(model))
    return model(features).detach(), errors


l1, l1_errors = fit_l1()

# %%
# Double over-parameterization
# ----------------------------
# Two lines change: the outliers are added to the prediction, and the optimizer gets discrepant learning rates.

from twofold.nn import HadamardOutliers
from twofold.optim import discrepant_groups


def fit_double():
    model, outliers, errors = network(), HadamardOutliers(y.shape, start_scale=1e-5), []
    optimizer = torch.optim.SGD(discrepant_groups(model, outliers, lr=3e-4, alpha=100))
    for _ in range(STEPS):
        optimizer.zero_grad()
        (0.5 * (y - model(features) - outliers()).square().sum()).backward()
        optimizer.step()
        errors.append(error(model))
    return model(features).detach(), errors, outliers().detach()


double, double_errors, found = fit_double()

# %%
# The error of the first falls and rises again; it would have to be stopped at the right step, which nobody knows. The
# second falls and stays.

from matplotlib.figure import Figure

figure = Figure(figsize=(10, 3.6), layout="constrained")
left, right = figure.subplots(1, 2)
left.plot(t, y, ".", color="0.6", label="data")
left.plot(t, truth, color="0.2", linewidth=3, alpha=0.4, label="truth")
left.plot(t, l1, color="#D55E00", label="l1 loss")
left.plot(t, double, color="#0072B2", label="double over-parameterization")
left.legend(frameon=False, fontsize=8)
right.loglog(l1_errors, color="#D55E00", label="l1 loss")
right.loglog(double_errors, color="#0072B2", label="double over-parameterization")
right.set_xlabel("step")
right.set_ylabel("error of the curve")
right.legend(frameon=False, fontsize=8)

# %%
print(f"l1 loss: best {min(l1_errors):.3f}, in the end {l1_errors[-1]:.3f}")
print(f"double:  best {min(double_errors):.3f}, in the end {double_errors[-1]:.3f}")
print(f"wrong points that were found: {((found.abs() > 1) & wrong).sum()} of {wrong.sum()}")
