"""Metrics of a risk score: pure functions of arrays.

``label`` is ``(N,)``, 0 genuine and 1 counterfeit; ``score`` is ``(N,)``, higher is more suspect (a probability for
``brier`` and ``expected_calibration_error``); ``weight`` is ``(N,)``, non-negative, 1 if left out: all are finite,
else ``ValueError``. A weight of 2 equals listing the image twice, a weight of 0 leaving it out. Every metric lies in
[0, 1], and is nan where it is not defined: the ranking metrics need both classes, the two calibration metrics at least
one image.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Metric = Literal[
    "auroc",
    "average_precision",
    "recall_at_1pct_fpr",
    "recall_at_5pct_fpr",
    "precision_at_5pct_reviewed",
    "brier",
    "expected_calibration_error",
]
METRICS: tuple[Metric, ...] = get_args(Metric)
RECALLS: tuple[Metric, ...] = ("recall_at_1pct_fpr", "recall_at_5pct_fpr")
CALIBRATION_BINS = 15

# Replicates weighed at a time: keeps the cumulative sums of a 500-image test set in the processor's cache.
_CHUNK = 512
_Weights = NDArray[np.int64] | Array


class Counts(NamedTuple):
    """Weight of the images at or above a threshold, from the highest threshold down; ``(R, T)`` each."""

    true_positive: Array
    false_positive: Array


def auroc(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Probability that a counterfeit scores above a genuine image, ties counting one half.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return float(_auroc(_counts(*_checked(label, score, weight)))[0])


def average_precision(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean precision over the counterfeits, stepwise (no interpolation), as scikit-learn reads it.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return float(_average_precision(_counts(*_checked(label, score, weight)))[0])


def recall_at_fpr(label: ArrayLike, score: ArrayLike, max_fpr: float, weight: ArrayLike | None = None) -> float:
    """Largest recall at a threshold whose false positive rate is at most ``max_fpr``.

    Equal scores pass together or not at all, and nothing is interpolated: only thresholds that could be set count.

    >>> recall_at_fpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], max_fpr=0.0)
    0.5
    """
    return float(_recall_at_fpr(_counts(*_checked(label, score, weight)), max_fpr)[0])


def precision_at_capacity(
    label: ArrayLike, score: ArrayLike, capacity: float, weight: ArrayLike | None = None
) -> float:
    """Share of counterfeits among the most suspect images that moderators have time to look at.

    ``capacity`` is a share of all images, in (0, 1]. It is met exactly: where equal scores straddle it, their images
    count in part, as if drawn among them at random.

    >>> precision_at_capacity([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], capacity=0.5)
    0.5
    """
    return float(_precision_at_capacity(_counts(*_checked(label, score, weight)), capacity)[0])


def brier(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean squared distance of the probability from the label (Brier 1950): lower is better."""
    label, score, weights = _checked(label, score, weight)
    return float(_brier(label, score, weights)[0])


def expected_calibration_error(
    label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None, bins: int = CALIBRATION_BINS
) -> float:
    """Mean distance between probability and frequency over bins of equal width (Naeini et al. 2015): lower is better.

    A probability of 1 belongs to the last bin; an edge belongs to the bin above it.
    """
    label, score, weights = _checked(label, score, weight)
    return float(_calibration_error(label, score, weights, bins)[0])


def replicate_metrics(label: ArrayLike, score: ArrayLike, weights: ArrayLike) -> Array:
    """All ``METRICS`` of one test set under many weightings: weights ``(R, N)`` to values ``(R, 7)``.

    The scores are sorted once; each weighting then costs one cumulative sum, which is fastest of integers.
    """
    label, score, _ = _checked(label, score, None)
    weights = np.atleast_2d(np.asarray(weights))
    parts = []
    for start in range(0, len(weights), _CHUNK):
        chunk = weights[start : start + _CHUNK]
        counts = _counts(label, score, chunk)
        chunk = chunk.astype(np.float64)
        columns: dict[Metric, Array] = {
            "auroc": _auroc(counts),
            "average_precision": _average_precision(counts),
            "recall_at_1pct_fpr": _recall_at_fpr(counts, 0.01),
            "recall_at_5pct_fpr": _recall_at_fpr(counts, 0.05),
            "precision_at_5pct_reviewed": _precision_at_capacity(counts, 0.05),
            "brier": _brier(label, score, chunk),
            "expected_calibration_error": _calibration_error(label, score, chunk, CALIBRATION_BINS),
        }
        parts.append(np.stack([columns[name] for name in METRICS], axis=1))
    return np.concatenate(parts)


def top_share_mean(value: Array, key: Array, weights: Array, shares: ArrayLike) -> Array:
    """Mean of ``value`` over each of the ``shares`` of the weight with the highest ``key``; equal keys count in part.

    value and key ``(N,)``, weights ``(R, N)``, shares ``(K,)`` in (0, 1], to ``(R, K)``; nan where there is no weight.
    """
    order = np.argsort(-key, kind="stable")
    ends, ordered = _ends(key[order]), weights[:, order]
    taken, reached = np.cumsum(ordered, axis=1)[:, ends], np.cumsum(ordered * value[order], axis=1)[:, ends]
    return _top_share_mean(taken, reached, np.atleast_1d(np.asarray(shares, dtype=np.float64)))


def _top_share_mean(taken: Array, reached: Array, shares: Array) -> Array:
    """Mean over the first of the weight, from the weight and the weighted sum up to each threshold, ``(R, T)`` each."""
    nothing = np.zeros((len(taken), 1))
    taken, reached = np.concatenate([nothing, taken], axis=1), np.concatenate([nothing, reached], axis=1)
    means = np.full((len(taken), len(shares)), np.nan)
    rows, thresholds = np.arange(len(taken)), taken.shape[1] - 1
    for column, share in enumerate(shares if thresholds else []):
        wanted = share * taken[:, -1]
        last = np.clip((taken < wanted[:, None]).sum(axis=1), 1, thresholds)
        part = _ratio(wanted - taken[rows, last - 1], taken[rows, last] - taken[rows, last - 1])
        total = reached[rows, last - 1] + np.nan_to_num(part) * (reached[rows, last] - reached[rows, last - 1])
        means[:, column] = _ratio(total, wanted)
    return means


def _checked(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None) -> tuple[Array, Array, Array]:
    """Label ``(N,)``, score ``(N,)`` and weights ``(1, N)`` as floats; ValueError where they make no test set."""
    label = np.asarray(label, dtype=np.float64)
    score = np.asarray(score, dtype=np.float64)
    weight = np.ones_like(score) if weight is None else np.asarray(weight, dtype=np.float64)
    if label.ndim != 1 or not label.shape == score.shape == weight.shape:
        raise ValueError(
            f"label, score and weight must be (N,) alike, got {label.shape}, {score.shape}, {weight.shape}"
        )
    if not np.isin(label, (0, 1)).all():
        raise ValueError("label must be 0 (genuine) or 1 (counterfeit)")
    if not (np.isfinite(score).all() and np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("score and weight must be finite, and weight not negative")
    return label, score, weight[None]


def _counts(label: Array, score: Array, weights: _Weights) -> Counts:
    """Counts at the thresholds that tell: each at which a counterfeit passes, the one before it, and the lowest.

    From one of them to the next either no counterfeit passes or all images pass at once, so that every metric of
    ranks can be read off them.
    """
    order = np.argsort(-score, kind="stable")
    ends, counterfeit = _ends(score[order]), label[order] == 1
    caught = np.cumsum(counterfeit)[ends]
    telling = np.diff(caught, prepend=0) > 0
    telling |= np.append(telling, True)[1:]
    ends, caught = ends[telling], caught[telling]
    return Counts(
        _weight_of_first(weights, order[counterfeit], caught),
        _weight_of_first(weights, order[~counterfeit], ends + 1 - caught),
    )


def _weight_of_first(weights: _Weights, images: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    """Weight of the first of the images, as many as each of the counts: ``(R, T)``."""
    sums = np.zeros((len(weights), len(images) + 1), weights.dtype)
    np.cumsum(weights[:, images], axis=1, out=sums[:, 1:])
    return sums[:, counts].astype(np.float64)


def _ends(ranked: Array) -> NDArray[np.int64]:
    """Where a run of equal scores ends: they cannot be told apart by a threshold, so sums are read only there."""
    if not len(ranked):
        return np.array([], dtype=np.int64)
    return np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def _ratio(numerator: Array, denominator: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _totals(counts: Counts) -> tuple[Array, Array]:
    """Weight of the counterfeits and of the genuine images, ``(R, 1)`` each."""
    if counts.true_positive.shape[1] == 0:
        nothing = np.zeros((len(counts.true_positive), 1))
        return nothing, nothing
    return counts.true_positive[:, -1:], counts.false_positive[:, -1:]


def _auroc(counts: Counts) -> Array:
    positives, negatives = _totals(counts)
    reached, false = counts
    before = np.concatenate([np.zeros((len(reached), 1)), reached[:, :-1]], axis=1)[:, : reached.shape[1]]
    area = (np.diff(false, axis=1, prepend=0.0) * (reached + before)).sum(axis=1) / 2
    return _ratio(area, (positives * negatives)[:, 0])


def _average_precision(counts: Counts) -> Array:
    positives, negatives = _totals(counts)
    reached, false = counts
    precision = np.nan_to_num(_ratio(reached, reached + false))
    hits = (np.diff(reached, axis=1, prepend=0.0) * precision).sum(axis=1)
    return np.where(negatives[:, 0] > 0, _ratio(hits, positives[:, 0]), np.nan)


def _recall_at_fpr(counts: Counts, max_fpr: float) -> Array:
    positives, negatives = _totals(counts)
    # Division, as in scikit-learn's roc_curve: 1 of 100 is then exactly the 0.01 that is asked for.
    allowed = _ratio(counts.false_positive, negatives) <= max_fpr
    reached = np.where(allowed, counts.true_positive, 0.0).max(axis=1, initial=0.0)
    return np.where(negatives[:, 0] > 0, _ratio(reached, positives[:, 0]), np.nan)


def _brier(label: Array, score: Array, weights: Array) -> Array:
    return _ratio(weights @ (score - label) ** 2, weights.sum(axis=1))


def _precision_at_capacity(counts: Counts, capacity: float) -> Array:
    positives, negatives = _totals(counts)
    both = (positives[:, 0] > 0) & (negatives[:, 0] > 0)
    taken = counts.true_positive + counts.false_positive
    return np.where(both, _top_share_mean(taken, counts.true_positive, np.array([capacity]))[:, 0], np.nan)


def _calibration_error(label: Array, score: Array, weights: Array, bins: int) -> Array:
    index = np.clip((score * bins).astype(np.int64), 0, bins - 1)
    member = (index[:, None] == np.arange(bins)) * (label - score)[:, None]
    return _ratio(np.abs(weights @ member).sum(axis=1), weights.sum(axis=1))
