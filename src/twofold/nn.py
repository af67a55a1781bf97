"""The parts for PyTorch users: over-parameterized outliers of data and of labels, and the untrained network.

Examples
--------
Any model becomes robust by adding the outliers to its prediction and training both, at discrepant learning rates
(:func:`twofold.optim.discrepant_groups`):

>>> import torch
>>> from twofold.nn import HadamardOutliers
>>> from twofold.optim import discrepant_groups
>>> t = torch.linspace(-1, 1, 50)[:, None]
>>> y = 2 * t + 1
>>> y[::7] += 5
>>> model, outliers = torch.nn.Linear(1, 1), HadamardOutliers(y.shape, start_scale=1e-3)
>>> optimizer = torch.optim.SGD(discrepant_groups(model, outliers, lr=5e-3, alpha=8))
>>> for _ in range(400):
...     optimizer.zero_grad()
...     loss = 0.5 * (y - model(t) - outliers()).square().sum()
...     loss.backward()
...     optimizer.step()
>>> bool(abs(model.weight.item() - 2) < 0.1 and abs(model.bias.item() - 1) < 0.1)
True
"""

from twofold.labels import LabelOutliers
from twofold.models.hourglass import SkipNetwork
from twofold.outliers import HadamardOutliers

__all__ = ["HadamardOutliers", "LabelOutliers", "SkipNetwork"]
