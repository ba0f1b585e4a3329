"""What a stored threshold does: rates of its decisions, and accuracy when a person takes over the unsure ones.

An image is called counterfeit at or above the threshold. Weights are those of :mod:`counterfeit.evaluation.metrics`.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from counterfeit.evaluation.metrics import top_share_mean

Array = NDArray[np.float64]
Rate = Literal["recall", "fpr", "precision"]
RATES: tuple[Rate, ...] = get_args(Rate)
REFERRED = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)  # shares of the images that a person looks at


def decision_rates(label: ArrayLike, flagged: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Recall, false positive rate and precision of decisions.

    Args:
        label: ``(N,)``, 0 genuine and 1 counterfeit.
        flagged: ``(N,)``, whether an image is called counterfeit.
        weights: ``(R, N)``; one row of ones if left out.

    Returns:
        ``(R, 3)``, nan where a rate has no image to rest on.

    >>> decision_rates([0, 0, 1, 1], [False, True, True, True]).tolist()
    [[1.0, 0.5, 0.6666666666666666]]
    """
    label, flagged = np.asarray(label, dtype=np.float64), np.asarray(flagged, dtype=np.float64)
    weights = np.ones((1, len(label))) if weights is None else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    counterfeit, genuine = weights @ label, weights @ (1 - label)
    caught, false = weights @ (label * flagged), weights @ ((1 - label) * flagged)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates: Array = np.stack([caught / counterfeit, false / genuine, caught / (caught + false)], axis=1)
    return rates


def risk_coverage(
    label: ArrayLike,
    score: ArrayLike,
    threshold: float,
    weights: ArrayLike | None = None,
    referred: ArrayLike = REFERRED,
) -> Array:
    """Accuracy on the images that stay with the detector when it refers its least sure ones (El-Yaniv, Wiener 2010).

    Sure means far from the threshold in logits.

    Args:
        label: ``(N,)``, 0 genuine and 1 counterfeit.
        score: ``(N,)``, probabilities.
        threshold: a probability.
        weights: ``(R, N)``; one row of ones if left out.
        referred: ``(K,)``, shares in [0, 1).

    Returns:
        ``(R, K)``, nan without images.

    >>> risk_coverage([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], 0.5, referred=[0.0, 0.25]).tolist()
    [[0.75, 1.0]]
    """
    label, score = np.asarray(label), np.asarray(score, dtype=np.float64)
    weights = np.ones((1, len(label))) if weights is None else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    right = ((score >= threshold) == (label == 1)).astype(np.float64)
    sure = np.abs(_finite_logit(score) - _finite_logit(np.array(threshold)))
    return top_share_mean(right, sure, weights, 1 - np.asarray(referred, dtype=np.float64))


def _finite_logit(probability: Array) -> Array:
    finite: Array = logit(np.clip(probability, 1e-12, 1 - 1e-12))
    return finite
