"""What a score means in words: an abstain band with guaranteed coverage, and how often such scores were counterfeit."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterfeit.errors import UserError


@dataclass(frozen=True)
class Bands:
    """Where scores are likely genuine, likely counterfeit, or between the two unclear.

    Attributes:
        genuine_below: scores below are likely genuine.
        counterfeit_from: scores from here on are likely counterfeit.
        alpha: bounds the share of each class that lands on the wrong side.
        n: validation images that the bands were chosen on.
        n_genuine: of these.
        n_counterfeit: of these.
    """

    genuine_below: float
    counterfeit_from: float
    alpha: float
    n: int
    n_genuine: int
    n_counterfeit: int


@dataclass(frozen=True)
class CalibrationBin:
    """A range of scores, ``low <= score < high``, and how many of its validation images were counterfeits.

    Attributes:
        low: lower end.
        high: upper end; a score of 1 belongs to the last bin.
        n: validation images with such a score.
        counterfeits: of these.
    """

    low: float
    high: float
    n: int
    counterfeits: int


def conformal_bands(label: NDArray[np.int64], probability: NDArray[np.float64], alpha: float) -> Bands:
    """Split-conformal bands for each class by itself (Vovk 2012; Sadinle, Lei and Wasserman 2019).

    For fresh images that are exchangeable with validation, at most ``alpha`` of the genuine ones are called likely
    counterfeit and at most ``alpha`` of the counterfeits likely genuine, whatever the detector. A weak detector pays
    with a wide band; a class with fewer than ``1 / alpha - 1`` validation images with one that never ends.

    Args:
        label: ``(N,)`` of validation, genuine = 0, counterfeit = 1.
        probability: ``(N,)`` in [0, 1].
        alpha: in (0, 0.5].

    Raises:
        UserError: ``alpha`` is out of range, or validation has one class only.
    """
    if not 0 < alpha <= 0.5:
        raise UserError(f"the error rate of the bands must be above 0 and at most 0.5, not {alpha}")
    genuine, counterfeit = np.sort(probability[label == 0]), np.sort(probability[label == 1])[::-1]
    if not len(genuine) or not len(counterfeit):
        raise UserError("validation has one class only, on which no bands can be chosen: add images to it")
    highest_genuine = _ranked(genuine, alpha, otherwise=1.0)
    lowest_counterfeit = _ranked(counterfeit, alpha, otherwise=0.0)
    # Genuine: probability <= highest_genuine; counterfeit: probability >= lowest_counterfeit; unclear: both or neither.
    beyond_genuine = float(np.nextafter(highest_genuine, 2.0))
    return Bands(
        genuine_below=min(lowest_counterfeit, beyond_genuine),
        counterfeit_from=max(lowest_counterfeit, beyond_genuine),
        alpha=alpha,
        n=len(label),
        n_genuine=len(genuine),
        n_counterfeit=len(counterfeit),
    )


def calibration_table(
    label: NDArray[np.int64], probability: NDArray[np.float64], bins: int = 10, smallest: int = 10
) -> list[CalibrationBin]:
    """How many of the validation images in each range of scores were counterfeits.

    Args:
        label: ``(N,)``.
        probability: ``(N,)`` in [0, 1].
        bins: of equal width, from which neighbours are joined.
        smallest: images that a bin must hold, as far as there are so many.

    Returns:
        Bins without gaps from 0 to 1.
    """
    index = np.clip((probability * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    ends, held = [0], 0
    for end in range(1, bins + 1):
        held += int(counts[end - 1])
        if held >= smallest and counts[end:].sum() >= smallest:
            ends.append(end)
            held = 0
    ends.append(bins)
    inside = [(low, high, (index >= low) & (index < high)) for low, high in itertools.pairwise(ends)]
    return [
        CalibrationBin(low / bins, high / bins, int(which.sum()), int(label[which].sum()))
        for low, high, which in inside
    ]


def _ranked(ordered: NDArray[np.float64], alpha: float, otherwise: float) -> float:
    """The score that ``1 - alpha`` of a class's fresh images do not go beyond; ``otherwise`` if there are too few."""
    rank = math.ceil((len(ordered) + 1) * (1 - alpha) - 1e-9)
    return float(ordered[rank - 1]) if rank <= len(ordered) else otherwise
