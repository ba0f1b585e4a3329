"""The layer that weighs the parts: learned on cross-fitted scores, calibrated on validation."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from counterfeit.detector.views import part_weights
from counterfeit.errors import UserError

SURE = 8.0  # a logit of 3000 to 1: no validation set is large enough to tell more


def bounded(logit: Tensor) -> Tensor:
    """Logits of any shape, of which what goes beyond ``SURE`` on either side grows with the logarithm alone."""
    return logit.clamp(-SURE, SURE) + logit.sign() * (logit.abs() - SURE).relu().log1p()


def unbound(logit: Tensor) -> Tensor:
    """What :func:`bounded` was given."""
    return logit.clamp(-SURE, SURE) + logit.sign() * (logit.abs() - SURE).relu().expm1()


class Combination(nn.Module):
    """A weighted sum of standardised parts, scaled and shifted to a calibrated logit.

    Beyond 3000 to 1 the logit is :func:`bounded`: photographs keep their order, and the probability of one of something
    else altogether still differs from 1, and the last digit of its features, in which processors differ, hardly shows.

    All is kept in buffers: centre and scale of each part on genuine images, weights, slope and offset of the
    calibration (temperature scaling with an offset, Guo et al. 2017, Platt 1999), the threshold and the dose.
    """

    centre: Tensor
    scale: Tensor
    weight: Tensor
    slope: Tensor
    offset: Tensor
    threshold: Tensor
    dose: Tensor

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(parts))
        self.register_buffer("scale", torch.ones(parts))
        self.register_buffer("weight", torch.full((parts,), 1.0 / parts))
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("threshold", torch.full((), 0.5))
        self.register_buffer("dose", torch.zeros(()))

    def raw(self, parts: Tensor) -> Tensor:
        """The uncalibrated score ``(N,)`` of parts ``(N, P)``."""
        return ((parts - self.centre) / self.scale) @ self.weight

    def unbounded(self, parts: Tensor) -> Tensor:
        """Calibrated logits ``(N,)`` of parts ``(N, P)`` as far as they go, for what compares logits."""
        return self.raw(parts) * self.slope + self.offset

    def forward(self, parts: Tensor) -> Tensor:
        """Calibrated and :func:`bounded` logits ``(N,)`` of parts ``(N, P)``."""
        return bounded(self.unbounded(parts))

    def standardise_to(self, genuine: NDArray[np.float64]) -> None:
        """Median and interquartile range of the parts ``(N, P)`` of genuine images."""
        low, middle, high = np.percentile(genuine, [25, 50, 75], axis=0)
        self.centre.copy_(torch.from_numpy(middle))
        self.scale.copy_(torch.from_numpy(np.maximum(high - low, 1e-6)))

    def fit(self, parts: NDArray[np.float64], label: NDArray[np.int64], dose: float) -> None:
        """Learn the weights from cross-fitted parts of the training images.

        Args:
            parts: ``(N, P)``, each image scored by heads and genuine patches of other folds.
            label: ``(N,)``.
            dose: weight asked for what was learned from masks, see :func:`part_weights`; the buffer ``dose`` keeps what
                was used.
        """
        self.standardise_to(parts[label == 0])
        standardised = (parts - self.centre.cpu().numpy()) / self.scale.cpu().numpy()
        weight, used = part_weights(standardised, label, dose)
        self.weight.copy_(torch.from_numpy(weight))
        self.dose.fill_(used)

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
