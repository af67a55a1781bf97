"""Over-parameterized label noise: per-sample outliers on the labels of a classifier.

With y a one-hot label and p = softmax(f(x; theta)), a label is explained by the classifier and an outlier of its own:

    y ≈ p + s,      s = g∘g∘y − h∘h∘(1 − y)

g can only take over the class that the label names, h only give back to the classes that it does not: a wrong label
is explained by g at the named class and h at the right one. Both start near zero and move at a larger rate than
theta, so that what the classifier learns slowly, by memorizing single samples, is taken over by s before.

Losses, summed over samples (Liu, Zhu, Qu, You, ICML 2022, section 3.2):

    theta, g    cross entropy of  q = (p + s)⁺ / Σ(p + s)⁺  with y, with h held fixed
    h           ‖onehot(argmax p) + s − y‖²,  with theta and g held fixed

The square loss alone, ½‖y − p − s‖², works as well but gives theta hardly any pull while p is far from y: on digits
with 40% wrong labels it needs four times as many epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twofold.optim import discrepant_groups

SMALL = 1e-4
"""Least probability in the cross entropy."""


class LabelOutliers(nn.Module):
    """Outliers of the labels of a training set: s = g∘g∘y − h∘h∘(1 − y), one row a sample.

    Parameters
    ----------
    n_samples, n_classes : int
    start_scale : float, default 1e-8
        g and h start at this constant. The larger, the sooner labels are taken for wrong.
    dtype, device : optional
        As in PyTorch.

    Raises
    ------
    ValueError
        If start_scale is not a positive number, or a size not a positive integer.

    References
    ----------
    Liu, Zhu, Qu, You: Robust Training under Label Noise by Over-parameterization, ICML 2022.

    Examples
    --------
    >>> outliers = LabelOutliers(3, 2, start_scale=0.5)
    >>> outliers(torch.tensor([0, 2]), labels=torch.tensor([1, 0]))
    tensor([[-0.2500,  0.2500],
            [ 0.2500, -0.2500]], grad_fn=<SubBackward0>)
    """

    def __init__(
        self,
        n_samples: int,
        n_classes: int,
        *,
        start_scale: float = 1e-8,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("n_samples", n_samples), ("n_classes", n_classes)):
            if size < 1:
                raise ValueError(f"{name}={size!r}: a positive integer is accepted")
        if not (math.isfinite(start_scale) and start_scale > 0):
            raise ValueError(f"start_scale={start_scale!r}: a positive number is accepted")
        start = torch.full((n_samples, n_classes), start_scale, dtype=dtype, device=device)
        self.g = nn.Parameter(start[:, :1].clone())  # a label names one class
        self.h = nn.Parameter(start)

    def _parts(self, indices: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """y, g∘g∘y and h∘h∘(1 − y), with gradients of the chosen rows only."""
        y = F.one_hot(labels, self.h.shape[1]).to(self.h.dtype)
        g, h = F.embedding(indices, self.g, sparse=True), F.embedding(indices, self.h, sparse=True)
        return y, g * g * y, h * h * (1 - y)

    def forward(self, indices: Tensor, labels: Tensor) -> Tensor:
        """s of some samples.

        Parameters
        ----------
        indices, labels : int64 Tensor of shape (batch,)
            Places of the samples in the training set, and the class that each one's label names.

        Returns
        -------
        Tensor of shape (batch, n_classes)
        """
        _, taken, given = self._parts(indices, labels)
        return taken - given

    def loss(self, logits: Tensor, indices: Tensor, labels: Tensor) -> Tensor:
        """The losses of the module's docstring, summed over samples; differentiable in the logits, g and h.

        Parameters
        ----------
        logits : Tensor of shape (batch, n_classes)
            f(x; theta), before the softmax.
        indices, labels : int64 Tensor of shape (batch,)

        Returns
        -------
        Tensor, a number
        """
        y, taken, given = self._parts(indices, labels)
        p = logits.softmax(1)
        q = (p + taken - given.detach()).clamp(min=SMALL)
        cross_entropy = -(q / q.sum(1, keepdim=True)).gather(1, labels[:, None]).log().sum()
        decided = F.one_hot(p.argmax(1), p.shape[1]).to(p.dtype)
        return cross_entropy + (decided + taken.detach() - given - y).square().sum()


@dataclass(frozen=True)
class Epoch:
    """After an epoch: mean loss a sample, and share of the samples whose label the classifier agrees with."""

    number: int
    n_epochs: int
    loss: float
    agreement: float


def train(
    module: nn.Module,
    outliers: LabelOutliers | None,
    inputs: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    alpha: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    generator: torch.Generator,
    observer: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Epoch]:
    """Train a classifier and the outliers of its labels by stochastic gradient descent at discrepant rates.

        theta ← theta − lr·∇(loss / batch_size),     (g, h) ← (g, h) − alpha·lr·∇ loss

    for the sum of losses over a batch: the outliers of a sample see that sample alone, whatever the batch's size.
    The rates fall by a cosine to zero.

    Parameters
    ----------
    module : nn.Module
        Inputs (batch, ...) → logits (batch, n_classes). Trained in place.
    outliers : LabelOutliers, optional
        Trained in place. None: plain cross entropy.
    inputs : Tensor of shape (n_samples, ...)
    labels : int64 Tensor of shape (n_samples,)
    epochs, batch_size : int
    lr : float
        Of theta, for the mean loss.
    alpha : float
        Ratio of the learning rates for one sample.
    momentum, weight_decay : float
        Of theta; g and h have neither.
    generator : torch.Generator
        Draws the batches. On the CPU.
    observer : callable

    Returns
    -------
    list of Epoch
        loss is not finite where the training diverged, and nothing was trained after that.
    """
    n = len(inputs)
    batch_size = min(batch_size, n)
    if outliers is None:
        groups = [{"params": list(module.parameters()), "lr": lr}]
    else:
        groups = discrepant_groups(module, outliers, lr, alpha * batch_size)
        groups[1]["momentum"] = 0.0
    groups[0]["weight_decay"] = weight_decay
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    history: list[Epoch] = []
    module.train()
    for number in range(1, epochs + 1):
        total = agreed = torch.zeros((), device=inputs.device)
        for batch in _batches(n, batch_size, generator):
            indices = batch.to(inputs.device)
            logits, named = module(inputs[indices]), labels[indices]
            if outliers is None:
                loss = F.cross_entropy(logits, named, reduction="sum")
            else:
                loss = outliers.loss(logits, indices, named)
            optimizer.zero_grad()
            (loss / batch_size).backward()
            optimizer.step()
            total = total + loss.detach()
            agreed = agreed + (logits.detach().argmax(1) == named).sum()
        schedule.step()
        history.append(Epoch(number, epochs, float(total) / n, float(agreed) / n))
        observer(history[-1])
        if not math.isfinite(history[-1].loss):
            break
    module.eval()
    return history


def _batches(n: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """All indices in random order; a last batch of one joins the one before, since batch norm needs two."""
    batches = list(torch.randperm(n, generator=generator).split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
