"""The layer that weighs the parts: learned on cross-fitted scores, calibrated on validation."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr
from scipy.stats import rankdata
from torch import Tensor, nn

from counterfeit.errors import UserError

USEFUL = 0.55  # AUROC below which a view counts as chance


class Combination(nn.Module):
    """A weighted sum of standardised parts, scaled and shifted to a calibrated logit.

    All is kept in buffers: centre and scale of each part on genuine images, weights, slope and offset of the
    calibration (temperature scaling with an offset, Guo et al. 2017, Platt 1999), and the threshold.
    """

    centre: Tensor
    scale: Tensor
    weight: Tensor
    slope: Tensor
    offset: Tensor
    threshold: Tensor

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(parts))
        self.register_buffer("scale", torch.ones(parts))
        self.register_buffer("weight", torch.full((parts,), 1.0 / parts))
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("threshold", torch.full((), 0.5))

    def raw(self, parts: Tensor) -> Tensor:
        """The uncalibrated score ``(N,)`` of parts ``(N, P)``."""
        return ((parts - self.centre) / self.scale) @ self.weight

    def forward(self, parts: Tensor) -> Tensor:
        """Calibrated logits ``(N,)`` of parts ``(N, P)``."""
        return self.raw(parts) * self.slope + self.offset

    def standardise_to(self, genuine: NDArray[np.float64]) -> None:
        """Median and interquartile range of the parts ``(N, P)`` of genuine images."""
        low, middle, high = np.percentile(genuine, [25, 50, 75], axis=0)
        self.centre.copy_(torch.from_numpy(middle))
        self.scale.copy_(torch.from_numpy(np.maximum(high - low, 1e-6)))

    def fit(self, parts: NDArray[np.float64], label: NDArray[np.int64], columns: list[int]) -> None:
        """Learn the weights from cross-fitted parts of the training images.

        Args:
            parts: ``(N, P)``, each image scored by heads and genuine patches of other folds.
            label: ``(N,)``.
            columns: the parts to weigh; the others get nothing.
        """
        self.standardise_to(parts[label == 0])
        self.weight.zero_()
        self.weight[columns] = torch.from_numpy(view_weights(parts[:, columns], label)).float()

    def use_equally(self, genuine: NDArray[np.float64], columns: list[int]) -> None:
        """Weigh some parts alike, knowing genuine images ``(N, P)`` only."""
        self.standardise_to(genuine)
        self.weight.zero_()
        self.weight[columns] = 1 / len(columns)

    def calibrate(self, parts: Tensor, label: NDArray[np.int64]) -> None:
        """Fit slope and offset on validation so that the logit is that of a probability.

        The threshold is chosen by the caller, from probabilities.

        Args:
            parts: ``(N, P)`` of validation images, in which counterfeits are as frequent as probabilities shall assume.
            label: ``(N,)``.

        Raises:
            UserError: validation has one class only.
        """
        if len(np.unique(label)) < 2:
            raise UserError("validation has one class only, on which nothing can be calibrated: add images to it")
        raw = self.raw(parts).numpy().astype(np.float64)
        scale, middle = max(float(raw.std()), 1e-6), float(raw.mean())

        def loss(x: NDArray[np.float64]) -> float:
            logit = np.exp(x[0]) * (raw - middle) / scale + x[1]
            # A weak pull of the slope to 1 keeps it finite where validation is separated perfectly.
            return float((np.logaddexp(0, logit) - label * logit).mean() + 0.01 * x[0] ** 2)

        log_slope, shift = minimize(loss, np.zeros(2), method="BFGS").x
        slope = float(np.exp(log_slope)) / scale
        self.slope.fill_(slope)
        self.offset.fill_(float(shift) - slope * middle)


def view_weights(parts: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of views from cross-fitted scores: how sure it is that each is better than chance.

    With a handful of counterfeits the order of two good views is noise, and weights that follow it measured worse than
    equal ones; that a view is useless can be told. So a view weighs as much as the probability that its AUROC exceeds
    0.55, by the AUROC's standard error.

    Args:
        parts: ``(N, V)``.
        label: ``(N,)``.

    Returns:
        ``(V,)``, positive, with sum 1.
    """
    counterfeit = label == 1
    positive, negative = int(counterfeit.sum()), int((~counterfeit).sum())
    ranks = rankdata(parts, axis=0)
    area = (ranks[counterfeit].sum(0) - positive * (positive + 1) / 2) / (positive * negative)
    error = auroc_error(np.clip(area, 0.05, 0.95), positive, negative)
    weight = ndtr((area - USEFUL) / error) + 1e-6
    shared: NDArray[np.float64] = weight / weight.sum()
    return shared


def auroc_error(area: NDArray[np.float64], positive: int, negative: int) -> NDArray[np.float64]:
    """Standard error of an AUROC (Hanley and McNeil 1982).

    Args:
        area: AUROCs.
        positive: number of counterfeits.
        negative: number of genuine images.
    """
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positive - 1) * (first - area**2) + (negative - 1) * (second - area**2)
    error: NDArray[np.float64] = np.sqrt(spread / (positive * negative))
    return error
