"""A mean over seeds and its uncertainty: groups are resampled, training is a random effect of the seeds."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtri, stdtrit

Array = NDArray[np.float64]


class Resampled(NamedTuple):
    """A mean over seeds with its 95 % interval and two-sided p-value against zero.

    Attributes:
        estimate: the mean.
        low: lower end of the interval.
        high: upper end.
        p: two-sided p-value.
        standard_error: joins the two errors below.
        images_error: from resampling groups.
        training_error: from what training adds between seeds.
        freedom: degrees of freedom of ``standard_error``.
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
    """Variances of a mean over seeds, and the seeds less one.

    Attributes:
        images: from resampling groups.
        training: from what training adds between seeds.
        shared: the part of ``images`` that seeds have in common.
        apart: what the spread between seeds says of the rest and of training together.
        seeds_less_one: number of seeds less one.
    """

    images: float
    training: float
    shared: float
    apart: float
    seeds_less_one: int


def group_weights(n_groups: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """How often each group is drawn in each resample.

    Args:
        n_groups: ``G``.
        resamples: ``R``.
        seed: of the draws.

    Returns:
        ``(R, G)``, rows sum to the number of groups.
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)


def resampled_mean(actual: Array, replicates: Array, seed: int = 0) -> Resampled:
    """Mean of a metric, or of a difference, over seeds, from a bootstrap over groups and seeds.

    The draws are the replicates' mean over seeds, centred on the estimate and scaled to the images that seeds share,
    plus a deviation for all that differs between seeds, training and images of their own: Student's with one degree
    less than seeds (as Hartung and Knapp 2001 do for means over studies), drawn from ``seed``. Resampling seeds instead
    would count what a group does in one seed three times (Owen 2007), and among few seeds find hardly any spread.

    Args:
        actual: ``(S,)``, the value of each seed; seeds with an undefined one are left out.
        replicates: ``(R, S)``, the same under resampled groups, the same resample in every seed of a row; rows with an
            undefined value are left out.
        seed: of the deviation between seeds.

    Returns:
        The mean and its errors; all is nan and p is 1 where no seed or no replicate is left.
    """
    defined = np.isfinite(actual)
    actual, replicates = actual[defined], replicates[:, defined]
    replicates = replicates[np.isfinite(replicates).all(axis=1)]
    if replicates.size == 0:
        return _UNDEFINED
    estimate, errors = float(actual.mean()), _errors(actual, replicates)
    draws = estimate + _shared_deviation(replicates, errors)
    draws += errors.apart**0.5 * _student(len(draws), errors.seeds_less_one, seed)
    low, high = np.quantile(draws, (0.025, 0.975))
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * (float(beyond) + 1) / (len(draws) + 1))
    if estimate == 0:
        p = 1.0
    # Where few replicates differ at all, centring moves all the others to one side of the estimate.
    low, high = min(low, estimate), max(high, estimate)
    total = errors.images + errors.training
    return Resampled(
        estimate,
        float(low),
        float(high),
        p,
        total**0.5,
        errors.images**0.5,
        errors.training**0.5,
        _freedom(total, errors),
    )


def resampled_mean_of_images(
    values: Sequence[Array], groups: Sequence[NDArray[np.str_]], resamples: int = 2000
) -> Resampled:
    """Mean over seeds of the mean over images, of which those of one group are drawn together, alike in all seeds.

    Args:
        values: of each seed's images.
        groups: names of their groups.
        resamples: of the groups.
    """
    names = np.unique(np.concatenate(groups))
    weights = group_weights(len(names), resamples, seed=0)
    replicates = []
    for value, group in zip(values, groups, strict=True):
        drawn = weights[:, np.searchsorted(names, group)]
        replicates.append(drawn @ value / drawn.sum(axis=1))
    return resampled_mean(np.array([value.mean() for value in values]), np.stack(replicates, axis=1))


def exact_where_all_agree(mean: Resampled, groups: int, difference: bool = False) -> Resampled:
    """Give a rate that no resample changes the interval of ``groups`` groups that all agree (Clopper and Pearson 1934).

    Ten of ten caught are not all there are: the interval of 1 then begins at 0.025 to the power of 1 / 10. The errors
    are those of a normal interval of that width.

    Args:
        mean: of the rate, or of a difference of two.
        groups: that the rate rests on; 0 for what is no such rate.
        difference: the rate is that of groups on which two arms differ: none did, or all, which has the p-value of a
            sign test.

    Returns:
        The mean with this interval; other means as they are.
    """
    if mean.low < mean.high or mean.estimate not in ((-1.0, 0.0, 1.0) if difference else (0.0, 1.0)) or not groups:
        return mean
    most = 1 - 0.025 ** (1 / groups)
    least, error = -1.0 if difference else 0.0, most / float(ndtri(0.975))
    return mean._replace(
        low=max(least, mean.estimate - most),
        high=min(1.0, mean.estimate + most),
        p=max(mean.p, 0.5 ** (groups - 1)) if difference else mean.p,
        standard_error=error,
        images_error=error,
    )


def joint_draws(actual: Array, replicates: Array, seed: int = 0) -> Array:
    """Draws of the means of several metrics together, each with the spread that :func:`resampled_mean` gives it alone.

    The columns move together as they do under resampled groups and between seeds.

    Args:
        actual: ``(S, C)``, the columns of each seed.
        replicates: ``(R, S, C)``, the same under resampled groups; those with an undefined value are left out.
        seed: of the deviation between seeds.

    Returns:
        ``(R', C)``; empty where a column is undefined for a seed, or no replicate is left.
    """
    replicates = replicates[np.isfinite(replicates).all(axis=(1, 2))]
    if not np.isfinite(actual).all() or replicates.size == 0:
        return np.empty((0, actual.shape[1]))
    apart = actual - actual.mean(axis=0)
    length = np.linalg.norm(apart, axis=0)
    # One deviation for each seed, shared by its columns; along a column it is Student's, as in `resampled_mean`.
    generator, less = np.random.default_rng([seed, 1]), max(1, len(actual) - 1)
    along = generator.normal(size=(len(replicates), len(actual))) @ (apart / np.where(length > 0, length, 1.0))
    # Where all seeds agree, nothing says how a column moves with others.
    between = np.where(length > 0, along, generator.normal(size=along.shape))
    between /= np.sqrt(generator.chisquare(less, size=(len(replicates), 1)) / less)
    deviation = np.empty_like(between)
    for column in range(actual.shape[1]):
        errors = _errors(actual[:, column], replicates[:, :, column])
        deviation[:, column] = _shared_deviation(replicates[:, :, column], errors)
        deviation[:, column] += errors.apart**0.5 * between[:, column]
    means: Array = actual.mean(axis=0) + deviation
    return means


def _shared_deviation(replicates: Array, errors: _Errors) -> Array:
    """Mean over seeds of each replicate, centred on 0, ``(R,)``, with the variance that seeds share."""
    deviation: Array = replicates.mean(axis=1) - replicates.mean()
    if errors.images:
        deviation *= (errors.shared / errors.images) ** 0.5
    return deviation


@lru_cache(maxsize=8)
def _student(count: int, freedom: int, seed: int) -> Array:
    """Student's deviations in random order, ``(count,)``, one from each of as many equally likely parts.

    Drawn freely, the few in the tails would move the interval: at one degree of freedom they reach far. All metrics of
    a comparison have the same ones, so they are kept.
    """
    parts = stdtrit(freedom, (np.arange(count) + 0.5) / count) if freedom else np.zeros(count)
    # A stream of its own: the caller drew the groups from `seed` itself.
    shuffled: Array = np.random.default_rng([seed, 1]).permutation(parts)
    shuffled.flags.writeable = False
    return shuffled


def _errors(actual: Array, replicates: Array) -> _Errors:
    """Tell the variance of a mean over seeds apart: images, of which seeds may share some, and training.

    The variance between seeds holds training and the noise of images that seeds do not share, and no other. One seed
    says nothing about training: then only images count.
    """
    seeds = len(actual)
    images = float(replicates.mean(axis=1).var())
    if seeds == 1:
        return _Errors(images, 0.0, images, 0.0, 0)
    alone = float(replicates.var(axis=0).mean()) / seeds  # what `images` would be if seeds shared none
    shared = min(images, max(0.0, (images - alone) * seeds / (seeds - 1)))
    own, between = images - shared, float(actual.var(ddof=1)) / seeds
    # Seeds that agree more closely than their own images let one experiment in ten do agree by chance.
    apart = max(between, own * float(chdtri(seeds - 1, 0.9)) / (seeds - 1))
    return _Errors(images, max(0.0, between - own), shared, apart, seeds - 1)


def _freedom(total: float, errors: _Errors) -> float:
    """Degrees of freedom of the total variance (Satterthwaite 1946): only what differs between seeds is uncertain."""
    uncertain = total - errors.shared
    return errors.seeds_less_one * (total / uncertain) ** 2 if errors.seeds_less_one and uncertain > 0 else np.inf
