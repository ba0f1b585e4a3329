"""A mean over seeds and its uncertainty: groups are resampled, training is a random effect of the seeds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

Array = NDArray[np.float64]


class Resampled(NamedTuple):
    """A mean over seeds with its 95 % interval and two-sided p-value against zero.

    `standard_error` joins `images_error`, from resampling groups, and `training_error`, from what training adds between
    seeds; `freedom` are its degrees of freedom.
    """

    estimate: float
    low: float
    high: float
    p: float
    standard_error: float
    images_error: float
    training_error: float
    freedom: float


_NAN = float("nan")
_UNDEFINED = Resampled(_NAN, _NAN, _NAN, 1.0, _NAN, _NAN, _NAN, _NAN)


class _Errors(NamedTuple):
    images: float
    training: float
    total: float
    freedom: float


def group_weights(n_groups: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """How often each group is drawn in each resample: `(R, G)`, rows sum to the number of groups."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)


def resampled_mean(actual: Array, replicates: Array, seed: int = 0) -> Resampled:
    """Mean of a metric, or of a difference, over seeds, from a bootstrap over groups and seeds.

    `actual` is `(S,)`, the value of each seed; `replicates` is `(R, S)`, the same under resampled groups (the same
    resample in every seed of a row). Seeds with an undefined value and replicates with one are left out; without any
    left, all is nan and p is 1.

    The draws are the replicates' mean over seeds, centred on the estimate, plus a normal deviation for training, drawn
    from `seed`; then all are widened by the ratio of Student's to the normal quantile. Resampling seeds instead would
    count what a group does in one seed three times (Owen 2007), and among few seeds find hardly any spread.
    """
    defined = np.isfinite(actual)
    actual, replicates = actual[defined], replicates[:, defined]
    replicates = replicates[np.isfinite(replicates).all(axis=1)]
    if replicates.size == 0:
        return _UNDEFINED
    estimate, errors = float(actual.mean()), _two_way_errors(actual, replicates)
    deviation = replicates.mean(axis=1)
    deviation -= deviation.mean()
    # A stream of its own: the caller drew the groups from `seed` itself.
    deviation += errors.training * np.random.default_rng([seed, 1]).normal(size=len(deviation))
    widened = errors.total * float(stdtrit(errors.freedom, 0.975) / ndtri(0.975))
    spread = float(deviation.std())
    draws = estimate + deviation * (widened / spread if spread else 0.0)
    low, high = np.quantile(draws, (0.025, 0.975))
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * (float(beyond) + 1) / (len(draws) + 1))
    if estimate == 0:
        p = 1.0
    # Where few replicates differ at all, centring moves all the others to one side of the estimate.
    low, high = min(low, estimate), max(high, estimate)
    return Resampled(estimate, float(low), float(high), p, errors.total, errors.images, errors.training, errors.freedom)


def joint_draws(actual: Array, replicates: Array, seed: int = 0) -> Array:
    """Draws of the means of several metrics together, each with the spread that `resampled_mean` gives it alone.

    `actual` is `(S, C)`, the columns of each seed; `replicates` is `(R, S, C)`, the same under resampled groups. The
    columns move together as they do under resampled groups and between seeds. Replicates with an undefined value are
    left out.

    Returns `(R', C)`; empty where a column is undefined for a seed, or no replicate is left.
    """
    replicates = replicates[np.isfinite(replicates).all(axis=(1, 2))]
    if not np.isfinite(actual).all() or replicates.size == 0:
        return np.empty((0, actual.shape[1]))
    apart = actual - actual.mean(axis=0)
    length = np.linalg.norm(apart, axis=0)
    # One deviation for each seed, shared by its columns; along a column it has unit variance.
    noise = np.random.default_rng([seed, 1]).normal(size=(len(replicates), len(actual)))
    training = noise @ np.divide(apart, length, out=np.zeros_like(apart), where=length > 0)
    deviation = replicates.mean(axis=1)
    deviation -= deviation.mean(axis=0)
    for column in range(actual.shape[1]):
        errors = _two_way_errors(actual[:, column], replicates[:, :, column])
        deviation[:, column] += errors.training * training[:, column]
        spread = float(deviation[:, column].std())
        widened = errors.total * float(stdtrit(errors.freedom, 0.975) / ndtri(0.975))
        deviation[:, column] *= widened / spread if spread else 0.0
    means: Array = actual.mean(axis=0) + deviation
    return means


def _two_way_errors(actual: Array, replicates: Array) -> _Errors:
    """Estimate the error of a mean over seeds whose test images may overlap: images and training, each counted once.

    The variance between seeds holds the noise of their test images too, which is taken off before it is added to the
    variance from resampling groups (as Cameron, Gelbach and Miller 2011 do for two-way clusters). The degrees of
    freedom follow Satterthwaite (1946), so that few seeds widen the interval, also where they agree by chance. One
    seed says nothing about training: then only groups count.
    """
    seeds = len(actual)
    images = float(replicates.mean(axis=1).var())
    if seeds == 1:
        return _Errors(images**0.5, 0.0, images**0.5, np.inf)
    between, within = float(actual.var(ddof=1)) / seeds, float(replicates.var(axis=0).mean()) / seeds
    training = max(0.0, between - within)
    total, doubtful = images + training, max(between, within)
    if doubtful == 0:
        return _Errors(0.0, 0.0, 0.0, np.inf)
    # The closer the seeds agree, the less training can matter: up to two more degrees of freedom, found by simulation.
    seen = seeds - 1 + 2 * max(0.0, 1 - between / doubtful)
    return _Errors(images**0.5, training**0.5, total**0.5, seen * max(1.0, total / doubtful) ** 2)
