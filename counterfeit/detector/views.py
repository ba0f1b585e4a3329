"""How much each view of an image counts, from cross-fitted scores of the training images."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

PARTS = ("image", "distance_max", "distance_top", "distance_mean", "distance_placed", "patch", "mask")
IMAGE, DISTANCES, PATCH, MASK = 0, [2, 3, 4], 5, 6  # columns that are combined; the largest distance is only reported
LOCATED = [*DISTANCES, PATCH, MASK]  # those that say where, as maps
MASKS = 8.0  # what is learned from masks counts so much more than what is learned without them, at a dose of 1
USEFUL = 0.65  # AUROC that the genuine distance must exceed for masks to be believed
CHANCE = 0.5  # AUROC that a view must exceed to be believed at all
ROOM = 0.1  # masks count less where less than this is missing from the patch heads' AUROC to 1
RESAMPLES = 400

FloatArray = NDArray[np.float64]


def part_weights(parts: FloatArray, label: NDArray[np.int64], dose: float) -> tuple[FloatArray, float]:
    """Weights of the standardised parts.

    Three views are weighed by :func:`view_weights`: the image heads; the three distances from genuine patches, mixed by
    :func:`chance_of_being_best`; and the patches, where what was learned from the masks of
    synthetic counterfeits weighs ``8 dose`` times what was learned from photographs alone. It weighs less where it is
    not to be trusted (masks are cut where an image is far from genuine ones: they are believed as far as the distances
    tell anything), and less where photographs alone taught nearly all there is to learn: there it could only harm.

    Args:
        parts: ``(N, P)`` in the order of ``PARTS``, standardised on genuine images.
        label: ``(N,)``.
        dose: how much the masks shall count; 0 without masks.

    Returns:
        ``(P,)`` weights, and the dose that was used.
    """
    mixtures = np.zeros((parts.shape[1], 3))
    mixtures[IMAGE, 0] = 1
    mixtures[DISTANCES, 1] = chance_of_being_best(parts[:, DISTANCES], label)
    used = dose * trust(parts @ mixtures[:, 1], label) * room(parts[:, PATCH], label)
    mixtures[[PATCH, MASK], 2] = np.array([1, MASKS * used]) / (1 + MASKS * used)
    mixtures /= spread((parts @ mixtures)[label == 0])
    weights: FloatArray = mixtures @ view_weights(parts @ mixtures, label)
    return weights, float(used)


def view_weights(views: FloatArray, label: NDArray[np.int64]) -> FloatArray:
    """Weights of views: the exponential of the normal quantile of each one's AUROC, times its chance of being any good.

    The quantile is the view's d' over root 2. The best weights of independent views are their d', the distances between
    the classes in deviations. With a handful of counterfeits these are uncertain, and exponentials stay closer to equal
    weights. An exponential alone would leave a useless view a third of the say: hence the probability that its AUROC
    exceeds one half. An AUROC of 1 counts as one that lacks half a pair.

    Args:
        views: ``(N, V)`` scores.
        label: ``(N,)``.

    Returns:
        ``(V,)``, positive, with sum 1.
    """
    half_pair = 0.5 / ((label == 1).sum() * (label == 0).sum())
    area = auroc(views, label)
    sensitivity = np.exp(ndtri(np.clip(area, half_pair, 1 - half_pair)))
    believed = sensitivity * np.maximum(chance_above(CHANCE, area, label), 1e-6)
    weights: FloatArray = believed / believed.sum()
    return weights


def trust(distance: FloatArray, label: NDArray[np.int64]) -> float:
    """Probability that distances ``(N,)`` from genuine patches tell counterfeits with an AUROC above 0.65."""
    return float(chance_above(USEFUL, auroc(distance[:, None], label), label)[0])


def chance_above(level: float, area: FloatArray, label: NDArray[np.int64]) -> FloatArray:
    """Probability of each AUROC ``(V,)``, measured on images with labels ``(N,)``, to exceed a level in truth."""
    error = auroc_error(np.clip(area, 0.05, 0.95), int((label == 1).sum()), int((label == 0).sum()))
    chance: FloatArray = ndtr((area - level) / error)
    return chance


def room(patch: FloatArray, label: NDArray[np.int64]) -> float:
    """How much scores ``(N,)`` of the patch heads leave to be learned: 0 at an AUROC of 1, 1 from 0.9 downwards."""
    return float(min(1.0, (1 - auroc(patch[:, None], label)[0]) / ROOM))


def chance_of_being_best(scores: FloatArray, label: NDArray[np.int64]) -> FloatArray:
    """Probability of each column ``(N, V)`` to have the highest AUROC, by resampling the counterfeits: ``(V,)``."""
    genuine = np.sort(scores[label == 0], axis=0)
    found = scores[label == 1]
    beaten = np.stack([np.searchsorted(g, f) for g, f in zip(genuine.T, found.T, strict=True)], axis=1)
    drawn = np.random.default_rng(0).integers(len(found), size=(RESAMPLES, len(found)))
    average = beaten[drawn].mean(1)
    best = average == average.max(1, keepdims=True)
    chance: FloatArray = (best / best.sum(1, keepdims=True)).mean(0)
    return chance


def fold_levels(scores: FloatArray, fold: NDArray[np.int64], genuine: NDArray[np.bool_]) -> FloatArray:
    """By how much the genuine images of each fold lie above all genuine ones, in the median.

    Heads of different folds learned from different images and score on different levels. Pooled as they are, their
    scores would be ranked by fold; with a handful of counterfeits that is most of what an AUROC of them would see.

    Args:
        scores: ``(N,)`` or ``(N, P)`` cross-fitted scores.
        fold: ``(N,)`` the fold that scored each image.
        genuine: ``(N,)``.

    Returns:
        ``(folds,)`` or ``(folds, P)``, to be subtracted; 0 for folds without a genuine image.
    """
    levels = np.zeros((int(fold.max()) + 1, *scores.shape[1:]))
    middle = np.median(scores[genuine], axis=0)
    for number in np.unique(fold[genuine]):
        levels[number] = np.median(scores[genuine & (fold == number)], axis=0) - middle
    return levels


def spread(scores: FloatArray) -> FloatArray:
    """Interquartile ranges of columns, never 0."""
    low, high = np.percentile(scores, [25, 75], axis=0)
    wide: FloatArray = np.maximum(high - low, 1e-6)
    return wide


def auroc(scores: FloatArray, label: NDArray[np.int64]) -> FloatArray:
    """AUROC of each column of ``(N, V)``."""
    counterfeit = label == 1
    positive, negative = int(counterfeit.sum()), int((~counterfeit).sum())
    ranks = rankdata(scores, axis=0)
    area: FloatArray = (ranks[counterfeit].sum(0) - positive * (positive + 1) / 2) / (positive * negative)
    return area


def auroc_error(area: FloatArray, positive: int, negative: int) -> FloatArray:
    """Standard error of an AUROC (Hanley and McNeil 1982).

    Args:
        area: AUROCs.
        positive: number of counterfeits.
        negative: number of genuine images.
    """
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (first - area**2) + (negative - 1) * (second - area**2)
    error: FloatArray = np.sqrt(variance / (positive * negative))
    return error
