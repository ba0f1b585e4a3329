"""Tests that know nothing of training: DeLong and McNemar, as checks beside the bootstrap, and Holm's adjustment."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

Array = NDArray[np.float64]


def delong_standard_error(label: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """Estimate the standard error of the AUROC difference of two scores of the same images (DeLong et al. 1988).

    Uses midranks (Sun and Xu 2014). It takes the images as independent and the two models as given, so it knows
    nothing of groups and of training: a check on the bootstrap, not a replacement.

    Args:
        label: ``(N,)``, 1 counterfeit, else genuine.
        first: ``(N,)`` scores.
        second: ``(N,)`` scores.

    Returns:
        The standard error; nan with fewer than two of a class.
    """
    positive = np.asarray(label) == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if min(n_positive, n_negative) < 2:
        return float("nan")
    placements = np.zeros(len(positive))
    for sign, score in ((1.0, np.asarray(first)), (-1.0, np.asarray(second))):
        # Share of the other class that each image beats.
        placements[positive] += sign * _beaten(score[positive], score[~positive]) / n_negative
        placements[~positive] += sign * _beaten(score[~positive], score[positive]) / n_positive
    variance = placements[positive].var(ddof=1) / n_positive + placements[~positive].var(ddof=1) / n_negative
    return float(np.sqrt(variance))


def _beaten(score: Array, others: Array) -> Array:
    """How many of the others each score is above, ties counting one half: its rank among all less that in its class."""
    ordered = np.sort(others)
    beaten: Array = (np.searchsorted(ordered, score, "left") + np.searchsorted(ordered, score, "right")) / 2
    return beaten


def holm(p_values: ArrayLike) -> Array:
    """Holm's (1979) step-down adjusted p-values.

    Args:
        p_values: ``(M,)``.

    Returns:
        ``(M,)`` in the order given.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def clustered_mcnemar(difference: ArrayLike, group: ArrayLike) -> float:
    """Two-sided p-value of McNemar's test where images of one group are not independent (Yang, Sun and Hardin 2010).

    With one image a group this is McNemar's test without continuity correction.

    Args:
        difference: ``(N,)``, 1 where the first detector alone is right, -1 where the second alone is, else 0.
        group: ``(N,)``; an image that several seeds test belongs to its group each time.

    Returns:
        The p-value; 1 where the two never differ.
    """
    difference = np.asarray(difference, dtype=np.float64)
    sums = np.bincount(np.unique(np.asarray(group), return_inverse=True)[1], weights=difference)
    spread = float(np.square(sums).sum())
    return float(2 * norm.sf(abs(sums.sum()) / spread**0.5)) if spread else 1.0
