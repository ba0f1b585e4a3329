"""Which items come first, and where hidden gold items stand among them. Pure functions."""

import numpy as np
from numpy.typing import NDArray

UNCERTAINTY = 0.5  # worth of one bit of doubt, in missed counterfeits


def priority(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected harm of leaving an item as it is, plus what a decision would settle.

    The harm is the probability of counterfeit, in missed counterfeits; the doubt is the binary entropy of that
    probability, in bits, times ``UNCERTAINTY``. The sum is highest at a score of 0.8: a certain counterfeit needs less
    of a person than a probable one, and both come before a probable genuine item.

    Args:
        score: ``(N,)`` probabilities of counterfeit.

    Returns:
        ``(N,)`` in [0, 1.17].
    """
    p = np.clip(score, 1e-12, 1 - 1e-12)
    doubt = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    ranked: NDArray[np.float64] = p + UNCERTAINTY * doubt
    return ranked


def choose_gold(
    scores: NDArray[np.float64], candidates: NDArray[np.float64], labels: NDArray[np.int64], count: int
) -> list[int]:
    """Known images that hide among the scored ones: spread over the queue, each as its neighbours score.

    Args:
        scores: ``(N,)`` of the queue's items.
        candidates: ``(M,)`` scores of images whose label is known.
        labels: ``(M,)`` genuine = 0, counterfeit = 1; the classes are taken in turn while both last.
        count: how many to choose.

    Returns:
        Positions of the chosen candidates, fewer than ``count`` where candidates run out.
    """
    if not len(scores):
        return []
    ranked = scores[np.argsort(-priority(scores), kind="stable")]
    places = ((np.arange(count) + 0.5) / count * len(ranked)).astype(int)
    left = set(range(len(candidates)))
    chosen: list[int] = []
    for turn, target in enumerate(ranked[places]):
        wanted = [i for i in left if labels[i] == turn % 2] or sorted(left)
        if not wanted:
            break
        best = min(wanted, key=lambda i: (abs(candidates[i] - target), i))
        left.remove(best)
        chosen.append(best)
    return chosen
