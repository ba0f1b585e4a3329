"""Metrics of a risk score, and the statistics of their differences: pure functions of arrays.

`label` is `(N,)`, 0 genuine and 1 counterfeit; `score` is `(N,)`, higher is more suspect (a probability for `brier`
and `expected_calibration_error`); `weight` is `(N,)`, non-negative, 1 if left out. A weight of 2 equals listing the
image twice, a weight of 0 leaving it out. Every metric lies in [0, 1], and is nan where it is not defined: all four
ranking metrics need both classes, the two calibration metrics at least one image.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

Array = NDArray[np.float64]
Metric = Literal["auroc", "average_precision", "recall_at_1pct_fpr", "recall_at_5pct_fpr", "brier"]
METRICS: tuple[Metric, ...] = get_args(Metric)

# Replicates weighed at a time: keeps the cumulative sums of a 500-image test set in the processor's cache.
_CHUNK = 128


class Counts(NamedTuple):
    """Weight of the images at or above each distinct score, from the highest score down; `(R, T)` each."""

    true_positive: Array
    false_positive: Array


class Resampled(NamedTuple):
    """A mean over seeds with its 95 % interval, standard error, and two-sided p-value against zero."""

    estimate: float
    low: float
    high: float
    standard_error: float
    p: float


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
    """Largest recall at a threshold whose false positive rate is at most `max_fpr`.

    Equal scores pass together or not at all, and nothing is interpolated: only thresholds that could be set count.

    >>> recall_at_fpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], max_fpr=0.0)
    0.5
    """
    return float(_recall_at_fpr(_counts(*_checked(label, score, weight)), max_fpr)[0])


def brier(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean squared distance of the probability from the label (Brier 1950): lower is better."""
    label, score, weights = _checked(label, score, weight)
    return float(_brier(label, score, weights)[0])


def expected_calibration_error(
    label: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None, bins: int = 15
) -> float:
    """Mean distance between probability and frequency over bins of equal width (Naeini et al. 2015): lower is better.

    A probability of 1 belongs to the last bin; an edge belongs to the bin above it.
    """
    label, score, weights = _checked(label, score, weight)
    total = weights.sum()
    if total == 0:
        return float("nan")
    index = np.clip((score * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(index, weights=weights[0] * (label - score), minlength=bins)
    return float(np.abs(gap).sum() / total)


def replicate_metrics(label: ArrayLike, score: ArrayLike, weights: ArrayLike) -> Array:
    """All `METRICS` of one test set under many weightings: weights `(R, N)` to values `(R, 5)`.

    The scores are sorted once; each weighting then costs two cumulative sums.
    """
    label, score, _ = _checked(label, score, None)
    weights = np.atleast_2d(np.asarray(weights))
    parts = []
    for start in range(0, len(weights), _CHUNK):
        chunk = weights[start : start + _CHUNK].astype(np.float64)
        counts = _counts(label, score, chunk)
        columns: dict[Metric, Array] = {
            "auroc": _auroc(counts),
            "average_precision": _average_precision(counts),
            "recall_at_1pct_fpr": _recall_at_fpr(counts, 0.01),
            "recall_at_5pct_fpr": _recall_at_fpr(counts, 0.05),
            "brier": _brier(label, score, chunk),
        }
        parts.append(np.stack([columns[name] for name in METRICS], axis=1))
    return np.concatenate(parts)


def delong_standard_error(label: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """Estimate the standard error of the AUROC difference of two scores of the same images (DeLong et al. 1988).

    Uses midranks (Sun and Xu 2014). It takes the images as independent and the two models as given, so it knows
    nothing of groups and of training: a check on the bootstrap, not a replacement. nan with fewer than two of a class.
    """
    label, first, _ = _checked(label, first, None)
    _, second, _ = _checked(label, second, None)
    positive = label == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if min(n_positive, n_negative) < 2:
        return float("nan")
    placements = np.zeros(len(label))
    for sign, score in ((1.0, first), (-1.0, second)):
        rank = rankdata(score)
        # Share of the other class that each image beats: its rank among all less its rank in its own class.
        placements[positive] += sign * (rank[positive] - rankdata(score[positive])) / n_negative
        placements[~positive] += sign * (rank[~positive] - rankdata(score[~positive])) / n_positive
    variance = placements[positive].var(ddof=1) / n_positive + placements[~positive].var(ddof=1) / n_negative
    return float(np.sqrt(variance))


def holm(p_values: ArrayLike) -> Array:
    """Holm's (1979) step-down adjusted p-values, `(M,)` in the order given.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def resampled_mean(actual: Array, replicates: Array, seed: int = 0) -> Resampled:
    """Mean of a metric, or of a difference, over seeds, from a bootstrap over groups and seeds.

    `actual` is `(S,)`, the value of each seed; `replicates` is `(R, S)`, the same under resampled groups (the same
    resample in every seed of a row). The seeds are resampled here, with replacement. Seeds with an undefined value and
    replicates with one are left out; without any left, all is nan and p is 1.

    Resampling both ways at once counts what a group does in one seed alone three times (Owen 2007), and few seeds once
    too little. So the deviations of the replicates are centred and rescaled to `_two_way_error`; their shape is kept.
    """
    defined = np.isfinite(actual)
    actual, replicates = actual[defined], replicates[:, defined]
    replicates = replicates[np.isfinite(replicates).all(axis=1)]
    if replicates.size == 0:
        return Resampled(float("nan"), float("nan"), float("nan"), float("nan"), 1.0)
    seeds, estimate = len(actual), float(actual.mean())
    # A stream of its own: the caller drew the groups from `seed` itself.
    share = np.random.default_rng([seed, 1]).multinomial(seeds, np.full(seeds, 1 / seeds), size=len(replicates)) / seeds
    deviation = (share * replicates).sum(axis=1)
    deviation -= deviation.mean()
    error = _two_way_error(actual, replicates)
    draws = estimate + deviation * (error / deviation.std() if deviation.any() else 0.0)
    low, high = np.quantile(draws, (0.025, 0.975))
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * (float(beyond) + 1) / (len(draws) + 1))
    return Resampled(estimate, float(low), float(high), error, p)


def _two_way_error(actual: Array, replicates: Array) -> float:
    """Estimate the error of a mean over seeds whose test images overlap: images and training, each counted once.

    The variance between seeds holds the noise of their test images too, which is taken off before it is added to the
    variance from resampling groups (as Cameron, Gelbach and Miller 2011 do for two-way clusters). Few seeds estimate
    it badly, so the error is widened by the ratio of Student's quantile to the normal one, at Satterthwaite's degrees
    of freedom. One seed says nothing about training: then only groups count.
    """
    seeds = len(actual)
    images = float(replicates.mean(axis=1).var())
    between = float(actual.var(ddof=1)) / seeds if seeds > 1 else 0.0
    training = between - float(replicates.var(axis=0).mean()) / seeds
    if training <= 0:
        return float(np.sqrt(images))
    freedom = (seeds - 1) * max(1.0, (images + training) / between) ** 2
    widening = stdtrit(freedom, 0.975) / ndtri(0.975)
    return float(np.sqrt(images + training) * widening)


def _checked(label: ArrayLike, score: ArrayLike, weight: ArrayLike | None) -> tuple[Array, Array, Array]:
    """Label `(N,)`, score `(N,)` and weights `(1, N)` as floats; ValueError where they make no test set."""
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


def _counts(label: Array, score: Array, weights: Array) -> Counts:
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    # Equal scores cannot be told apart by a threshold: read the sums only where a run of them ends.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.array([], dtype=np.int64)
    weights = weights[:, order]
    positive = np.cumsum(weights * label[order], axis=1)
    everything = np.cumsum(weights, axis=1)
    return Counts(positive[:, ends], (everything - positive)[:, ends])


def _ratio(numerator: Array, denominator: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _totals(counts: Counts) -> tuple[Array, Array]:
    """Weight of the counterfeits and of the genuine images, `(R, 1)` each."""
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
